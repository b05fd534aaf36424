"""What every strategy hands over: each cell's predictions and how it was fitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.grid import Cell, Kind
from ukb_brain.ledger.artifact import Model
from ukb_brain.training.people import REPEAT, Floats, Mask, People

PREDICTED_PARTS = ("validation", "test", REPEAT)
KEYS = ("target", "inputs", "strategy", "seed")
# What is predicted: by a strategy, and by its cells before the ladder.
FINAL, UNREFINED = "predictions", "unrefined"


@dataclass(frozen=True)
class Result:
    """One cell by one strategy and seed.

    Attributes
    ----------
    cell : Cell
        Of the grid.
    strategy : str
        Its name.
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
    """Keep results as a work item does.

    Parameters
    ----------
    results : iterable of Result
        Of one target.
    people : People
        Of the fold.
    kind : {"binary", "continuous"}
        Of the target.
    arrays, card : dict
        What else is kept: weights, coefficients.
    unrefined : iterable of Result
        Of some cells as they were before the ladder.

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
    """Rows of people whose predictions are kept.

    Parameters
    ----------
    people : People
        Of the fold.

    Returns
    -------
    ndarray of shape (m,)
        Validation and test people, and repeat visits of the latter.
    """
    return np.flatnonzero(np.isin(people.part, PREDICTED_PARTS))


def _row(result: Result, people: People, kind: Kind) -> dict[str, Any]:
    usable = people.usable(result.cell)
    y = people.targets[result.cell.target]
    known = y[usable & people.train]
    names_of = ("decision_threshold", "train_median", "loss")
    marks: dict[str, float | None] = dict.fromkeys(names_of)
    if len(known) and kind == "binary":
        marks["decision_threshold"] = float(known.mean())
    elif len(known):
        marks["train_median"] = float(np.median(known))
    if result.status == "ok":
        held = usable & (people.part == "validation")
        marks["loss"] = loss_of(result.predicted, y, held, kind)
    counts = {
        name: int((usable & (people.part == part)).sum())
        for name, part in (("n_train", "train"), ("n_val", "validation"), ("n_test", "test"))
    }
    names = {
        "target": result.cell.target,
        "inputs": result.cell.inputs.name,
        "strategy": result.strategy,
        "fold": people.fold,
        "seed": result.seed,
    }
    return names | counts | {"status": result.status} | marks | result.notes


def loss_of(predicted: Floats, y: Floats, rows: Mask, kind: Kind) -> float | None:
    """Loss of some people's predictions.

    Parameters
    ----------
    predicted, y : ndarray of shape (n,)
        In the target's own units, or probabilities.
    rows : ndarray of shape (n,)
        True for those meant.
    kind : {"binary", "continuous"}
        Of the target.

    Returns
    -------
    float or None
        Cross-entropy, or mean squared error in the target's own units; None without anybody.
    """
    if not rows.any():
        return None
    if kind == "continuous":
        return float(((predicted[rows] - y[rows]) ** 2).mean())
    p = np.clip(predicted[rows], 1e-12, 1 - 1e-12)
    return float(-(y[rows] * np.log(p) + (1 - y[rows]) * np.log(1 - p)).mean())


def prediction_tables(
    model: Model, people: People, seed: int, kept: str = FINAL
) -> Iterator[pd.DataFrame]:
    """List the predictions that a work item kept.

    Parameters
    ----------
    model : Model
        From `results_as_model`.
    people : People
        Of its fold.
    seed : int
        Of the run; that of an ensemble's member is so many more.
    kept : {"predictions", "unrefined"}
        The strategy's, or those of some cells before the ladder.

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
