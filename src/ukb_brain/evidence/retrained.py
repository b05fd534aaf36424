"""What models give that were trained once more: predictions and fits of a few chosen inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.training import accounting, items
from ukb_brain.training.people import People
from ukb_brain.training.results import FINAL, prediction_tables
from ukb_brain.training.settings import Modelling

Folds = Mapping[int, People]
# Named by what they are, so that no cell is looked at for having scored well.
Chosen = Literal["fullest", "imaging"]
KEYS = ["target", "inputs", "strategy", "fold", "seed"]
PREDICTED = ["eid", "instance", *KEYS, "split", "y_true", "y_pred"]


@dataclass(frozen=True)
class FoldModels:
    """Models of some folds, each kind in its folder; cells rest on the others."""

    tangents: ModelFolder
    encoders: ModelFolder
    kernels: ModelFolder
    cells: ModelFolder

    @property
    def parameters(self) -> float:
        """Numbers that one network of the encoders learns; NaN where none was trained."""
        counts = [card.get("parameters", np.nan) for card in self.encoders.cards().values()]
        return float(counts[0]) if counts else float("nan")


def chosen_inputs(grid: Grid, chosen: Sequence[Chosen]) -> dict[str, tuple[str, ...]]:
    """Name the inputs of each target that are looked at, by a rule that knows no score.

    Parameters
    ----------
    grid : Grid
        Gives the rule of inputs.
    chosen : sequence of {"fullest", "imaging"}
        All imaging groups with every block that a target may have; and with as few blocks as the
        grid has: none for targets of the base domain, for which both are one, else the base block.
    """
    rules = {"fullest": grid.fullest, "imaging": grid.imaging_alone}
    return {
        key: tuple(dict.fromkeys(rules[each](key).name for each in chosen)) for key in grid.targets
    }


def check_models(models: FoldModels, people: Folds, modelling: Modelling) -> None:
    """Refuse models of other people or other settings than this run's, with an `InputError`."""
    items.checked(models.tangents, people)
    items.checked(models.encoders, people, modelling.encoders)
    items.checked(models.kernels, people, modelling.kernels)
    items.checked(models.cells, people)


def collect_chosen(
    models: FoldModels, people: Folds, inputs: Mapping[str, Sequence[str]], grid: Grid, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read predictions and fits of chosen inputs by target, of some folds, and nothing else.

    Returns
    -------
    predictions : pandas.DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``, of
        validation and test people, and repeat visits.
    fits : pandas.DataFrame
        One row a target, inputs, strategy, fold and seed, as `ukb_brain.training.accounting` has
        them; a cell that could not be fitted has its reason as status.
    """
    every = models.cells.cards()
    cards = {name: card for name, card in every.items() if card["fold"] in people}
    if not cards:
        return pd.DataFrame(columns=PREDICTED), pd.DataFrame(columns=[*KEYS, "status"])
    tables: list[pd.DataFrame] = []
    for name, card in cards.items():
        keys = [
            f"{FINAL}/{row['strategy']}/{row['seed']}/{row['target']}/{row['inputs']}"
            for row in card.get("cells", ())
            if row["status"] == "ok" and row["inputs"] in inputs[row["target"]]
        ]
        if keys:
            model = models.cells.read(name, keys)
            tables += prediction_tables(model, people[card["fold"]], seed)
    predictions = pd.DataFrame(columns=PREDICTED)
    if tables:
        predictions = pd.concat(tables, ignore_index=True)
    fits = accounting.cell_fits(list(cards.values()), {"encoders": models.encoders}, grid, seed)
    wanted = [
        name in inputs[target] for target, name in zip(fits["target"], fits["inputs"], strict=True)
    ]
    return predictions, fits.loc[wanted].reset_index(drop=True)
