"""Bias-corrected and accelerated bootstrap intervals."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from ukb_brain.statistics.draws import SAME, percentile_interval
from ukb_brain.statistics.sums import Floats

POLE = 1e-6
# Some thousand draws tell nothing of higher levels.
HIGHEST_LEVEL = 0.9999


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
    nothing, the acceleration is 0. ``tests/statistics/certainty/test_bca.py`` compares the interval
    with scipy.stats.bootstrap's of the same draws.
    """
    if not np.isfinite([estimate, level, percentile_interval(drawn, 0.5)[0]]).all():
        return np.nan, np.nan
    defined = drawn[np.isfinite(drawn)]
    correction, acceleration = bias_correction(estimate, defined), acceleration_of(left_out)
    shifted = correction + ndtri([(1 - level) / 2, (1 + level) / 2])
    # Beyond the formula's pole the level would come back from the other end.
    levels = ndtr(correction + shifted / np.maximum(1 - acceleration * shifted, POLE))
    bounds = np.quantile(defined, np.asarray(levels))
    return float(bounds[0]), float(bounds[1])


def expanded_level(level: float, n: int) -> float:
    """Raise the level of a bootstrap interval that rests on few people.

    The level at which to read the interval off the draws, at most .9999; NaN with fewer than two
    people, n, on whom the score's error hangs, such as those of the smaller class. A bootstrap
    interval is too narrow as a normal interval with the variance over n is, beside one by Student's
    t with the variance over n − 1; the level makes up for both (Hesterberg, The American
    Statistician 69:371, 2015, the expanded percentile interval).
    ``tests/statistics/certainty/test_bca.py`` compares it with the t interval of a mean.
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
