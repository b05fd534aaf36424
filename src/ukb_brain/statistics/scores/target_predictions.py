"""All cells of a target side by side: one row a test person and visit, one column a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.scores.folds import Predicted, predicted_people
from ukb_brain.statistics.scores.legibility_map import Combined, combine, fits_by_cell
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
    family : ndarray of int, shape (n,)
        Relatives have the same.
    fold : ndarray of int, shape (n,)
        In which each was tested.
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
        """Look up a cell that was chosen by its inputs.

        Parameters
        ----------
        inputs : Inputs
            Such as those of `ukb_brain.grid.Grid.fullest`.

        Returns
        -------
        (str, ndarray of shape (n,)) or None
            Their published name, and what the cell predicts; None where it has no scores.
        """
        if inputs.name not in self.inputs:
            return None
        return inputs.name, self.predicted[:, self.inputs.index(inputs.name)]


def gather_targets(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> dict[str, TargetPredictions]:
    """Collect what a strategy predicts for test people, with seeds averaged within a fold.

    Seeds and folds are combined by `ukb_brain.statistics.scores.legibility_map.combine`, so these
    are the people and the predictions that the legibility map scores.

    Parameters
    ----------
    predictions : pandas.DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``.
    cell_fits : pandas.DataFrame
        One row a target, inputs, strategy, fold and seed.
    participants : pandas.DataFrame
        ``eid, instance, family``.
    grid : Grid
        Gives the kinds and the order.
    strategy : str
        Name of a strategy among the fits.

    Returns
    -------
    dict of str to TargetPredictions
        By target, in the order of the grid; of cells with the status ``ok``, so a target without
        any is absent.

    Raises
    ------
    InputError
        If no fit is of that strategy, predictions belong to nobody among the participants, seeds
        have different test people, or cells of a target differ in what is true of a person.

    Notes
    -----
    ``tests/statistics/scores/test_target_predictions.py`` scores these tables fold by fold and
    compares the result with `ukb_brain.statistics.score_map`.
    """
    fits = cell_fits.loc[cell_fits["strategy"] == strategy]
    if fits.empty:
        raise InputError(
            f"There are no fits of strategy {strategy!r}, only of "
            f"{sorted(cell_fits['strategy'].unique())}: name one of these."
        )
    people = predicted_people(predictions.loc[predictions["strategy"] == strategy], participants)
    family = participants.set_index(["eid", "instance"])["family"]
    folds = sorted(fits["fold"].unique().tolist())
    of_cell = fits_by_cell(fits)
    scored: dict[str, dict[str, Combined]] = {}
    for cell in grid.cells:
        mine = of_cell.get((cell.target, cell.inputs.name))
        if mine:
            combined = combine(mine, folds, grid.targets[cell.target].kind, people)
            if combined.status == "ok":
                scored.setdefault(cell.target, {})[cell.inputs.name] = combined
    return {
        target: _side_by_side(target, grid.targets[target].kind, cells, folds, family)
        for target, cells in scored.items()
    }


def _side_by_side(
    target: str,
    kind: str,
    cells: dict[str, Combined],
    folds: Sequence[int],
    family: pd.Series,
) -> TargetPredictions:
    columns = {name: _columns(combined.averaged, folds) for name, combined in cells.items()}
    # The outer join sorts by fold, eid and instance.
    both = pd.concat(columns, axis=1).sort_index()
    truth = both.xs("y_true", axis=1, level=1).to_numpy(float)
    lowest, highest = np.nanmin(truth, axis=1), np.nanmax(truth, axis=1)
    if (lowest != highest).any():
        raise InputError(
            f"Cells of target {target!r} differ in the true value of "
            f"{int((lowest != highest).sum())} test people: they are of different runs. Delete "
            "the folders 06_models and 07_model_output, and run `kedro run --pipelines modelling`."
        )
    label, eid, instance = (both.index.get_level_values(name) for name in ROW)
    return TargetPredictions(
        target=target,
        kind=kind,
        inputs=tuple(cells),
        visit=np.column_stack([eid, instance]).astype(np.int64),
        family=family.loc[pd.MultiIndex.from_arrays([eid, instance])].to_numpy(np.int64),
        fold=label.to_numpy(np.int64),
        y=lowest,
        predicted=both.xs("y_pred", axis=1, level=1).to_numpy(float),
        threshold=np.array([combined.threshold for combined in cells.values()], dtype=float).T,
        folds=tuple(folds),
    )


def _columns(averaged: Sequence[Predicted], folds: Sequence[int]) -> pd.DataFrame:
    visit = np.concatenate([one.visit for one in averaged])
    label = np.repeat(folds, [len(one.y_true) for one in averaged])
    return pd.DataFrame(
        {
            "y_true": np.concatenate([one.y_true for one in averaged]),
            "y_pred": np.concatenate([one.y_pred for one in averaged]),
        },
        index=pd.MultiIndex.from_arrays([label, visit[:, 0], visit[:, 1]], names=ROW),
    )
