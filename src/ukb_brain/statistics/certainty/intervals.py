"""Bootstrap intervals that respect families and are shared between cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ukb_brain.statistics.scores.metrics import Floats, Score, mean_by_people

# Weights of at most this many numbers are scored at once, which bounds memory in large cohorts.
LARGEST_CHUNK = 4_000_000
# An interval that most draws say nothing about is not given.
LEAST_DEFINED = 0.5
# Scores that differ by less are the same score, summed in another order.
SAME = 1e-12


class FamilyDraws:
    """How often each family counts in each bootstrap draw.

    A family's counts are independent Poisson(1) numbers, the limit of resampling families with
    replacement (Hanley & MacGibbon, 2006; Chamandy et al., 2012). They depend on the seed and the
    family's own index only: two cells share their draws wherever they share people, whichever
    people either lacks, so that cells can be compared draw by draw, in any order, on any number
    of workers. Relatives, and the visits of one person, enter and leave together.

    Parameters
    ----------
    families : iterable of int
        Index of every family that may occur; non-negative.
    draws : int
        Number of bootstrap draws.
    seed : int
        Non-negative.
    """

    def __init__(self, families: Iterable[int], draws: int, seed: int) -> None:
        self.draws = draws
        self._known = np.array(sorted({int(family) for family in families}), dtype=np.int64)
        self._counts = np.empty((len(self._known), draws), dtype=np.uint8)
        for row, family in enumerate(self._known):
            self._counts[row] = np.random.default_rng([seed, int(family)]).poisson(1.0, draws)

    def weights(self, families: Sequence[int] | NDArray[np.int64]) -> Floats:
        """Look up the weights of people by their families.

        Parameters
        ----------
        families : array_like of int, length n
            The family of each row of a cell; among those given at first.

        Returns
        -------
        ndarray, shape (draws, n)
            How often each row counts in each draw.
        """
        rows = np.searchsorted(self._known, families)
        if (np.take(self._known, rows, mode="clip") != families).any():
            raise KeyError("a family that draws were not made for")
        return np.ascontiguousarray(self._counts[rows].T, dtype=np.float64)


def score_with_interval(
    score: Score, y_true: Floats, y_pred: Floats, weights: Floats, level: float = 0.95
) -> tuple[float, float, float]:
    """Score a cell, with a percentile bootstrap interval.

    Draws in which the score is undefined are ignored; where they are the majority there is no
    interval.

    Parameters
    ----------
    score : callable
        One of `ukb_brain.statistics.scores.metrics`.
    y_true, y_pred : ndarray, shape (n,)
        Of the people that are scored.
    weights : ndarray, shape (draws, n)
        From `FamilyDraws.weights`.
    level : float
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    tuple of float
        Score, lower and upper bound; NaN where there is none.
    """
    n = len(y_true)
    if n < 2:
        return np.nan, np.nan, np.nan
    estimate = float(score(y_true, y_pred, np.ones((1, n)))[0])
    if np.isnan(estimate):
        return np.nan, np.nan, np.nan
    return estimate, *percentile_interval(_drawn(score, y_true, y_pred, weights), level)


def score_folds_with_interval(
    scores: Sequence[Score],
    y_true: Sequence[Floats],
    y_pred: Sequence[Floats],
    weights: Sequence[Floats],
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Score each fold by itself and average, with a percentile bootstrap interval.

    A fold's share is its number of test people, in a draw the number drawn, so that every person
    counts alike: left-out sites differ in size, and a small one should not sway the mean. A draw
    in which some folds have no score, because one class was not drawn, averages the others.

    Parameters
    ----------
    scores : sequence of callable
        One a fold, each of `ukb_brain.statistics.scores.metrics`, at the fold's own threshold.
    y_true, y_pred : sequence of ndarray, shape (n,)
        Of the people that are scored, by fold.
    weights : sequence of ndarray, shape (draws, n)
        From `FamilyDraws.weights`, by fold; the same draws in all.
    level : float
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    tuple of float
        Score, lower and upper bound; NaN where there is none. There is no score if a fold has
        none.
    """
    folds = list(zip(scores, y_true, y_pred, strict=True))
    ones = [np.ones((1, len(y))) for y in y_true]
    each = np.array([score(y, p, one) for (score, y, p), one in zip(folds, ones, strict=True)])
    estimate = float(mean_by_people(each, _people(ones))[0])
    if np.isnan(each).any():
        return np.nan, np.nan, np.nan
    drawn = [_drawn(score, y, p, w) for (score, y, p), w in zip(folds, weights, strict=True)]
    return estimate, *percentile_interval(mean_by_people(np.array(drawn), _people(weights)), level)


def _people(weights: Sequence[Floats]) -> Floats:
    """How many each fold has in each draw, shape (folds, draws)."""
    return np.array([fold.sum(axis=1) for fold in weights])


def _drawn(score: Score, y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    step = max(1, LARGEST_CHUNK // len(y_true))
    return np.concatenate(
        [score(y_true, y_pred, weights[at : at + step]) for at in range(0, len(weights), step)]
    )


def percentile_interval(drawn: Floats, level: float) -> tuple[float, float]:
    """Read an interval off the scores of bootstrap draws.

    Parameters
    ----------
    drawn : ndarray, shape (draws,)
        NaN where a draw has no score.
    level : float
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    tuple of float
        Lower and upper bound; NaN where most draws have no score, and where all have the same: a
        width of 0 comes from predictions that do not differ, and is no certainty.
    """
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < max(1, LEAST_DEFINED * len(drawn)) or np.ptp(defined) <= SAME:
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
