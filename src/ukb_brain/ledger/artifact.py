"""How every model is kept: named arrays, and a card that says what they are."""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError

Card = dict[str, Any]
logger = logging.getLogger(__name__)

ARRAYS, CARD, COMPLETE = "model.safetensors", "card.json", "complete.json"


@dataclass(frozen=True)
class Model:
    """A fitted model: arrays, saved as safetensors, and a card in JSON.

    The card has strategy, settings, counts, a hash of each fold's people, and what was chosen.
    """

    arrays: dict[str, NDArray[np.generic]]
    card: Card = field(default_factory=dict)


def write_model(folder: Path, model: Model) -> None:
    """Write a model into a folder of its own; its card comes last: a model with a card is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    # safetensors writes memory as it lies: another order of axes or bytes would come back wrong.
    plain = {
        name: np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        for name, array in model.arrays.items()
    }
    with atomic_path(folder / ARRAYS) as part:
        save_file(plain, part)
    _write_json(folder / CARD, model.card)


def write_failure(folder: Path, card: Card) -> None:
    """Write the card, with its reason, of a model that could not be made; older arrays go."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    (folder / ARRAYS).unlink(missing_ok=True)
    _write_json(folder / CARD, card)


def _write_json(path: Path, content: Any) -> None:
    with atomic_path(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_card(folder: Path) -> Card | None:
    """Read a model's card alone; None where there is no whole model, and the work is to be done."""
    path = folder / CARD
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError:
        logger.warning("%s is damaged, so its model is made anew.", path)
        return None


def read_model(folder: Path, keys: Iterable[str] | None = None) -> Model:
    """Read a model; of its arrays only those of ``keys``, where given, are read from the disk.

    Raises
    ------
    InputError
        If there is no whole model, or it could not be made.
    """
    card = read_card(folder)
    if card is None:
        raise InputError(f"There is no whole model in {folder}: run the pipeline that makes it.")
    if not _is_whole(card):
        raise InputError(
            f"The model in {folder} could not be made ({card.get('reason')}): run its pipeline "
            "again, or leave it out."
        )
    with safe_open(folder / ARRAYS, "np") as file:
        wanted = file.keys() if keys is None else keys
        return Model({key: file.get_tensor(key) for key in wanted}, card)


def _is_whole(card: Card) -> bool:
    return card.get("status", "ok") == "ok"


@dataclass(frozen=True)
class ModelFolder:
    """Models by name, each in a sub-folder; read one by one."""

    path: Path

    def names(self) -> list[str]:
        """List the models that are whole, in alphabetical order, without those that failed."""
        return [name for name, card in self.cards().items() if _is_whole(card)]

    def cards(self) -> dict[str, Card]:
        """Read all cards by name, in alphabetical order; those of failed models too."""
        found = {path.parent.name: path.parent for path in sorted(self.path.glob(f"*/{CARD}"))}
        cards = {name: read_card(home) for name, home in found.items()}
        return {name: card for name, card in cards.items() if card is not None}

    def card(self, name: str) -> Card | None:
        """Read one card; None where there is no such model."""
        return read_card(self.path / name)

    def read(self, name: str, keys: Iterable[str] | None = None) -> Model:
        """Read one model as `read_model` does."""
        return read_model(self.path / name, keys)

    @property
    def complete(self) -> bool:
        """Whether the work that writes these models ended with none missing and none failed."""
        return (self.path / COMPLETE).exists()

    def begin(self) -> None:
        """Say that models are about to change."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / COMPLETE).unlink(missing_ok=True)

    def finish(self) -> None:
        """List the models and the hashes of what they were made from, where none has failed."""
        cards = self.cards()
        self.begin()
        if all(map(_is_whole, cards.values())):
            hashes = {name: card.get("hash") for name, card in cards.items()}
            _write_json(self.path / COMPLETE, hashes)
