"""Every metric of every cell of a target with its interval, and whether it can be trusted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from ukb_brain.statistics.certainty.delong import delong, logit_interval
from ukb_brain.statistics.draws import FamilyDraws, bca_interval, expanded_level
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.scores.cell_scores import (
    Scores,
    estimate_cells,
    jackknife_cells,
    percentile_bounds,
    score_cells,
)
from ukb_brain.statistics.scores.skill import SAME_FOR_ALL, TOO_FEW
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of


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


def newcombe_interval(right: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Interval of the mean of sensitivity and specificity.

    Parameters
    ----------
    right : array_like, shape (2,) or (2, cells)
        Number of positives called positive, and of negatives called negative.
    n : array_like, of the same shape
        Number of positives and negatives.

    Returns
    -------
    (ndarray, ndarray), each of shape () or (cells,)
        Lower and upper bounds, between 0 and 1; NaN where a class is empty.

    Notes
    -----
    Wilson's intervals of the two shares (by statsmodels), joined as Newcombe does for a
    difference of proportions (Stat. Med. 17:873, 1998, method 10); that this recovers the
    variance of any linear combination is from Zou & Donner (Stat. Med. 27:1693, 2008).
    ``tests/statistics/certainty/test_cell_intervals.py`` compares it with statsmodels' interval of
    a difference. Wilson's intervals count independent people. Relatives, or several visits of a
    person, make the effective number smaller, and the interval is too narrow by the square root of
    that ratio; where families are large, use the bootstrap.
    """
    some = np.where(np.asarray(n) > 0, n, np.nan)
    shares = np.asarray(right) / some
    ends = proportion_confint(right, some, alpha=1 - level, method="wilson")
    down, up = (np.hypot(*(shares - end)) / 2 for end in ends)
    return shares.mean(axis=0) - down, shares.mean(axis=0) + up


def accuracy_intervals(table: TargetPredictions, estimate: Floats, level: float = 0.95) -> Floats:
    """Intervals of the balanced accuracy, or median-split accuracy, of a target's cells.

    Parameters
    ----------
    estimate : ndarray, shape (cells,)
        The score: mean over folds, from `estimate_cells`.

    Returns
    -------
    ndarray, shape (2, cells)
        Lower and upper bounds; NaN where the estimate is.

    Notes
    -----
    `newcombe_interval` of the right calls of all folds together, moved to the mean over folds.
    The two centres are the same with one fold, and differ with several by how unequally classes
    and people fall into folds. An interval for each fold would be biased to one half by Wilson's
    centring in small classes, once for every fold.
    """
    threshold = table.threshold[table.row_of_fold]
    positive = KINDS[table.kind].positive(table.y[:, None], threshold)
    classes = np.stack([positive, ~positive]) & ~np.isnan(table.predicted)
    right = (classes & (positive == (table.predicted > threshold))).sum(axis=1)
    n = classes.sum(axis=1)
    centre = (right / np.maximum(n, 1)).mean(axis=0)
    return np.clip(np.array(newcombe_interval(right, n, level)) + estimate - centre, 0.0, 1.0)


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


def _bca(scored: ScoredCells, metric: str, level: float | Floats) -> Floats:
    levels = np.broadcast_to(level, len(scored.table.inputs))
    columns = scored.estimate[metric], scored.drawn[metric].T, scored.left_out[metric].T, levels
    return np.transpose([bca_interval(*cell) for cell in zip(*columns, strict=True)])


def _expanded(scored: ScoredCells, metric: str, level: float) -> Floats:
    positives = (~np.isnan(scored.table.predicted[scored.table.y > 0])).sum(axis=0)
    return _bca(scored, metric, np.array([expanded_level(level, int(n)) for n in positives]))


METHODS: dict[str, Callable[[ScoredCells, str, float], Floats]] = {
    "percentile": lambda of, metric, level: percentile_bounds(
        of.estimate[metric], of.drawn[metric], level
    ),
    "bca": _bca,
    "expanded": _expanded,
    "delong": _delong,
    "newcombe": lambda of, metric, level: accuracy_intervals(of.table, of.estimate[metric], level),
}


def interval_table(
    targets: Mapping[str, TargetPredictions], draws: FamilyDraws, level: float = 0.95
) -> pd.DataFrame:
    """Give every metric of every cell its recommended interval.

    Returns
    -------
    pandas.DataFrame
        One row a target, metric and cell: ``target, inputs, metric, method, estimate, low, high,
        note, validated``, the last two why there is no interval, where there is none, and whether
        it is of a size of sample in which its coverage was found to be within 93 and 97 %
        (`ukb_brain.statistics.kinds`).

    Notes
    -----
    ``tests/statistics/certainty/test_coverage.py`` measures how often these intervals hold the
    truth.
    """
    tables = []
    for table in targets.values():
        kind, scored = KINDS[table.kind], ScoredCells(table, draws.weights(table.family))
        by_fold = pd.DataFrame(table.predicted).groupby(table.fold)
        constant = (by_fold.max() - by_fold.min()).max() == 0
        known = np.isfinite(table.predicted).T
        validated = [
            kind.validated(kind.rarest(table.y[people]), score)
            for people, score in zip(known, scored.estimate[kind.headline].tolist(), strict=True)
        ]
        for metric, method in kind.metrics.items():
            low, high = scored.bounds(metric, method, level)
            names = {"target": table.target, "metric": metric, "method": method}
            rows = pd.DataFrame({"inputs": table.inputs} | names)
            rows = rows.assign(estimate=scored.estimate[metric], low=low, high=high)
            without = rows["estimate"].notna() & rows["low"].isna()
            note = np.where(without, np.where(constant, SAME_FOR_ALL, TOO_FEW), "")
            tables.append(rows.assign(note=note, validated=validated))
    return table_of(reported.intervals, pd.concat(tables, ignore_index=True) if tables else ())


def errors_without_fail(intervals: pd.DataFrame, level: float = 0.95) -> pd.Series:
    """Give standard errors of skill where a trait is read without fail, which no draw varies.

    By target and inputs, of areas of 1: as far as their lower bound, which class sizes give, lies
    below.
    """
    mine = intervals[(intervals["metric"] == BINARY.headline) & (intervals["estimate"] == 1)]
    mine = mine.set_index(["target", "inputs"])
    return BINARY.gain(1 - mine["low"]) / norm.ppf((1 + level) / 2)
