"""Paired comparison of two cells of a target: difference, interval, p, and equivalence.

Both cells are scored on the people common to both, in the same bootstrap draws of families, with
the models as they were fitted: the question is whether *this* larger model predicts new people
better than *this* smaller one.

A trap of nested models: where the added inputs tell nothing, the larger model scores the same as
the smaller one or, for what it has fitted to noise, a little worse. The difference is then
centred below zero, and its spread shrinks with its size, to exactly zero if the two predict the
same. So p values are not uniform under this null, "adds" is called less often than its level says,
and a z statistic may be 0/0; here that is p = 1. Scored on the people it was fitted to, the larger
model never loses, and the more noise was added the surer the verdict "adds" (for AUC: Demler,
Pencina & D'Agostino, Stat. Med. 31:2577, 2012): only test people may be given.
``tests/statistics/inputs/test_comparisons.py`` shows both.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import LEAST_DEFINED, percentile_interval
from ukb_brain.statistics.weighted_sums import Floats

# With fewer draws beyond zero, or the margin, their share is too rough to read a p value off, and
# its smallest value would depend on the number of draws: then the normal tail is read instead.
FEWEST_BEYOND = 10
# Chance of a false verdict.
ALPHA = 0.05
# Scores that differ by less are the same score, summed in another order: equal predictions may
# leave a matrix product with differences of rounding that have one sign in all draws.
SAME = 1e-10


@dataclass(frozen=True)
class Difference:
    """Skill of one cell less that of another, and whether it lies within a margin.

    Attributes
    ----------
    upper : float
        Upper bound of the 1 − 2·`ALPHA` interval.
    p_below : float
        Of a difference of at least the margin: small if the larger model adds less than it.
    """

    estimate: float
    low: float
    high: float
    se: float
    p: float
    upper: float
    p_below: float
    p_equivalent: float


def difference(estimates: Floats, drawn: Floats, margin: float, level: float = 0.95) -> Difference:
    """Compare two scores, draw by draw, and test whether they differ by less than a margin.

    p inverts the percentile interval: twice the share of draws on the far side of zero, counting
    the sample itself (Davison & Hinkley, Bootstrap Methods and their Application, 1997, sections
    4.4 and 5.3). Where fewer than ten draws are on the far side, it is that of the normal
    distribution with the draws' standard deviation, so that 2,000 draws do not bound p at .001 and
    correction for hundreds of comparisons is possible. Below the margin, and within it, by two
    one-sided tests: Schuirmann, J. Pharmacokinet. Biopharm. 15:657 (1987).

    Parameters
    ----------
    estimates : ndarray, shape (2,)
        Skill of the two cells on the people common to both.
    drawn : ndarray, shape (2, draws)
        The same in each bootstrap draw; draws without either are ignored.
    margin : float
        Smallest difference in skill that matters; above 0.

    Returns
    -------
    Difference
        First less second; all NaN where a cell has no score or most draws have none. Where the two
        are the same in every draw there are no bounds, and no tests of the margin.

    Raises
    ------
    InputError
        If the margin is not above 0.
    """
    if not margin > 0:
        raise InputError(
            f"The margin of equivalence is {margin}; give the smallest difference in skill that "
            "matters, above 0, such as 0.02."
        )
    estimate, beyond = float(_less(estimates)), _less(drawn)
    defined = beyond[np.isfinite(beyond)]
    if not np.isfinite(estimate) or len(defined) < max(2, LEAST_DEFINED * len(beyond)):
        return Difference(*[np.nan] * 8)
    low, high = percentile_interval(beyond, level)
    # Both the same in all draws: no interval, and p is 1.
    found = (estimate, low, high, float(defined.std(ddof=1)), two_sided_p(estimate, beyond))
    if np.isnan(low):
        return Difference(*found, *[np.nan] * 3)
    below = _below(-estimate, -beyond, -margin)
    above = _below(estimate, beyond, -margin)
    _, upper = percentile_interval(beyond, 1 - 2 * ALPHA)
    return Difference(*found, upper, below, max(below, above))


def _less(two: Floats) -> Floats:
    """First score less the second, exactly zero where they are the same."""
    apart = two[0] - two[1]
    return np.where(np.abs(apart) < SAME, 0.0, apart)


def two_sided_p(estimate: float, drawn: Floats) -> float:
    """Test a difference against 0, by its bootstrap draws.

    Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 15; the count of one more
    keeps it above 0 (Davison & Hinkley, 1997).

    Parameters
    ----------
    drawn : ndarray, shape (draws,)
        The same by draw; NaN where there is none.

    Returns
    -------
    float
        Twice the smaller share of draws on either side of 0; with fewer than ten draws there, a
        normal tail, so that corrections for many tests are not stopped by the number of draws.
    """
    return min(1.0, 2 * min(_below(estimate, drawn, 0.0), _below(-estimate, -drawn, 0.0)))


def _below(estimate: float, drawn: Floats, bound: float) -> float:
    """One-sided p of a difference at or below the bound: the share of draws there."""
    drawn = drawn[np.isfinite(drawn)]
    there = int((drawn <= bound).sum())
    share = (1 + there) / (1 + len(drawn))
    if there >= FEWEST_BEYOND:
        return share
    spread = drawn.std(ddof=1)
    if spread == 0:
        return share
    # Not above what ten draws there would have given.
    most = (1 + FEWEST_BEYOND) / (1 + len(drawn))
    return float(min(norm.sf((estimate - bound) / spread), most))


def verdict(estimate: float, p_adjusted: float, upper: float, margin: float) -> str:
    """Say whether the larger of two nested cells adds anything.

    The verdict is about adding, so the second test is of non-superiority and one-sided: an input
    that costs skill is no gain too, and the interval shows what it costs. The chance of a false
    ``adds`` is `ALPHA`, corrected within the family of comparisons; that of a false ``no gain`` is
    `ALPHA` for each comparison. It is a statement on these fitted models: what others, or more
    people, would find is not in it.

    Parameters
    ----------
    upper : float
        Upper bound of the 1 − 2·`ALPHA` interval.

    Returns
    -------
    str
        ``adds``: the difference is above zero after correction, however small it is. ``no gain``
        (by these models): otherwise, and the upper bound is below the margin. ``unknown``:
        neither, or there is no difference to judge, as where both cells score the same in every
        draw.
    """
    if np.isnan([estimate, p_adjusted, upper]).any():
        return "unknown"
    if estimate > 0 and p_adjusted < ALPHA:
        return "adds"
    return "no gain" if upper < margin else "unknown"
