"""Bootstrap intervals that respect families and are shared between cells."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ukb_brain.statistics.metrics import Floats, Score

# Weights of at most this many numbers are scored at once, which bounds memory in large cohorts.
LARGEST_CHUNK = 4_000_000
# An interval that most draws say nothing about is not given.
LEAST_DEFINED = 0.5


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
        known = sorted({int(family) for family in families})
        self._row = {family: row for row, family in enumerate(known)}
        self._counts = np.empty((len(known), draws), dtype=np.uint8)
        for family, row in self._row.items():
            self._counts[row] = np.random.default_rng([seed, family]).poisson(1.0, draws)

    def weights(self, families: Iterable[int]) -> Floats:
        """Look up the weights of people by their families.

        Parameters
        ----------
        families : iterable of int, length n
            The family of each row of a cell.

        Returns
        -------
        ndarray, shape (draws, n)
            How often each row counts in each draw.
        """
        rows = [self._row[int(family)] for family in families]
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
        One of `ukb_brain.statistics.metrics`.
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
    step = max(1, LARGEST_CHUNK // n)
    drawn = np.concatenate(
        [score(y_true, y_pred, weights[at : at + step]) for at in range(0, len(weights), step)]
    )
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < LEAST_DEFINED * len(drawn):
        return estimate, np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return estimate, float(low), float(high)
