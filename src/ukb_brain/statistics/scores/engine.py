"""Every metric of cells in every draw: one rule of people, folds and weights for all tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ukb_brain.cluster import processors
from ukb_brain.statistics.draws import Estimator, draws_of
from ukb_brain.statistics.kinds import KINDS, Kind
from ukb_brain.statistics.scores.areas import DRAWS_AT_ONCE, areas
from ukb_brain.statistics.weighted_sums import ROUNDING, Floats, ratio

Scores = dict[str, Floats]
Labels = NDArray[Any]
Mask = NDArray[np.bool_]


def score_draws(
    kind: str,
    y: Floats,
    predicted: Floats,
    weights: Floats,
    fold: Labels | None = None,
    threshold: Floats | None = None,
    metrics: Sequence[str] | None = None,
    every_fold: bool = False,
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
    Errors of all folds are on one scale: R², about the mean of the draw's people, r, mean absolute
    error and Brier score are of everybody together. Ranks and calls are not: each fold's model has
    a scale and a threshold of its own, and comparing people across models would mix in how these
    differ. Areas and accuracies are those of each fold, averaged by the people drawn, so that every
    person counts alike: left-out sites differ in size, and a small one should not sway the mean.
    ``tests/statistics/scores/test_engine.py`` and ``test_cell_scores.py`` hold it draw by draw
    against scikit-learn on resamples that are written out, and against ``tests/plain_scores``.

    Examples
    --------
    >>> y, predicted = np.array([1.0, 2, 3, 4]), np.array([1.5, 1.5, 3, 4])
    >>> sample, draw = np.ones(4), np.array([1.0, 1, 0, 0])
    >>> score_draws("continuous", y, predicted, np.array([sample, draw]), metrics=["r2", "mae"])
    {'r2': array([0.9, 0. ]), 'mae': array([0.25, 0.5 ])}
    """
    if weights.ndim != 2 or weights.shape[1] != len(y):
        raise ValueError(f"weights {weights.shape} for {len(y)} rows")
    of_kind = KINDS[kind]
    names = list(of_kind.metrics if metrics is None else metrics)
    calls = [name for name in names if BY_FOLD.get(name) is _balanced_accuracy]
    if threshold is None and calls:
        raise ValueError(f"{', '.join(calls)} without a threshold")
    fold = np.zeros(len(y), dtype=np.int64) if fold is None else fold
    cells = predicted if predicted.ndim == 2 else predicted[:, None]
    threads = processors() if len(weights) > DRAWS_AT_ONCE and cells.shape[1] > 1 else 1

    def of_some(weights: Floats) -> Scores:
        together = _Together(of_kind, y, cells, weights, np.nan, names, threads)
        scores = {name: POOLED[name](together) for name in names if name in POOLED}
        by_fold = [name for name in names if name in BY_FOLD]
        if not by_fold:
            return scores
        groups = []
        for one in np.unique(fold):
            mine = fold == one
            drawn = np.ascontiguousarray(weights[:, mine])
            cut = np.nan if threshold is None else threshold[one]
            groups.append(_Together(of_kind, y[mine], cells[mine], drawn, cut, by_fold, threads))
        people = np.array([group.people for group in groups])
        # A cell that nobody of a fold belongs to is without the fold.
        needed = np.array([group.known.any(axis=0) for group in groups])[:, None] & every_fold
        for name in by_fold:
            found = np.array([BY_FOLD[name](group) for group in groups])
            lost = (needed & ~np.isfinite(found)).any(axis=0)
            scores[name] = np.where(lost, np.nan, mean_by_people(found, people))
        return {name: scores[name] for name in names}

    shape = (-1, *predicted.shape[1:])
    return {name: found.reshape(shape) for name, found in draws_of(of_some, weights).items()}


def mean_by_people(scores: Floats, people: Floats) -> Floats:
    """Average over folds, the first axis, by their people; those without a score are left out."""
    counted = np.where(np.isfinite(scores), people, 0.0)
    total = counted.sum(axis=0)
    share = np.divide(counted, total, out=np.zeros_like(counted), where=total > 0)
    return np.where(total > 0, (share * np.nan_to_num(scores)).sum(axis=0), np.nan)


def headline(
    kind: str, y: Floats, predicted: Floats, weights: Floats, fold: Labels | None = None
) -> Floats:
    """Score cells by the metric that the map shows, AUC or R²; see `score_draws`.

    Returns
    -------
    ndarray, shape (draws, cells) or (draws,)
        NaN where a draw has none.

    Examples
    --------
    >>> y, predicted = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> headline("binary", y, predicted, np.ones((1, 4)))
    array([0.75])
    """
    name = KINDS[kind].headline
    return score_draws(kind, y, predicted, weights, fold, metrics=[name])[name]


def headline_of(kind: str, y: Floats, predicted: Floats, fold: Labels | None = None) -> Estimator:
    """Make an estimator of a cell's `headline`, ``score``, whose weights are still to come."""
    return lambda weights: {"score": headline(kind, y, predicted, weights, fold)}


def pearson_r(one: Floats, other: Floats, weights: Floats) -> Floats:
    """Correlate two complete columns, shape (n,), in every draw; NaN where either is constant."""
    return score_draws("continuous", one, other, weights, metrics=["pearson_r"])["pearson_r"]


@dataclass(frozen=True, eq=False)
class _Together:
    """People who are scored together, and sums that metrics share, each shape (draws, cells)."""

    kind: Kind
    y: Floats
    predicted: Floats
    weights: Floats
    threshold: float | Floats
    names: Sequence[str]
    threads: int

    @cached_property
    def known(self) -> Mask:
        """Who is of which cell, shape (n, cells)."""
        return ~np.isnan(self.predicted)

    @cached_property
    def people(self) -> Floats:
        return self.weights @ self.known.astype(float)

    @cached_property
    def error(self) -> Floats:
        """Shape (n, cells); 0 where a cell lacks the person."""
        return np.where(self.known, self.predicted - self.y[:, None], 0.0)

    @cached_property
    def truth(self) -> tuple[Floats, Floats, Floats]:
        """`_moments` of what is true of each cell's people."""
        return _moments(np.where(self.known, self.y[:, None], np.nan), self.weights, self.people)

    @cached_property
    def areas(self) -> Scores:
        """Both areas at once, for they share most of their work."""
        return areas(self.y, self.predicted, self.weights, self.names, self.threads)


def _r2(of: _Together) -> Floats:
    return 1 - of.weights @ of.error**2 / of.truth[0]


def _pearson_r(of: _Together) -> Floats:
    of_true, true, mean_true = of.truth
    of_pred, pred, mean_pred = _moments(of.predicted, of.weights, of.people)
    shared = of.weights @ (true * pred) - of.people * mean_true * mean_pred
    return np.clip(shared / np.sqrt(of_true * of_pred), -1.0, 1.0)


def _balanced_accuracy(of: _Together) -> Floats:
    positive, called = of.kind.positive(of.y[:, None], of.threshold), of.predicted > of.threshold
    halves = []
    for of_class, right in ((positive, called), (~positive, ~called)):
        among = (of.known & of_class).astype(float)
        halves.append(ratio(of.weights @ (among * right), of.weights @ among))
    return (halves[0] + halves[1]) / 2


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


Metric = Callable[[_Together], Floats]
# Of everybody together, and of each fold: see the notes of `score_draws`.
POOLED: dict[str, Metric] = {
    "r2": _r2,
    "pearson_r": _pearson_r,
    "mae": lambda of: ratio(of.weights @ np.abs(of.error), of.people),
    "brier": lambda of: ratio(of.weights @ of.error**2, of.people),
}
BY_FOLD: dict[str, Metric] = {
    "roc_auc": lambda of: of.areas["roc_auc"],
    "average_precision": lambda of: of.areas["average_precision"],
    "balanced_accuracy": _balanced_accuracy,
    "median_split_accuracy": _balanced_accuracy,
}
