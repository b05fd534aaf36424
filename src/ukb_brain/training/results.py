"""What every strategy hands over: each cell's predictions and how it was fitted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.grid import Cell, Kind
from ukb_brain.ledger.artifact import Model
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.people import REPEAT, Floats, People

PREDICTED_PARTS = ("validation", "test", REPEAT)
COUNTED = {"train": "n_train", "validation": "n_val", "test": "n_test"}
# What is predicted: by a strategy, and by its cells before the ladder.
FINAL, UNREFINED = "predictions", "unrefined"


@dataclass(frozen=True)
class Result:
    """One cell by one strategy and seed.

    Attributes
    ----------
    seed : int
        Of the ensemble; 0 is the first.
    status : str
        ``ok``, or why there are no predictions.
    predicted : ndarray of shape (n,)
        In the target's own units, or probabilities; empty where there are none.
    notes : dict
        What was chosen and what it cost: JSON values.
    """

    cell: Cell
    strategy: str
    seed: int
    status: str
    predicted: Floats = field(default_factory=lambda: np.empty(0))
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of its predictions among a model's arrays."""
        return "/".join([self.strategy, str(self.seed), self.cell.target, self.cell.inputs.name])


def results_as_model(
    results: Iterable[Result],
    people: People,
    kind: Kind,
    arrays: dict[str, NDArray[np.generic]],
    card: dict[str, Any],
    unrefined: Iterable[Result] = (),
) -> Model:
    """Keep results of one target as a work item does, with other arrays and what its card says.

    ``unrefined`` are those of some cells as they were before the ladder.

    Returns
    -------
    Model
        ``predictions/…`` and ``unrefined/…``: of validation and test people and of repeat visits,
        NaN for who lacks something. The card's ``cells`` has a row a result.
    """
    results, rows = list(results), predicted_rows(people)
    for kept, some in ((FINAL, results), (UNREFINED, unrefined)):
        for result in some:
            if result.status == "ok":
                usable = people.usable(result.cell)[rows]
                arrays[f"{kept}/{result.key}"] = np.where(usable, result.predicted[rows], np.nan)
    return Model(arrays, card | {"cells": [_row(result, people, kind) for result in results]})


def predicted_rows(people: People) -> NDArray[np.int64]:
    """Rows of people whose predictions are kept: validation, test, and repeat visits."""
    return np.flatnonzero(np.isin(people.part, PREDICTED_PARTS))


def _row(result: Result, people: People, kind: Kind) -> dict[str, Any]:
    usable, y = people.usable(result.cell), people.targets[result.cell.target]
    held, known = usable & (people.part == "validation"), y[usable & people.train]
    marks = dict.fromkeys([*(each.cut for each in KINDS.values()), "loss"])
    if len(known):
        marks[KINDS[kind].cut] = KINDS[kind].cut_of(known)
    if result.status == "ok" and held.any():
        marks["loss"] = KINDS[kind].loss(y[held], result.predicted[held])
    return {
        "target": result.cell.target,
        "inputs": result.cell.inputs.name,
        "strategy": result.strategy,
        "fold": people.fold,
        "seed": result.seed,
        **{name: int((usable & (people.part == part)).sum()) for part, name in COUNTED.items()},
        "status": result.status,
        **marks,
        **result.notes,
    }


def prediction_tables(
    model: Model, people: People, seed: int, kept: str = FINAL
) -> Iterator[pd.DataFrame]:
    """List the predictions, or those before the ladder, that a work item of a fold kept.

    The seed of an ensemble's member is so many above that of the run.

    Yields
    ------
    pandas.DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``.
    """
    rows = predicted_rows(people)
    for key, predicted in model.arrays.items():
        if not key.startswith(f"{kept}/"):
            continue
        _, strategy, member, target, inputs = key.split("/", 4)
        known = np.isfinite(predicted) & np.isfinite(people.targets[target][rows])
        mine = rows[known]
        yield pd.DataFrame(
            {
                "eid": people.eid[mine],
                "instance": people.instance[mine],
                "target": target,
                "inputs": inputs,
                "strategy": strategy,
                "fold": people.fold,
                "seed": seed + int(member),
                "split": people.part[mine],
                "y_true": people.targets[target][mine],
                "y_pred": predicted[known].astype(np.float64),
            }
        )
