"""All cells of a target side by side: one row a test person and visit, one column a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.scores.folds import joined
from ukb_brain.statistics.scores.legibility_map import Combined, combine_cells
from ukb_brain.statistics.sums import Floats

ROW = ["fold", "eid", "instance"]


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

    def cell(self, inputs: Inputs) -> TargetPredictions | None:
        """Keep one cell, and the people whom it has; None: it has no scores."""
        if inputs.name not in self.inputs:
            return None
        at = [self.inputs.index(inputs.name)]
        columns = {"predicted": self.predicted[:, at], "threshold": self.threshold[:, at]}
        one = replace(self, inputs=(inputs.name,), **columns)
        return one.restricted(np.isfinite(one.predicted[:, 0]))

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

    These are the people and the predictions that the legibility map scores, by
    `ukb_brain.statistics.scores.legibility_map.combine_cells`.

    Returns
    -------
    dict of str to TargetPredictions
        By target, in the order of the grid; of cells with the status ``ok``, so a target without
        any is absent.

    Raises
    ------
    InputError
        As of `combine_cells`, or if seeds have different test people, or cells of a target differ
        in what is true of a person.

    Notes
    -----
    ``tests/statistics/scores/test_target_predictions.py`` scores these tables fold by fold and
    compares the result with `ukb_brain.statistics.scores.legibility_map.score_map`.
    """
    family = participants.set_index(["eid", "instance"])["family"]
    scored: dict[str, dict[str, Combined]] = {}
    cells = combine_cells(predictions, cell_fits, participants, grid, strategy)
    for (target, inputs), combined in cells.items():
        if combined.status == "ok":
            scored.setdefault(target, {})[inputs] = combined
    return {target: _side_by_side(target, mine, family) for target, mine in scored.items()}


def _side_by_side(
    target: str, cells: Mapping[str, Combined], family: pd.Series
) -> TargetPredictions:
    # The outer join sorts by fold, eid and instance.
    both = pd.concat({name: _columns(cell) for name, cell in cells.items()}, axis=1).sort_index()
    truth = both.xs("y_true", axis=1, level=1).to_numpy(float)
    lowest, highest = np.nanmin(truth, axis=1), np.nanmax(truth, axis=1)
    if (lowest != highest).any():
        raise InputError(
            f"Cells of target {target!r} differ in the true value of "
            f"{int((lowest != highest).sum())} test people: they are of different runs. Delete "
            "the folders 06_models and 07_model_output, and run `kedro run --pipelines modelling`."
        )
    label, eid, instance = (both.index.get_level_values(name) for name in ROW)
    any_cell = next(iter(cells.values()))
    return TargetPredictions(
        target=target,
        kind=any_cell.kind,
        inputs=tuple(cells),
        visit=np.column_stack([eid, instance]).astype(np.int64),
        family=family.loc[pd.MultiIndex.from_arrays([eid, instance])].to_numpy(np.int64),
        fold=label.to_numpy(np.int64),
        y=lowest,
        predicted=both.xs("y_pred", axis=1, level=1).to_numpy(float),
        threshold=np.array([cell.threshold for cell in cells.values()], dtype=float).T,
        folds=tuple(any_cell.folds),
    )


def _columns(cell: Combined) -> pd.DataFrame:
    place, people = joined(cell.averaged)
    index = [np.array(cell.folds)[place], *people.visit.T]
    values = {"y_true": people.y_true, "y_pred": people.y_pred}
    return pd.DataFrame(values, index=pd.MultiIndex.from_arrays(index, names=ROW))
