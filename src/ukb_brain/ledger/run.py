"""The ledger of work items: which are done, which failed and why, and what is still to do.

An item's result is one model in a folder of its name. It is done if and only if its card is there,
says ``ok``, and bears the hash of what the item was made from; so a run that was killed, or whose
settings changed, does only what is missing. Everything here is restricted: fitted on single people.
"""

import logging
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from ukb_brain.cluster import Compute, run_items
from ukb_brain.errors import InputError
from ukb_brain.ledger.artifact import ARRAYS, CARD, Card, Model, ModelFolder
from ukb_brain.ledger.attempts import Attempts, WorkItem, is_ours

logger = logging.getLogger(__name__)

Payload = TypeVar("Payload")
# Losses are counted per item, by the item itself; Dask also counts items that only waited there.
MANY_LOSSES = 1000


def run_ledger(
    function: Callable[[Payload, Path], Model],
    items: Iterable[WorkItem],
    folder: Path,
    compute: Compute,
    label: str,
) -> list[Card]:
    """Do those work items that are not done yet, each tried again where it fails, within a limit.

    An item that fails ``compute.retries`` + 1 times is recorded as failed, and the rest goes on;
    the next run tries it anew.

    Parameters
    ----------
    function : callable
        Takes an item's payload and a scratch folder, gives its model. Importable by name where
        there is more than one worker. What it leaves in the scratch folder is there again if its
        process is killed, in this run or the next, as long as the fingerprint stays.
    items : iterable of WorkItem
        Of different names.
    folder : Path
        Of all their models; nothing else is in it. Those of items that are not asked for are
        removed: they are restricted, and stale.
    compute : Compute
        Where they are done, and how often one is tried again.
    label : str
        What the items are, for the progress bar.

    Returns
    -------
    list of dict
        The card of each item, in their order. To what the function says it adds ``name, hash,
        status`` (ok|failed)``, reason, attempts, finished``, and, where the function does not say,
        ``seconds`` (of the last attempt), ``device`` and peaks, ``process_bytes, device_bytes``.

    Raises
    ------
    InputError
        If an item raises it, since that is a user's mistake that others would repeat; or if what
        is no longer asked for cannot be removed.
    """
    asked, models = list(items), ModelFolder(Path(folder).resolve())
    _check_names(asked)
    models.path.mkdir(parents=True, exist_ok=True)
    _remove_others(models.path, {item.name for item in asked})
    cards = {item.name: models.card(item.name) or {} for item in asked}
    of_done = {name: card.get("hash") for name, card in cards.items() if card.get("status") == "ok"}
    done = {item.name for item in asked if of_done.get(item.name) == item.fingerprint}
    todo = [item for item in asked if item.name not in done]
    if todo:
        models.begin()
    for item in asked:
        keep = {ARRAYS, CARD} if item.name in done else {item.scratch}
        _clear(models.path / item.name, keep)
    if len(todo) < len(asked):
        logger.info("%s: %d of %d are done already.", label, len(asked) - len(todo), len(asked))
    run = uuid.uuid4().hex
    attempts = Attempts(function, models.path, compute.device, compute.retries + 1, run)
    for card in run_items(attempts, todo, compute, label, losses=MANY_LOSSES):
        cards[card["name"]] = card
        if card["status"] != "ok":
            logger.warning("%s: %s failed: %s", label, card["name"], card["reason"])
    return [cards[item.name] for item in asked]


def _check_names(items: Sequence[WorkItem]) -> None:
    names = [item.name for item in items]
    if len(set(names)) < len(names):
        raise ValueError("two work items have the same name")
    for name in names:
        if not name or name.startswith(".") or set("/\\") & set(name):
            raise ValueError(f"{name!r} cannot be the name of a folder of its own")


def _remove_others(folder: Path, wanted: set[str]) -> None:
    for home in list(folder.iterdir()):
        is_item = home.is_dir() and all(is_ours(path.name) for path in home.iterdir())
        if is_item and home.name not in wanted:
            _remove(home)


def _clear(home: Path, keep: set[str]) -> None:
    """Remove what is stale: an item's older result, or what a kill left beside a finished one."""
    for path in list(home.iterdir()) if home.is_dir() else []:
        if is_ours(path.name) and path.name not in keep:
            _remove(path)


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise InputError(
            f"{path} is stale and restricted, and cannot be removed ({error.strerror}): remove it."
        ) from None
