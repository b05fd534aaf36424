"""Bootstrap draws that respect families and are shared between cells, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ukb_brain.statistics.sums import Floats

# From weights, shape (draws, n), to named estimates, each of shape (draws,), NaN for none.
Estimator = Callable[[Floats], dict[str, Floats]]
Method = Literal["percentile", "basic"]

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

    Examples
    --------
    >>> families = [1, 1, 2]
    >>> weights = FamilyDraws(families, draws=500, seed=0).weights(families)
    >>> weights.shape, bool((weights[:, 0] == weights[:, 1]).all())
    ((500, 3), True)
    """

    def __init__(self, families: Iterable[int], draws: int, seed: int) -> None:
        self.draws = draws
        self._known = np.array(sorted({int(family) for family in families}), dtype=np.int64)
        self._counts = np.empty((len(self._known), draws), dtype=np.uint8)
        for row, family in enumerate(self._known):
            self._counts[row] = np.random.default_rng([seed, int(family)]).poisson(1.0, draws)

    def weights(self, families: Sequence[int] | NDArray[np.int64]) -> Floats:
        """Say how often each row counts in each draw, shape (draws, n), by its family."""
        rows = np.searchsorted(self._known, families)
        if (np.take(self._known, rows, mode="clip") != families).any():
            raise KeyError("a family that draws were not made for")
        return np.ascontiguousarray(self._counts[rows].T, dtype=np.float64)


def percentile_interval(drawn: Floats, level: float) -> tuple[float, float]:
    """Read an interval of a coverage between 0 and 1 off the scores of draws; NaN is no score.

    Scores are of shape (draws,). Bounds are NaN where most draws have no score, and where all have
    the same: a width of 0 comes from predictions that do not differ, and is no certainty.

    Examples
    --------
    >>> percentile_interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < max(1, LEAST_DEFINED * len(drawn)) or np.ptp(defined) <= SAME:
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimates_of(estimator: Estimator, n: int) -> dict[str, float]:
    """Estimate from the sample itself, in which each of n people counts once; NaN: no estimate."""
    return {name: float(found[0]) for name, found in estimator(np.ones((1, n))).items()}


def draws_of(estimator: Estimator, weights: Floats) -> dict[str, Floats]:
    """Estimate in every draw, some draws at a time, which bounds memory.

    From weights, shape (draws, n), to estimates of shape (draws,), NaN where a draw has none.
    """
    step = max(1, LARGEST_CHUNK // max(weights.shape[1], 1))
    parts = [estimator(weights[at : at + step]) for at in range(0, len(weights), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def bounded(
    name: str, estimate: float, drawn: Floats, level: float, method: Method = "percentile"
) -> dict[str, float]:
    """Put an estimate beside the interval of its draws: ``name, name_low, name_high``.

    Bounds are NaN where the estimate is, and as of `percentile_interval`. The basic interval turns
    the percentile interval about the estimate: it suits estimates that are biased in the sample and
    again as much in its resamples (Davison & Hinkley, Bootstrap Methods and their Application,
    1997, chapter 5).
    """
    low, high = (np.nan, np.nan) if np.isnan(estimate) else percentile_interval(drawn, level)
    if method == "basic":
        low, high = 2 * estimate - high, 2 * estimate - low
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def measured(
    estimator: Estimator, weights: Floats, level: float = 0.95, method: Method = "percentile"
) -> dict[str, float]:
    """Estimate with bootstrap intervals: each estimate `bounded` by its draws."""
    drawn = draws_of(estimator, weights)
    row: dict[str, float] = {}
    for name, estimate in estimates_of(estimator, weights.shape[1]).items():
        row |= bounded(name, estimate, drawn[name], level, method)
    return row


def bounded_columns(*names: str) -> list[str]:
    """Name the columns that `bounded` gives: each name, with ``_low`` and ``_high`` after it."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
