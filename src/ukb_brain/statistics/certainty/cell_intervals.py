"""Every metric of every cell of a target with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ukb_brain.statistics.certainty.bca import bca_interval, expanded_level
from ukb_brain.statistics.certainty.delong import delong, logit_interval
from ukb_brain.statistics.certainty.newcombe import accuracy_intervals
from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.cell_scores import (
    Scores,
    estimate_cells,
    jackknife_cells,
    score_cells,
)
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.sums import Floats


@dataclass(frozen=True, eq=False)
class ScoredCells:
    """Scores of a target's cells, on which all intervals rest.

    Attributes
    ----------
    table : TargetPredictions
        Of one target, with n rows.
    weights : ndarray, shape (draws, n)
        From `FamilyDraws.weights`.
    """

    table: TargetPredictions
    weights: Floats

    @cached_property
    def estimate(self) -> Scores:
        """By metric, of the sample, shape (cells,)."""
        return estimate_cells(self.table)

    @cached_property
    def drawn(self) -> Scores:
        """In each bootstrap draw, shape (draws, cells)."""
        return score_cells(self.table, self.weights)

    @cached_property
    def left_out(self) -> Scores:
        """Without one family or block of families, shape (blocks, cells)."""
        return jackknife_cells(self.table)

    def bounds(self, metric: str, method: str, level: float) -> Floats:
        """Give the lower and upper bounds of all cells, shape (2, cells), NaN where there are none.

        Methods are ``percentile``; ``bca``; ``expanded``, BCa at a level raised for few positives;
        ``delong`` of the AUC; and ``newcombe`` of an accuracy.
        """
        return METHODS[method](self, metric, level)


def _newcombe(scored: ScoredCells, metric: str, level: float) -> Floats:
    return np.array(accuracy_intervals(scored.table, scored.estimate[metric], level))


def _delong(scored: ScoredCells, metric: str, level: float) -> Floats:
    table = scored.table
    bounds = np.full((2, len(table.inputs)), np.nan)
    # Cells of the same imaging groups have the same people.
    patterns, of_cell = np.unique(~np.isnan(table.predicted), axis=1, return_inverse=True)
    for at, known in enumerate(patterns.T):
        cells, y = np.flatnonzero(of_cell.reshape(-1) == at), table.y[known]
        predicted = table.predicted[np.ix_(known, cells)]
        areas = delong(y, predicted, table.family[known], table.fold[known])
        n_pos = int((y > 0).sum())
        for cell, auc, se, df in zip(cells, areas.auc, areas.se, areas.df, strict=True):
            sizes = n_pos, len(y) - n_pos
            bounds[:, cell] = logit_interval(float(auc), float(se), *sizes, level, float(df))
    return bounds


def _percentile(scored: ScoredCells, metric: str, level: float) -> Floats:
    known = np.isfinite(scored.estimate[metric])
    bounds = [percentile_interval(drawn, level) for drawn in scored.drawn[metric].T]
    return np.where(known, np.transpose(bounds), np.nan)


def _bca(scored: ScoredCells, metric: str, level: float) -> Floats:
    return _bca_at(scored, metric, np.full(len(scored.table.inputs), level))


def _expanded(scored: ScoredCells, metric: str, level: float) -> Floats:
    positives = (~np.isnan(scored.table.predicted[scored.table.y > 0])).sum(axis=0)
    return _bca_at(scored, metric, np.array([expanded_level(level, int(n)) for n in positives]))


def _bca_at(scored: ScoredCells, metric: str, levels: Floats) -> Floats:
    columns = scored.estimate[metric], scored.drawn[metric].T, scored.left_out[metric].T, levels
    return np.transpose([bca_interval(*cell) for cell in zip(*columns, strict=True)])


METHODS: dict[str, Callable[[ScoredCells, str, float], Floats]] = {
    "percentile": _percentile,
    "bca": _bca,
    "expanded": _expanded,
    "delong": _delong,
    "newcombe": _newcombe,
}


def score_cells_with_intervals(
    table: TargetPredictions, draws: FamilyDraws, level: float = 0.95
) -> pd.DataFrame:
    """Score every metric of every cell of a target, with its recommended interval.

    Returns
    -------
    pandas.DataFrame
        One row a metric and cell: ``target, inputs, metric, method, estimate, low, high``.

    Notes
    -----
    ``tests/statistics/certainty/test_coverage.py`` measures how often these intervals hold the
    truth.
    """
    scored = ScoredCells(table, draws.weights(table.family))
    rows = []
    for metric, method in KINDS[table.kind].metrics.items():
        low, high = scored.bounds(metric, method, level)
        names = {"target": table.target, "inputs": table.inputs, "metric": metric, "method": method}
        values = {"estimate": scored.estimate[metric], "low": low, "high": high}
        rows.append(pd.DataFrame(names | values))
    return pd.concat(rows, ignore_index=True)
