"""Bootstrap draws that respect families and are shared between cells, and their intervals."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from ukb_brain.statistics.weighted_sums import Floats

# From weights, shape (draws, n), to named estimates, each of shape (draws,), NaN for none.
Estimator = Callable[[Floats], dict[str, Floats]]
Method = Literal["percentile", "basic"]

# Weights of at most this many numbers are scored at once, which bounds memory in large cohorts.
LARGEST_CHUNK = 4_000_000
# An interval that most draws say nothing about is not given.
LEAST_DEFINED = 0.5
# Scores that differ by less are the same score, summed in another order.
SAME = 1e-12
POLE = 1e-6
# Some thousand draws tell nothing of higher levels.
HIGHEST_LEVEL = 0.9999


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


def bca_interval(
    estimate: float, drawn: Floats, left_out: Floats, level: float = 0.95
) -> tuple[float, float]:
    """Read an interval off bootstrap draws, at levels corrected for bias and skewness.

    Parameters
    ----------
    drawn : ndarray, shape (draws,)
        Scores of bootstrap draws; NaN where a draw has none.
    left_out : ndarray, shape (blocks,)
        Scores with a family, or a block of families, left out; NaN where there is none.

    Returns
    -------
    tuple of float
        Lower and upper bound; NaN where there is no estimate or level, most draws have no score, or
        all have the same.

    Notes
    -----
    Efron, J. Am. Stat. Assoc. 82:171 (1987); DiCiccio & Efron, Statistical Science 11:189 (1996).
    Draws equal to the estimate count half, as in scipy. Where all draws lie on one side of the
    estimate, the bias correction is that of half a draw on the other. Where leaving out changes
    nothing, the acceleration is 0. ``tests/statistics/test_bca.py`` compares the interval
    with scipy.stats.bootstrap's of the same draws.
    """
    if not np.isfinite([estimate, level, percentile_interval(drawn, 0.5)[0]]).all():
        return np.nan, np.nan
    defined = drawn[np.isfinite(drawn)]
    correction, acceleration = bias_correction(estimate, defined), acceleration_of(left_out)
    shifted = correction + ndtri([(1 - level) / 2, (1 + level) / 2])
    # Beyond the formula's pole the level would come back from the other end.
    levels = ndtr(correction + shifted / np.maximum(1 - acceleration * shifted, POLE))
    low, high = np.quantile(defined, np.asarray(levels))
    return float(low), float(high)


def expanded_level(level: float, n: int) -> float:
    """Raise the level of a bootstrap interval that rests on few people.

    The level at which to read the interval off the draws, at most .9999; NaN with fewer than two
    people, n, on whom the score's error hangs, such as those of the smaller class. A bootstrap
    interval is too narrow as a normal interval with the variance over n is, beside one by Student's
    t with the variance over n − 1; the level makes up for both (Hesterberg, The American
    Statistician 69:371, 2015, the expanded percentile interval).
    ``tests/statistics/test_bca.py`` compares it with the t interval of a mean.
    """
    if n < 2:
        return np.nan
    reach = stdtrit(n - 1, (1 + level) / 2) * np.sqrt(n / (n - 1))
    return float(min(2 * ndtr(reach) - 1, max(level, HIGHEST_LEVEL)))


def bias_correction(estimate: float, drawn: Floats) -> float:
    """How far, in normal quantiles, the estimate is from the median of finite draws, (draws,)."""
    below = ((drawn < estimate - SAME).mean() + (drawn <= estimate + SAME).mean()) / 2
    least = 0.5 / len(drawn)
    return float(ndtri(np.clip(below, least, 1 - least)))


def acceleration_of(left_out: Floats) -> float:
    """Rate at which the standard error changes with the score, by the jackknife.

    A sixth of the skewness of the score's sampling distribution. Of ``left_out``, shape (blocks,),
    scores of NaN do not count.
    """
    defined = left_out[np.isfinite(left_out)]
    if not len(defined):
        return 0.0
    influence = defined.mean() - defined
    spread = (influence**2).sum()
    if spread <= SAME**2:
        return 0.0
    return float((influence**3).sum() / (6 * spread**1.5))


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
