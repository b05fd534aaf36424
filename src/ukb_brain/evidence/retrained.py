"""What models give that were trained once more: predictions and fits of a few chosen inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import Card, ModelFolder
from ukb_brain.tables.splits import check_fitted_on
from ukb_brain.training import accounting, items
from ukb_brain.training.people import People
from ukb_brain.training.results import predictions_of
from ukb_brain.training.settings import Modelling

Folds = Mapping[int, People]
# Named by what they are, so that no cell is looked at for having scored well.
Chosen = Literal["fullest", "imaging"]
COLUMNS = ["eid", "instance", "target", "inputs", "strategy", "fold", "seed"]


@dataclass(frozen=True)
class FoldModels(ModelFolder):
    """A folder of models, of which only those of one fold are seen.

    Attributes
    ----------
    fold : int
        Of the splits.
    """

    fold: int = 0

    def cards(self) -> dict[str, Card]:
        """Read the cards of that fold's models.

        Returns
        -------
        dict of str to dict
            By name, in alphabetical order; those of failed models too.
        """
        every = super().cards()
        return {name: card for name, card in every.items() if card.get("fold") == self.fold}


@dataclass(frozen=True)
class Trained:
    """Models of one set of folds, each kind in its folder.

    Attributes
    ----------
    tangents, encoders, kernels, cells : ModelFolder
        Cells rest on the others.
    """

    tangents: ModelFolder
    encoders: ModelFolder
    kernels: ModelFolder
    cells: ModelFolder

    def of_fold(self, fold: int) -> Trained:
        """See one fold's models only.

        Parameters
        ----------
        fold : int
            Of the splits.

        Returns
        -------
        Trained
        """
        kinds = (self.tangents, self.encoders, self.kernels, self.cells)
        return Trained(*(FoldModels(models.path, fold) for models in kinds))

    @property
    def parameters(self) -> float:
        """Numbers that one network of the encoders learns; NaN where none was trained."""
        counts = [card.get("parameters", np.nan) for card in self.encoders.cards().values()]
        return float(counts[0]) if counts else float("nan")


def chosen_inputs(grid: Grid, chosen: Sequence[Chosen]) -> dict[str, tuple[str, ...]]:
    """Name the inputs that are looked at, by a rule that knows no score.

    Parameters
    ----------
    grid : Grid
        Gives the rule of inputs.
    chosen : sequence of {"fullest", "imaging"}
        All imaging groups with every block that a target may have; and with as few blocks as the
        grid has: none for targets of the base domain, for which both are one, else the base block.

    Returns
    -------
    dict of str to tuple of str
        Published names by target.
    """
    rules = {"fullest": grid.fullest, "imaging": grid.imaging_alone}
    return {
        key: tuple(dict.fromkeys(rules[each](key).name for each in chosen)) for key in grid.targets
    }


def check_trained(trained: Trained, people: Folds, modelling: Modelling) -> None:
    """Refuse models of other people or other settings than this run's.

    Parameters
    ----------
    trained : Trained
        Of the pipeline `modelling`.
    people : dict of int to People
        By every fold that the models are of.
    modelling : Modelling
        Settings of this run.

    Raises
    ------
    InputError
        In one line.
    """
    kinds: list[tuple[ModelFolder, Any]] = [
        (trained.tangents, None),
        (trained.encoders, modelling.encoders),
        (trained.kernels, modelling.kernels),
        (trained.cells, None),
    ]
    for models, asked in kinds:
        for name, card in models.cards().items():
            check_fitted_on(card["training_people"], people[card["fold"]].fingerprint, name)
            if asked is not None:
                items.check_settings(card, asked, f"model {name}")


def collect_chosen(
    trained: Trained, people: Folds, inputs: Mapping[str, Sequence[str]], grid: Grid, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read predictions and fits of chosen inputs, and nothing else.

    Parameters
    ----------
    trained : Trained
        Models of those folds.
    people : dict of int to People
        By fold.
    inputs : dict of str to sequence of str
        By target, from `chosen_inputs`.
    grid : Grid
        Its cells.
    seed : int
        Of the run.

    Returns
    -------
    predictions : pandas.DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``, of
        validation and test people, and repeat visits.
    fits : pandas.DataFrame
        One row a target, inputs, strategy, fold and seed, as `ukb_brain.training.accounting` has
        them; a cell that could not be fitted has its reason as status.
    """
    cards = trained.cells.cards()
    tables = [
        table
        for name, card in cards.items()
        for table in _predictions(trained.cells, name, card, people, inputs, seed)
    ]
    columns = [*COLUMNS, "split", "y_true", "y_pred"]
    predictions = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    if not cards:
        return predictions, pd.DataFrame(columns=[*COLUMNS[2:], "status"])
    shared = {"encoders": trained.encoders}
    fits = accounting.cell_fits(list(cards.values()), shared, grid, seed)
    wanted = [
        name in inputs[target] for target, name in zip(fits["target"], fits["inputs"], strict=True)
    ]
    return predictions, fits.loc[wanted].reset_index(drop=True)


def _predictions(
    cells: ModelFolder,
    name: str,
    card: Mapping[str, Any],
    people: Folds,
    inputs: Mapping[str, Sequence[str]],
    seed: int,
) -> Iterator[pd.DataFrame]:
    if card["status"] != "ok":
        return
    keys = [
        f"predictions/{row['strategy']}/{row['seed']}/{row['target']}/{row['inputs']}"
        for row in card["cells"]
        if row["status"] == "ok" and row["inputs"] in inputs[row["target"]]
    ]
    yield from predictions_of(cells.read(name, keys), people[card["fold"]], seed)
