"""Scores of one cell, written plainly, to which the engine of scores is held.

Each function takes ``y_true`` and ``y_pred``, shape ``(n,)``, and ``weights``, shape
``(draws, n)``: how often each person counts in each draw. It returns one score a draw, shape
``(draws,)``, NaN where the draw leaves the score undefined (one class, a constant). With a row of
ones the score is that of the sample; with the counts of a bootstrap draw it equals the score of
the resample, which is never written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.statistics.scores.engine import POOLED
from ukb_brain.statistics.weighted_sums import ROUNDING, Floats, ratio


class Predicted(NamedTuple):
    """Test people of a cell in one fold."""

    visit: NDArray[np.int64]
    family: NDArray[np.int64]
    y_true: Floats
    y_pred: Floats


Score = Callable[[Floats, Floats, Floats], Floats]
# From families, shape (n,), to bootstrap weights, shape (draws, n).
Weights = Callable[[NDArray[np.int64]], Floats]


def _by_score(y_true: Floats, y_pred: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Sum the weights of negatives and of positives for each distinct score, low to high."""
    order = np.argsort(y_pred, kind="stable")
    score, positive = y_pred[order], y_true[order] > 0
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    ordered = weights[:, order]
    positives = ordered * positive
    negatives = ordered - positives
    if len(starts) < len(score):
        negatives = np.add.reduceat(negatives, starts, axis=1)
        positives = np.add.reduceat(positives, starts, axis=1)
    return negatives, positives


def roc_auc(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Area under the receiver operating characteristic; tied scores count one half."""
    negatives, positives = _by_score(y_true, y_pred, weights)
    below = np.cumsum(negatives, axis=1) - 0.5 * negatives
    won = np.einsum("dg,dg->d", positives, below)
    return ratio(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precision(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Area under the precision-recall steps, without interpolation."""
    negatives, positives = _by_score(y_true, y_pred, weights)
    found = np.cumsum(positives[:, ::-1], axis=1)
    called = found + np.cumsum(negatives[:, ::-1], axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return ratio(np.einsum("dg,dg->d", positives[:, ::-1], precision), positives.sum(axis=1))


def balanced_accuracy(
    y_true: Floats, y_pred: Floats, weights: Floats, threshold: float = 0.5
) -> Floats:
    """Mean of sensitivity and specificity; a score above the threshold is called positive."""
    positive, called = y_true > 0, y_pred > threshold
    parts = np.stack([positive, positive & called, ~positive, ~positive & ~called], axis=1)
    n_pos, true_pos, n_neg, true_neg = (weights @ parts.astype(float)).T
    return (ratio(true_pos, n_pos) + ratio(true_neg, n_neg)) / 2


def brier(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Mean squared difference of probability and label."""
    return ratio(weights @ (y_pred - y_true) ** 2, weights.sum(axis=1))


def _moments(values: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted sum of squares about the weighted mean; NaN where the draw is constant."""
    centred = values - values.mean()
    total = weights.sum(axis=1)
    first = ratio(weights @ centred, total)
    squares = weights @ centred**2 - total * first**2
    floor = ROUNDING * (weights @ centred**2) + np.finfo(float).tiny
    return np.where(squares > floor, squares, np.nan), centred, first


def r2(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Share of the variance that is explained, about the mean of the draw."""
    total, _, _ = _moments(y_true, weights)
    return 1 - weights @ (y_true - y_pred) ** 2 / total


def pearson_r(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Pearson's correlation."""
    of_true, true, mean_true = _moments(y_true, weights)
    of_pred, pred, mean_pred = _moments(y_pred, weights)
    shared = weights @ (true * pred) - weights.sum(axis=1) * mean_true * mean_pred
    return np.clip(shared / np.sqrt(of_true * of_pred), -1.0, 1.0)


def mae(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Mean absolute error, in the target's own units."""
    return ratio(weights @ np.abs(y_true - y_pred), weights.sum(axis=1))


def median_split_accuracy(
    y_true: Floats, y_pred: Floats, weights: Floats, train_median: float
) -> Floats:
    """Balanced accuracy of a continuous target after both are split at the training median."""
    above = (y_true > train_median).astype(float)
    return balanced_accuracy(above, y_pred, weights, train_median)


def scores_of(kind: str, threshold: float) -> dict[str, Score]:
    """Name the metrics of a kind of target, in the order of the performance table."""
    if kind == "binary":
        return {
            "balanced_accuracy": lambda y, p, w: balanced_accuracy(y, p, w, threshold),
            "roc_auc": roc_auc,
            "average_precision": average_precision,
            "brier": brier,
        }
    return {
        "r2": r2,
        "pearson_r": pearson_r,
        "mae": mae,
        "median_split_accuracy": lambda y, p, w: median_split_accuracy(y, p, w, threshold),
    }


def mean_by_people(scores: Floats, people: Floats) -> Floats:
    """Average the scores of groups, each counted by its people."""
    counted = people * np.isfinite(scores)
    total = counted.sum(axis=0)
    share = np.divide(counted, total, out=np.zeros_like(counted), where=total > 0)
    return np.where(total > 0, (share * np.nan_to_num(scores)).sum(axis=0), np.nan)


def score_with_interval(
    score: Score, y_true: Floats, y_pred: Floats, weights: Floats, level: float = 0.95
) -> tuple[float, float, float]:
    """Score a cell, with a percentile bootstrap interval."""
    n = len(y_true)
    if n < 2:
        return np.nan, np.nan, np.nan
    estimate = float(score(y_true, y_pred, np.ones((1, n)))[0])
    if np.isnan(estimate):
        return np.nan, np.nan, np.nan
    return estimate, *percentile_interval(score(y_true, y_pred, weights), level)


def score_folds_with_interval(
    scores: Sequence[Score],
    y_true: Sequence[Floats],
    y_pred: Sequence[Floats],
    weights: Sequence[Floats],
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Score each fold by itself and average, with a percentile bootstrap interval."""
    folds = list(zip(scores, y_true, y_pred, strict=True))
    ones = [np.ones((1, len(y))) for y in y_true]
    each = np.array([score(y, p, one) for (score, y, p), one in zip(folds, ones, strict=True)])
    estimate = float(mean_by_people(each, _people(ones))[0])
    if np.isnan(each).any():
        return np.nan, np.nan, np.nan
    drawn = [score(y, p, w) for (score, y, p), w in zip(folds, weights, strict=True)]
    return estimate, *percentile_interval(mean_by_people(np.array(drawn), _people(weights)), level)


def _people(weights: Sequence[Floats]) -> Floats:
    """How many each fold has in each draw, shape (folds, draws)."""
    return np.array([fold.sum(axis=1) for fold in weights])


def score_folds(
    kind: str,
    folds: Sequence[Predicted],
    thresholds: Sequence[float],
    weights: Weights | None = None,
    level: float = 0.95,
) -> dict[str, float]:
    """Score a cell over its folds."""
    by_fold = [scores_of(kind, float(threshold)) for threshold in thresholds]
    y_true, y_pred = [fold.y_true for fold in folds], [fold.y_pred for fold in folds]
    drawn = [weights(fold.family) if weights else np.ones((1, len(fold.family))) for fold in folds]
    all_true, all_pred = np.concatenate(y_true), np.concatenate(y_pred)
    all_drawn = np.concatenate(drawn, axis=1)
    row: dict[str, float] = {}
    for metric, score in by_fold[0].items():
        if metric in POOLED:
            found = score_with_interval(score, all_true, all_pred, all_drawn, level)
        else:
            scores = [named[metric] for named in by_fold]
            found = score_folds_with_interval(scores, y_true, y_pred, drawn, level)
        row[metric] = found[0]
        if weights:
            row[f"{metric}_low"], row[f"{metric}_high"] = found[1:]
    return row
