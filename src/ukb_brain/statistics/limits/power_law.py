"""Learning curves: a score by number of training people, and what ten times as many would give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ukb_brain.statistics.draws import bounded_columns, percentile_interval
from ukb_brain.statistics.weighted_sums import Floats

# Rates of decay that a curve may have. Below the slowest a curve is a logarithm for all that a few
# doublings show, above the fastest it has ended before the second size.
RATES = np.geomspace(0.05, 3.0, 25)
# Bisections by the golden ratio between a rate's neighbours: to a thousandth of the rate.
REFINEMENTS = 12
GOLDEN = (np.sqrt(5) - 1) / 2
# Asymptote, drop and rate are three numbers; of fewer sizes anything can be said.
FEWEST_SIZES = 3
TENFOLD, HUNDREDFOLD = 10.0, 100.0
NUMBERS = ("rise", "asymptote", "rate", "at_10x", "gain_10x", "at_100x_scenario")


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """``score(n) = asymptote − drop · (n / reference)^(−rate)``, one curve a draw.

    Attributes
    ----------
    asymptote : ndarray, shape (draws,)
        Score without limit of training people; at most 1.
    drop : ndarray, shape (draws,)
        What the score at ``reference`` people lacks of it; not negative.
    rate : ndarray, shape (draws,)
        Between the ends of `RATES`; NaN where the drop is 0 and the curve is flat.
    reference : float
        People at the largest size.
    """

    asymptote: Floats
    drop: Floats
    rate: Floats
    reference: float

    def at(self, people: float) -> Floats:
        """Read the curves, shape (draws,), at a number of training people."""
        share = (people / self.reference) ** -np.nan_to_num(self.rate)
        return self.asymptote - self.drop * share


def fit_power_law(sizes: ArrayLike, scores: Floats, weights: ArrayLike) -> PowerLaw:
    """Fit a power law with an asymptote to each draw of a learning curve by weighted least squares.

    By variable projection (Golub & Pereyra 1973): for each rate of a grid, which finds the best of
    several valleys, asymptote and drop are a weighted regression line on (n / reference)^(−rate)
    with two bounds. A golden-section search goes on between the neighbours of the best rate. Power
    laws of prediction from brain images: Schulz et al. 2024, Cell Reports 43:113597; Hestness et
    al. 2017, arXiv 1712.00409.

    Parameters
    ----------
    sizes : array_like, shape (k,)
        Training people; positive, at least three of them differ.
    scores : ndarray, shape (draws, k)
        Skill (R², or 2·AUC − 1) at each size; finite.
    weights : array_like, shape (k,)
        Positive; the inverse variance of the score at each size.

    Raises
    ------
    ValueError
        If fewer than three sizes differ, or numbers are not as described.
    """
    people, w = np.asarray(sizes, dtype=float), np.asarray(weights, dtype=float)
    if scores.ndim != 2 or scores.shape[1] != len(people) or len(w) != len(people):
        raise ValueError(f"scores {scores.shape} do not fit {len(people)} sizes, {len(w)} weights")
    if len(np.unique(people)) < FEWEST_SIZES or people.min() <= 0 or w.min() <= 0:
        raise ValueError("a power law needs three different positive sizes and positive weights")
    if not np.isfinite(scores).all():
        raise ValueError("a power law needs finite scores: leave the other draws out")
    reference, w = float(people.max()), w / w.sum()
    ratio = people / reference
    losses = np.stack([_best_line(ratio, np.array([[r]]), scores, w)[2] for r in RATES])
    at = losses.argmin(axis=0)
    low, high = (np.log(RATES[np.clip(at + k, 0, len(RATES) - 1)]) for k in (-1, 1))
    for _ in range(REFINEMENTS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        on_left, on_right = (
            _best_line(ratio, np.exp(r)[:, None], scores, w)[2] for r in (left, right)
        )
        low = np.where(on_left <= on_right, low, left)
        high = np.where(on_left <= on_right, right, high)
    rate = np.exp((low + high) / 2)
    refined = _best_line(ratio, rate[:, None], scores, w)[2]
    # At the ends of the grid, and in a valley with two floors, the grid's own rate may be better.
    rate = np.where(refined <= losses.min(axis=0), rate, RATES[at])
    asymptote, drop, _ = _best_line(ratio, rate[:, None], scores, w)
    return PowerLaw(asymptote, drop, np.where(drop > 0, rate, np.nan), reference)


def _best_line(
    ratio: Floats, rate: Floats, scores: Floats, w: Floats
) -> tuple[Floats, Floats, Floats]:
    """Best a ≤ 1 and b ≥ 0 of ``a − b·ratio^(−rate)`` for each draw, and its loss.

    Rates have the shape (draws, 1) or (1, 1); weights sum to 1.
    """
    x = ratio**-rate
    mean_x, mean_s = x @ w, scores @ w
    centred = w * (x - mean_x[:, None])
    b = -(centred * scores).sum(axis=1) / (centred * x).sum(axis=1)
    a = mean_s + b * mean_x
    # The loss is convex: where the free optimum is outside, the best lies on one of two edges.
    flat = np.minimum(mean_s, 1.0)
    steep = np.maximum((w * x * (1 - scores)).sum(axis=1) / (w * x**2).sum(axis=1), 0.0)
    loss_flat = (scores - flat[:, None]) ** 2 @ w
    loss_steep = (scores - 1 + steep[:, None] * x) ** 2 @ w
    on_flat = loss_flat <= loss_steep
    free = (a <= 1) & (b >= 0)
    a = np.where(free, a, np.where(on_flat, flat, 1.0))
    b = np.where(free, b, np.where(on_flat, 0.0, steep))
    return a, b, (scores - a[:, None] + b[:, None] * x) ** 2 @ w


def average_repeats(
    sizes: ArrayLike, scores: Floats, drawn: Floats, seed: int
) -> tuple[Floats, Floats, float]:
    """Average repeats, and add to the draws what comes from the choice of training people.

    Own derivation. The variance of a score over samples of n training people is taken as τ²/n.
    Repeats that take a share f out of the same people show (1 − f) τ²/n of it, as a sample from a
    finite population does (Cochran 1977, section 2.6), from which τ² is pooled over sizes. Sizes
    get independent noise of variance τ²/(n · repeats), with Student's t for few repeats; nested
    sizes are in truth correlated, so that the noise of their differences is rather too large.

    Parameters
    ----------
    sizes : array_like, shape (k,)
        Training people; the largest are all that there are, the others were drawn from them.
    scores : ndarray, shape (k, repeats)
        NaN where a size has fewer repeats; each size has one at least.
    drawn : ndarray, shape (draws, k, repeats)
        The same in bootstrap draws of test people.

    Returns
    -------
    means, drawn_means : ndarray, shape (k,) and (draws, k)
        Of the repeats; the latter with noise of the training sample, NaN where a draw has no score.
    training_sd : float
        Standard deviation of a score at the largest size over samples of training people; NaN
        where no size has two repeats, and then nothing is added.
    """
    people = np.asarray(sizes, dtype=float)
    repeats = np.isfinite(scores).sum(axis=1)
    means = np.nanmean(scores, axis=1)
    averaged = np.asarray(np.nansum(np.where(np.isfinite(scores), drawn, 0.0), axis=2)) / repeats
    averaged[np.isnan(np.where(np.isfinite(scores), drawn, 0.0)).any(axis=2)] = np.nan
    share = people / people.max()
    told = (share < 1) & (repeats > 1)
    freedom = int((repeats[told] - 1).sum())
    if not freedom:
        return means, averaged, np.nan
    squares = np.nansum((scores - means[:, None]) ** 2, axis=1)
    tau = np.sqrt((people * squares / (1 - share).clip(1e-9))[told].sum() / freedom)
    noise = np.random.default_rng(seed).standard_t(freedom, averaged.shape)
    spread = tau / np.sqrt(people * repeats)
    return means, averaged + noise * spread, float(tau / np.sqrt(people.max()))


def extrapolate(
    sizes: Sequence[float], scores: Floats, drawn: Floats, level: float = 0.95
) -> dict[str, float | str]:
    """Fit a learning curve, name its shape, and say what more training people would give.

    Sizes are weighted by the inverse variance of their draws. Coverage of the 95 % interval of
    ``at_10x`` on planted curves of 200 to 1,600 people, as
    ``test_coverage_of_tenfold_extrapolation`` prints it: still rising, rate 0.25 to 1, 94 to 95 %;
    flat from the first size on, 94 % with correlated errors, 91 % with independent ones, since a
    fit that may not fall sees rises in noise; at a rate of 0.1, near the slowest that is fitted, 89
    to 90 %.

    Parameters
    ----------
    sizes, scores : sequence of float and ndarray, shape (k,)
        Training people and skill (R², or 2·AUC − 1); NaN where there is none.
    drawn : ndarray, shape (draws, k)
        See `average_repeats`; a draw with a NaN is left out.

    Returns
    -------
    dict of str to float or str
        ``shape``: ``flat at zero`` where the largest size's interval does not lie above 0 and no
        rise is shown; ``rising`` where the interval of the rise from the smallest to the largest
        size lies above 0; ``level`` otherwise; ``too few sizes`` below three, without numbers.
        ``n_sizes``, ``n_largest`` (people). With ``_low`` and ``_high`` each: ``rise`` (as scored,
        not as fitted), ``asymptote``, ``rate``, ``at_10x``, ``gain_10x`` (over the fit at the
        largest size; never negative, so that ``rise`` and not its interval says whether there is
        any), and ``at_100x_scenario``, which no measured coverage stands behind.
    """
    people = np.asarray(sizes, dtype=float)
    there = np.isfinite(scores)
    found: dict[str, float | str] = {"n_sizes": int(there.sum())}
    complete = drawn[np.isfinite(drawn[:, there]).all(axis=1)][:, there]
    people, scores = people[there], scores[there]
    if len(np.unique(people)) < FEWEST_SIZES or len(complete) < max(2, len(drawn) / 2):
        largest = float(people.max()) if len(people) else np.nan
        blank = dict.fromkeys(bounded_columns(*NUMBERS), np.nan)
        return found | {"n_largest": largest, "shape": "too few sizes"} | blank
    largest = float(people.max())
    # A score that no draw moves is known to rounding only; it may not silence the others.
    variance = complete.var(axis=0)
    weights = 1 / np.maximum(variance, max(1e-6 * variance.max(), 1e-12))
    both = np.vstack([scores, complete])
    law = fit_power_law(people, both, weights)
    first, last = int(people.argmin()), int(people.argmax())
    read = {
        "rise": both[:, last] - both[:, first],
        "asymptote": law.asymptote,
        "rate": law.rate,
        "at_10x": law.at(TENFOLD * largest),
        "gain_10x": law.at(TENFOLD * largest) - law.at(largest),
        "at_100x_scenario": law.at(HUNDREDFOLD * largest),
    }
    for name, values in read.items():
        low, high = percentile_interval(values[1:], level)
        found |= {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}
    above_zero = float(np.quantile(complete[:, last], (1 - level) / 2)) > 0
    rises = float(found["rise_low"]) > 0
    found["shape"] = "rising" if rises else "level" if above_zero else "flat at zero"
    return found | {"n_largest": largest}
