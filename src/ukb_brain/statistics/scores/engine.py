"""Every metric of cells in every draw: one rule of people, folds and weights for all tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ukb_brain.statistics import draws
from ukb_brain.statistics.kinds import KINDS, POOLED
from ukb_brain.statistics.scores.areas import areas
from ukb_brain.statistics.sums import ROUNDING, Floats, ratio

Scores = dict[str, Floats]
Labels = NDArray[Any]


def score_draws(
    kind: str,
    y: Floats,
    predicted: Floats,
    weights: Floats,
    fold: Labels | None = None,
    threshold: Floats | None = None,
    metrics: Sequence[str] | None = None,
    every_fold: bool = False,
    threads: int = 1,
) -> Scores:
    """Score a target's cells in all draws at once.

    Parameters
    ----------
    kind : str
        ``binary`` or ``continuous``.
    y : ndarray, shape (n,)
        0 or 1, or in the target's own units.
    predicted : ndarray, shape (n, cells) or (n,)
        Probabilities, or in the same units; NaN where a cell lacks the person. Of a single cell
        one axis is enough.
    weights : ndarray, shape (draws, n)
        Non-negative; how often each person counts in each draw. With a row of ones the score is
        that of the sample; with the counts of a bootstrap draw it equals the score of the
        resample, which is never written out.
    fold : ndarray, shape (n,), optional
        Label of each person's fold, or other group within which people are compared; with
        thresholds the row of these. Everybody is of one where it is not given.
    threshold : ndarray, shape (folds, cells), optional
        Decision thresholds, or training medians; accuracies need them. A prediction above is
        called positive.
    metrics : sequence of str, optional
        Of the kind; all where it is not given.
    every_fold : bool
        A cell with people in a fold that has no score has none. Else a draw in which some folds
        have no score, because one class was not drawn, averages the others.
    threads : int
        Cells whose areas are computed at the same time. It changes no result.

    Returns
    -------
    dict of str to ndarray, shape (draws, cells) or (draws,)
        By metric; NaN where a draw leaves a score undefined (one class, a constant).

    Raises
    ------
    ValueError
        If the weights are not of these people, or an accuracy is wanted without thresholds.

    Notes
    -----
    R², r, mean absolute error and Brier score pool all folds; R² is about the mean of the draw's
    people. Areas and accuracies are those of each fold, averaged by the people drawn, so that
    every person counts alike: left-out sites differ in size, and a small one should not sway the
    mean. ``tests/statistics/scores/test_engine.py`` and ``test_cell_scores.py`` hold it draw by
    draw against scikit-learn on resamples that are written out, and against ``tests/plain_scores``.
    """
    if weights.ndim != 2 or weights.shape[1] != len(y):
        raise ValueError(f"weights {weights.shape} for {len(y)} rows")
    names = list(KINDS[kind].metrics if metrics is None else metrics)
    if threshold is None and KINDS[kind].accuracy in names:
        raise ValueError(f"{KINDS[kind].accuracy} without a threshold")
    fold = np.zeros(len(y), dtype=np.int64) if fold is None else fold
    cells = predicted if predicted.ndim == 2 else predicted[:, None]
    step = max(1, draws.LARGEST_CHUNK // max(1, len(y)))
    found: dict[str, list[Floats]] = {name: [] for name in names}
    for at in range(0, len(weights), step):
        chunk = weights[at : at + step]
        scores = _pooled(names, y, cells, chunk)
        by_fold = [name for name in names if name not in POOLED]
        if by_fold:
            scores |= _by_fold(by_fold, kind, y, cells, chunk, fold, threshold, every_fold, threads)
        for name in names:
            found[name].append(scores[name])
    shape = (-1, *predicted.shape[1:])
    return {name: np.concatenate(parts).reshape(shape) for name, parts in found.items()}


def headline(
    kind: str, y: Floats, predicted: Floats, weights: Floats, fold: Labels | None = None
) -> Floats:
    """Score cells by the metric that the map shows.

    Parameters
    ----------
    kind, y, predicted, weights, fold
        As for `score_draws`.

    Returns
    -------
    ndarray, shape (draws, cells) or (draws,)
        Area under the curve, or R²; NaN where a draw has none.
    """
    name = KINDS[kind].headline
    return score_draws(kind, y, predicted, weights, fold, metrics=[name])[name]


def headline_of(
    kind: str, y: Floats, predicted: Floats, fold: Labels | None = None
) -> draws.Estimator:
    """Make an estimator of a cell's `headline`, whose weights are still to come.

    Parameters
    ----------
    kind, y, predicted, fold
        As for `headline`.

    Returns
    -------
    callable
        From weights to ``score``, as `ukb_brain.statistics.draws.measured` takes it.
    """
    return lambda weights: {"score": headline(kind, y, predicted, weights, fold)}


def pearson_r(one: Floats, other: Floats, weights: Floats) -> Floats:
    """Correlate two columns of the same people in every draw.

    Parameters
    ----------
    one, other : ndarray, shape (n,)
        Complete.
    weights : ndarray, shape (draws, n)
        As for `score_draws`.

    Returns
    -------
    ndarray, shape (draws,)
        NaN where a draw is constant in either.
    """
    return score_draws("continuous", one, other, weights, metrics=["pearson_r"])["pearson_r"]


def _by_fold(
    names: Sequence[str],
    kind: str,
    y: Floats,
    predicted: Floats,
    weights: Floats,
    fold: Labels,
    threshold: Floats | None,
    every_fold: bool,
    threads: int,
) -> Scores:
    scores: dict[str, list[Floats]] = {name: [] for name in names}
    people, here = [], []
    for one in np.unique(fold):
        mine = fold == one
        drawn, known = np.ascontiguousarray(weights[:, mine]), ~np.isnan(predicted[mine])
        found = areas(y[mine], predicted[mine], drawn, names, threads)
        if threshold is not None and KINDS[kind].accuracy in names:
            positive = KINDS[kind].positive(y[mine][:, None], threshold[one])
            found[KINDS[kind].accuracy] = _balanced_accuracy(
                positive, predicted[mine], threshold[one], drawn
            )
        people.append(drawn @ known.astype(float))
        here.append(known.any(axis=0))
        for name in names:
            scores[name].append(found[name])
    # A cell that nobody of a fold belongs to is without the fold.
    needed = np.array(here)[:, None] & every_fold
    return {name: _mean(np.array(scores[name]), np.array(people), needed) for name in names}


def _mean(scores: Floats, people: Floats, needed: NDArray[np.bool_]) -> Floats:
    """Average over folds, the first axis, by their people; a needed one without a score is lost."""
    defined = np.isfinite(scores)
    counted = people * defined
    total = counted.sum(axis=0)
    share = np.divide(counted, total, out=np.zeros_like(counted), where=total > 0)
    mean = (share * np.where(defined, scores, 0.0)).sum(axis=0)
    return np.where((total > 0) & (defined | ~needed).all(axis=0), mean, np.nan)


def _balanced_accuracy(
    positive: NDArray[np.bool_], predicted: Floats, threshold: Floats, weights: Floats
) -> Floats:
    known, called = ~np.isnan(predicted), predicted > threshold
    halves = []
    for of_class, right in ((positive, called), (~positive, ~called)):
        among = known & of_class
        halves.append(ratio(weights @ (among & right).astype(float), weights @ among.astype(float)))
    return (halves[0] + halves[1]) / 2


def _pooled(names: Sequence[str], y: Floats, predicted: Floats, weights: Floats) -> Scores:
    wanted, scores = set(names) & set(POOLED), {}
    if not wanted:
        return {}
    known = ~np.isnan(predicted)
    error = np.where(known, predicted - y[:, None], 0.0)
    people = weights @ known.astype(float)
    if "brier" in wanted:
        scores["brier"] = ratio(weights @ error**2, people)
    if "mae" in wanted:
        scores["mae"] = ratio(weights @ np.abs(error), people)
    if wanted & {"r2", "pearson_r"}:
        of_true, true, mean_true = _moments(np.where(known, y[:, None], np.nan), weights, people)
    if "r2" in wanted:
        scores["r2"] = 1 - weights @ error**2 / of_true
    if "pearson_r" in wanted:
        of_pred, pred, mean_pred = _moments(predicted, weights, people)
        shared = weights @ (true * pred) - people * mean_true * mean_pred
        scores["pearson_r"] = np.clip(shared / np.sqrt(of_true * of_pred), -1.0, 1.0)
    return scores


def _moments(values: Floats, weights: Floats, people: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted sums of squares about the draw's mean, values about the sample's, and means.

    A variance that is rounding error only is none.
    """
    known = ~np.isnan(values)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - mean, 0.0)
    first = ratio(weights @ centred, people)
    about_sample = weights @ centred**2
    squares = about_sample - people * first**2
    floor = ROUNDING * about_sample + np.finfo(float).tiny
    return np.where(squares > floor, squares, np.nan), centred, first
