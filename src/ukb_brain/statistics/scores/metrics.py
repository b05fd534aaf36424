"""Scores of a cell under many weightings of its people at once.

Each function takes ``y_true`` and ``y_pred``, shape ``(n,)``, and ``weights``, shape
``(draws, n)``: how often each person counts in each draw. It returns one score a draw, shape
``(draws,)``, NaN where the draw leaves the score undefined (one class, a constant). With a row of
ones the score is that of the sample; with the counts of a bootstrap draw it equals the score of
the resample, which is never written out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats, Floats, Floats], Floats]

# A weighted variance below this share of the unweighted one is rounding error of a constant.
ROUNDING = 1e-12


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide, and give NaN where the divisor is not above 0.

    Parameters
    ----------
    above, below : ndarray
        Of one shape.

    Returns
    -------
    ndarray
    """
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


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
    """Area under the receiver operating characteristic; tied scores count one half.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        Labels 0 or 1, and scores.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw has one class.
    """
    negatives, positives = _by_score(y_true, y_pred, weights)
    below = np.cumsum(negatives, axis=1) - 0.5 * negatives
    won = np.einsum("dg,dg->d", positives, below)
    return ratio(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precision(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Area under the precision-recall steps, without interpolation.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        Labels 0 or 1, and scores.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw has no positive.
    """
    negatives, positives = _by_score(y_true, y_pred, weights)
    found = np.cumsum(positives[:, ::-1], axis=1)
    called = found + np.cumsum(negatives[:, ::-1], axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return ratio(np.einsum("dg,dg->d", positives[:, ::-1], precision), positives.sum(axis=1))


def balanced_accuracy(
    y_true: Floats, y_pred: Floats, weights: Floats, threshold: float = 0.5
) -> Floats:
    """Mean of sensitivity and specificity; a score above the threshold is called positive.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        Labels 0 or 1, and scores.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.
    threshold : float
        In the unit of the scores.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw has one class.
    """
    positive, called = y_true > 0, y_pred > threshold
    parts = np.stack([positive, positive & called, ~positive, ~positive & ~called], axis=1)
    n_pos, true_pos, n_neg, true_neg = (weights @ parts.astype(float)).T
    return (ratio(true_pos, n_pos) + ratio(true_neg, n_neg)) / 2


def brier(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Mean squared difference of probability and label.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        Labels 0 or 1, and probabilities.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw is empty.
    """
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
    """Share of the variance that is explained, about the mean of the draw.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        In the target's own units.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw is constant.
    """
    total, _, _ = _moments(y_true, weights)
    return 1 - weights @ (y_true - y_pred) ** 2 / total


def pearson_r(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Pearson's correlation.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        In the target's own units.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw is constant in either.
    """
    of_true, true, mean_true = _moments(y_true, weights)
    of_pred, pred, mean_pred = _moments(y_pred, weights)
    shared = weights @ (true * pred) - weights.sum(axis=1) * mean_true * mean_pred
    return np.clip(shared / np.sqrt(of_true * of_pred), -1.0, 1.0)


def mae(y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Mean absolute error, in the target's own units.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        In the target's own units.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw is empty.
    """
    return ratio(weights @ np.abs(y_true - y_pred), weights.sum(axis=1))


def median_split_accuracy(
    y_true: Floats, y_pred: Floats, weights: Floats, train_median: float
) -> Floats:
    """Balanced accuracy of a continuous target after both are split at the training median.

    The study reports this as the "balanced accuracy" of a continuous target; it is kept for
    comparison beside R², r and the mean absolute error.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        In the target's own units.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.
    train_median : float
        Median of the target in training people.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw lies wholly on one side.
    """
    above = (y_true > train_median).astype(float)
    return balanced_accuracy(above, y_pred, weights, train_median)


def scores_of(kind: str, threshold: float) -> dict[str, Score]:
    """Name the metrics of a kind of target, in the order of the performance table.

    Parameters
    ----------
    kind : str
        ``binary`` or ``continuous``.
    threshold : float
        The decision threshold, or the training median of a continuous target.

    Returns
    -------
    dict of str to callable
        Each takes ``y_true``, ``y_pred`` and ``weights``.
    """
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
    """Average the scores of groups, each counted by its people.

    Parameters
    ----------
    scores : ndarray, shape (groups, ...)
        NaN where a group has none: it is left out.
    people : ndarray
        How many people each group has; broadcasts against the scores.

    Returns
    -------
    ndarray, shape (...)
        NaN where no group has a score.

    Notes
    -----
    ``tests/statistics/scores/test_metrics.py`` holds it to ``numpy.average`` over the groups with
    scores.
    """
    counted = people * np.isfinite(scores)
    total = counted.sum(axis=0)
    share = np.divide(counted, total, out=np.zeros_like(counted), where=total > 0)
    return np.where(total > 0, (share * np.nan_to_num(scores)).sum(axis=0), np.nan)
