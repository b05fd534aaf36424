"""Interval of a balanced accuracy from score intervals of sensitivity and specificity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.proportion import proportion_confint

from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.sums import Floats


def newcombe_interval(
    right_pos: ArrayLike,
    n_pos: ArrayLike,
    right_neg: ArrayLike,
    n_neg: ArrayLike,
    level: float = 0.95,
) -> tuple[Floats, Floats]:
    """Interval of the mean of sensitivity and specificity.

    Parameters
    ----------
    right_pos, right_neg : array_like, shape (cells,)
        Number of positives called positive, and of negatives called negative.
    n_pos, n_neg : array_like, shape (cells,)
        Number of positives and negatives.

    Returns
    -------
    (ndarray, ndarray), each of shape (cells,)
        Lower and upper bounds, between 0 and 1; NaN where a class is empty.

    Notes
    -----
    Wilson's intervals of the two shares (by statsmodels), joined as Newcombe does for a
    difference of proportions (Stat. Med. 17:873, 1998, method 10); that this recovers the
    variance of any linear combination is from Zou & Donner (Stat. Med. 27:1693, 2008).
    ``tests/statistics/certainty/test_newcombe.py`` compares it with statsmodels' interval of a
    difference. Wilson's intervals count independent people. Relatives, or several visits of a
    person, make the effective number smaller, and the interval is too narrow by the square root of
    that ratio; where families are large, use the bootstrap.
    """
    parts = []
    for right, n in ((right_pos, n_pos), (right_neg, n_neg)):
        count, size = np.asarray(right, dtype=float), np.asarray(n, dtype=float)
        some = size > 0
        safe = np.where(some, size, 1.0)
        low, high = proportion_confint(count, safe, alpha=1 - level, method="wilson")
        parts.append([np.where(some, value, np.nan) for value in (count / safe, low, high)])
    (sens, sens_low, sens_high), (spec, spec_low, spec_high) = parts
    middle = (sens + spec) / 2
    down = np.hypot(sens - sens_low, spec - spec_low) / 2
    up = np.hypot(sens_high - sens, spec_high - spec) / 2
    return middle - down, middle + up


def accuracy_intervals(
    table: TargetPredictions, estimate: Floats, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Intervals of the balanced accuracy, or median-split accuracy, of a target's cells.

    Parameters
    ----------
    estimate : ndarray, shape (cells,)
        The score: mean over folds, from `estimate_cells`.

    Returns
    -------
    (ndarray, ndarray), each of shape (cells,)
        Lower and upper bounds; NaN where the estimate is.

    Notes
    -----
    `newcombe_interval` of the right calls of all folds together, moved to the mean over folds.
    The two centres are the same with one fold, and differ with several by how unequally classes
    and people fall into folds. An interval for each fold would be biased to one half by Wilson's
    centring in small classes, once for every fold.
    """
    row = np.searchsorted(table.folds, table.fold)
    threshold = table.threshold[row]
    positive = KINDS[table.kind].positive(table.y[:, None], threshold)
    known, called = ~np.isnan(table.predicted), table.predicted > threshold
    right_pos, n_pos, right_neg, n_neg = (
        (known & each).sum(axis=0)
        for each in (positive & called, positive, ~positive & ~called, ~positive)
    )
    low, high = newcombe_interval(right_pos, n_pos, right_neg, n_neg, level)
    centre = (right_pos / np.maximum(n_pos, 1) + right_neg / np.maximum(n_neg, 1)) / 2
    moved = estimate - centre
    return np.clip(low + moved, 0.0, 1.0), np.clip(high + moved, 0.0, 1.0)
