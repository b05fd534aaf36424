"""All cells of a target side by side: one row a test person and visit, one column a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.scores.folds import (
    KEYS,
    Predicted,
    ensemble,
    predicted_people,
    status_of,
    threshold_of,
)
from ukb_brain.statistics.sums import Floats

Fit = dict[Any, Any]
People = Mapping[tuple, Predicted]


@dataclass(frozen=True, eq=False)
class TargetPredictions:
    """Test people of a target and what every scored cell predicts for them.

    Attributes
    ----------
    target, kind : str
        Its key in the grid, and ``binary`` or ``continuous``.
    inputs : tuple of str
        Published names of the cells' inputs, in the order of the grid.
    visit : ndarray of int, shape (n, 2)
        eid and instance, sorted by fold first.
    family, fold : ndarray of int, shape (n,)
        Relatives have the same family; each was tested in one fold.
    y : ndarray, shape (n,)
        In the target's own units, or 0 and 1.
    predicted : ndarray, shape (n, cells)
        In the same units, or a probability; NaN where a cell lacks the person.
    threshold : ndarray, shape (folds, cells)
        The decision threshold, or the training median of a continuous target.
    folds : tuple of int
        Labels of the folds, sorted.
    """

    target: str
    kind: str
    inputs: tuple[str, ...]
    visit: NDArray[np.int64]
    family: NDArray[np.int64]
    fold: NDArray[np.int64]
    y: Floats
    predicted: Floats
    threshold: Floats
    folds: tuple[int, ...]

    def cell(self, inputs: Inputs) -> tuple[str, Floats] | None:
        """Give a cell's published inputs and predictions, shape (n,); None: it has no scores."""
        if inputs.name not in self.inputs:
            return None
        return inputs.name, self.predicted[:, self.inputs.index(inputs.name)]

    def restricted(self, rows: NDArray[np.bool_]) -> TargetPredictions:
        """Keep the test people of ``rows``, shape (n,)."""
        names = ("visit", "family", "fold", "y", "predicted")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def gather_targets(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> dict[str, TargetPredictions]:
    """Collect what a strategy predicts for test people, with seeds averaged within a fold.

    Returns
    -------
    dict of str to TargetPredictions
        By target, in the order of the grid; of cells with the status ``ok``, so a target without
        any is absent.

    Raises
    ------
    InputError
        As of `fits_of` and `side_by_side`, or if predictions belong to nobody among the
        participants.

    Notes
    -----
    ``tests/statistics/scores/test_target_predictions.py`` scores these tables fold by fold and
    compares the result with `ukb_brain.statistics.scores.legibility_map.score_map`.
    """
    fits = fits_of(cell_fits, grid, strategy)
    people = predicted_people(predictions.loc[predictions["strategy"] == strategy], participants)
    return side_by_side(fits, people, grid)[0]


def in_grid(cell_fits: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Add each fit's place in the grid, ``cell``, and leave out what is not of the grid.

    Rows are in the order of strategy, fold, seed and grid.
    """
    place = {(cell.target, cell.inputs.name): at for at, cell in enumerate(grid.cells)}
    at = [place.get(key, -1) for key in zip(cell_fits["target"], cell_fits["inputs"], strict=True)]
    fits = cell_fits.assign(cell=at).query("cell >= 0")
    return fits.sort_values(["strategy", "fold", "seed", "cell"])


def fits_of(cell_fits: pd.DataFrame, grid: Grid, strategy: str) -> pd.DataFrame:
    """Look up the fits of a strategy, `in_grid`.

    Raises
    ------
    InputError
        If there are none.
    """
    fits = in_grid(cell_fits.loc[cell_fits["strategy"] == strategy], grid)
    if fits.empty:
        raise InputError(
            f"There are no fits of strategy {strategy!r}, only of "
            f"{sorted(cell_fits['strategy'].unique())}: name one of these in reporting.strategy, "
            "or add it to the strategies of the modelling pipeline and run that again."
        )
    return fits


def side_by_side(
    fits: pd.DataFrame, people: People, grid: Grid, folds: Sequence[int] | None = None
) -> tuple[dict[str, TargetPredictions], dict[tuple[str, str], str]]:
    """Average the seeds of each cell that have scores in every fold.

    Parameters
    ----------
    fits : pandas.DataFrame
        Of one strategy, `in_grid`.
    people : dict of tuple to Predicted
        From `ukb_brain.statistics.scores.folds.predicted_people`.
    folds : sequence of int, optional
        All that cells are to have; those of the fits where it is not given.

    Returns
    -------
    targets : dict of str to TargetPredictions
        As of `gather_targets`.
    status : dict of (str, str) to str
        By target and inputs, in the order of the grid: ``ok``, or in how many folds no seed has
        scores, and why.

    Raises
    ------
    InputError
        If seeds have different test people, or cells of a target differ in what is true of a
        person.
    """
    folds = folds or sorted(fits["fold"].unique().tolist())
    status: dict[tuple[str, str], str] = {}
    cells: dict[str, dict[str, list[list[Fit]]]] = {}
    for (_, target, inputs), rows in fits.groupby(["cell", "target", "inputs"], observed=True):
        mine = rows.to_dict("records")
        kind = grid.targets[target].kind
        status[target, inputs], seeds = _complete(mine, folds, kind, people)
        if seeds:
            by_fold = [
                [f for f in mine if f["fold"] == fold and f["seed"] in seeds] for fold in folds
            ]
            cells.setdefault(target, {})[inputs] = by_fold
    found = {
        target: _joined(target, grid.targets[target].kind, mine, folds, people)
        for target, mine in cells.items()
    }
    return found, status


def _complete(
    fits: Sequence[Fit], folds: Sequence[int], kind: str, people: People
) -> tuple[str, list[int]]:
    """Say whether some of a cell's seeds have scores in every fold, and which."""
    status = {(f["seed"], f["fold"]): status_of(f, kind, people.get(_key(f))) for f in fits}
    reasons = {
        seed: [why for fold in folds if (why := status.get((seed, fold), "not fitted")) != "ok"]
        for seed in sorted({seed for seed, _ in status})
    }
    complete = [seed for seed, why in reasons.items() if not why]
    if complete:
        return "ok", complete
    fewest = min(reasons.values(), key=len)
    where = f"{len(fewest)} of {len(folds)} folds: " if len(folds) > 1 else ""
    return where + fewest[0], []


def _key(fit: Fit) -> tuple:
    return tuple(fit[key] for key in KEYS)


def _joined(
    target: str,
    kind: str,
    cells: Mapping[str, list[list[Fit]]],
    folds: Sequence[int],
    people: People,
) -> TargetPredictions:
    """Put a target's cells side by side, of each of which the fits of every fold are given."""
    parts = [
        (at, fold, ensemble([people[_key(fit)] for fit in fits]))
        for at, mine in enumerate(cells.values())
        for fold, fits in zip(folds, mine, strict=True)
    ]
    visits = [np.insert(one.visit, 0, fold, axis=1) for _, fold, one in parts]
    # Sorted by fold, eid and instance.
    rows, place = np.unique(np.concatenate(visits), axis=0, return_inverse=True)
    places = np.split(place.reshape(-1), np.cumsum([len(visit) for visit in visits])[:-1])
    y, family = np.full((2, len(rows)), np.nan)
    predicted, differ = np.full((len(rows), len(cells)), np.nan), np.zeros(len(rows), dtype=bool)
    for (cell, _, one), at in zip(parts, places, strict=True):
        differ[at] |= np.isfinite(y[at]) & (y[at] != one.y_true)
        y[at], family[at], predicted[at, cell] = one.y_true, one.family, one.y_pred
    if differ.any():
        raise InputError(
            f"Cells of target {target!r} differ in the true value of {differ.sum()} test people: "
            "they are of different runs. Delete the folders 06_models and 07_model_output, and "
            "run `kedro run --pipelines modelling`."
        )
    # Thresholds differ between seeds only where chosen so.
    cuts = [
        [np.median([threshold_of(fit, kind) for fit in fits]) for fits in mine]
        for mine in cells.values()
    ]
    return TargetPredictions(
        target,
        kind,
        inputs=tuple(cells),
        visit=rows[:, 1:],
        family=family.astype(np.int64),
        fold=rows[:, 0],
        y=y,
        predicted=predicted,
        threshold=np.transpose(cuts),
        folds=tuple(folds),
    )
