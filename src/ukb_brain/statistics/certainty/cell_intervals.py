"""Every metric of every cell of a target with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.statistics.certainty.bca import bca_interval, expanded_level
from ukb_brain.statistics.certainty.delong import delong, logit_interval
from ukb_brain.statistics.certainty.newcombe import accuracy_intervals
from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.kinds import RECOMMENDED
from ukb_brain.statistics.scores.cell_scores import (
    Scores,
    estimate_cells,
    jackknife_cells,
    score_cells,
)
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.sums import Floats

Method = Literal["recommended", "percentile", "bca"]


@dataclass(frozen=True, eq=False)
class ScoredCells:
    """Scores of a target's cells, on which all intervals rest.

    Attributes
    ----------
    table : TargetPredictions
        What was scored.
    estimate : dict of str to ndarray, shape (cells,)
        By metric, on the sample.
    drawn : dict of str to ndarray, shape (draws, cells)
        In each bootstrap draw.
    left_out : dict of str to ndarray, shape (blocks, cells)
        Without one family or block of families; empty where no BCa interval is wanted.
    """

    table: TargetPredictions
    estimate: Scores
    drawn: Scores
    left_out: Scores

    def bounds(self, metric: str, method: str, level: float) -> Floats:
        """Give the bounds of all cells.

        Parameters
        ----------
        metric : str
            A metric of the target's kind.
        method : str
            ``percentile`` or ``bca``; ``expanded``, BCa at a level raised for few positives;
            ``delong`` of the AUC; ``newcombe`` of an accuracy.
        level : float
            Coverage, between 0 and 1.

        Returns
        -------
        ndarray, shape (2, cells)
            Lower and upper; NaN where there are none.
        """
        estimate = self.estimate[metric]
        if method == "newcombe":
            return np.array(accuracy_intervals(self.table, estimate, level))
        if method == "delong":
            return _delong_bounds(self.table, level)
        levels = np.full(len(estimate), level)
        if method == "expanded":
            positives = (~np.isnan(self.table.predicted[self.table.y > 0])).sum(axis=0)
            levels = np.array([expanded_level(level, int(n)) for n in positives])
        bounds = np.full((2, len(estimate)), np.nan)
        for cell in np.flatnonzero(np.isfinite(estimate) & np.isfinite(levels)):
            drawn, at = self.drawn[metric][:, cell], float(levels[cell])
            if method == "percentile":
                bounds[:, cell] = percentile_interval(drawn, at)
            else:
                left_out = self.left_out[metric][:, cell]
                bounds[:, cell] = bca_interval(float(estimate[cell]), drawn, left_out, at)
        return bounds


def scored_cells(
    table: TargetPredictions, weights: Floats, threads: int = 1, jackknife: bool = True
) -> ScoredCells:
    """Score a target's cells on the sample, in all draws, and for the jackknife.

    Parameters
    ----------
    table : TargetPredictions
        Of one target, with n rows.
    weights : ndarray, shape (draws, n)
        From `FamilyDraws.weights`.
    threads : int
        Cells whose areas are computed at the same time.
    jackknife : bool
        Without it there are no BCa intervals.

    Returns
    -------
    ScoredCells
    """
    drawn = score_cells(table, weights, threads)
    left_out = jackknife_cells(table, threads=threads) if jackknife else {}
    return ScoredCells(table, estimate_cells(table), drawn, left_out)


def score_cells_with_intervals(
    table: TargetPredictions,
    draws: FamilyDraws,
    level: float = 0.95,
    method: Method = "recommended",
    threads: int = 1,
) -> pd.DataFrame:
    """Score every metric of every cell of a target, with intervals.

    Parameters
    ----------
    table : TargetPredictions
        Of one target.
    draws : FamilyDraws
        Of all families of the table.
    level : float
        Coverage of the intervals, between 0 and 1.
    method : str
        ``percentile`` or ``bca`` for all metrics, or ``recommended``: for each the one that
        `ukb_brain.statistics.kinds` names.
    threads : int
        Cells whose areas are computed at the same time. It changes no result.

    Returns
    -------
    pandas.DataFrame
        One row a metric and cell: ``target, inputs, metric, method, estimate, low, high``.

    Raises
    ------
    InputError
        If the method is unknown.

    Notes
    -----
    ``tests/statistics/certainty/test_cell_intervals.py`` compares the percentile intervals with
    `ukb_brain.statistics.scores.folds.score_folds`, and
    ``tests/statistics/certainty/test_coverage.py`` measures how often the recommended ones hold the
    truth.
    """
    if method not in get_args(Method):
        raise InputError(
            f"The method of intervals is {method!r}; it is one of {', '.join(get_args(Method))}."
        )
    weights = draws.weights(table.family)
    scored = scored_cells(table, weights, threads, jackknife=method != "percentile")
    rows = []
    for metric, estimate in scored.estimate.items():
        chosen = RECOMMENDED[metric] if method == "recommended" else method
        low, high = scored.bounds(metric, chosen, level)
        of_metric = {"target": table.target, "inputs": table.inputs, "metric": metric}
        values = {"method": chosen, "estimate": estimate, "low": low, "high": high}
        rows.append(pd.DataFrame(of_metric | values))
    return pd.concat(rows, ignore_index=True)


def _delong_bounds(table: TargetPredictions, level: float) -> Floats:
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
