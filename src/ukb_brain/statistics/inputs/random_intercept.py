"""Random-intercept models of many outcomes at once, by restricted maximum likelihood."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ukb_brain.statistics.weighted_sums import Floats

# The ratio of variances is searched over these values, in units of one group's mean information
# about its own level; beyond the last one the residual variance is zero for all purposes.
GRID = np.logspace(-6, 8, 57)
GOLDEN = (np.sqrt(5) - 1) / 2
# Shrinks two steps of the grid to 1e-8 of the ratio, where the likelihood is flat to rounding.
ITERATIONS = 38
# A residual mean square below this share of the outcome's own is rounding error of a perfect fit.
PERFECT = 1e-20


@dataclass(frozen=True, eq=False)
class Fit:
    """Restricted-likelihood estimates, one row an outcome; NaN where there are none.

    Attributes
    ----------
    estimate, std_error : ndarray, shape (draws, p)
        Fixed effects, in the outcome's units.
    sd_group, sd_residual : ndarray, shape (draws,)
        Standard deviation between groups, and of a residual of weight one.
    log_likelihood : ndarray, shape (draws,)
        The restricted one, with all constants, as lme4 and statsmodels give it.
    """

    estimate: Floats
    std_error: Floats
    sd_group: Floats
    sd_residual: Floats
    log_likelihood: Floats


@dataclass(frozen=True, eq=False)
class _Sums:
    """What the likelihood needs of the data: within groups, and of the groups' means.

    ``y`` is what a fit without groups leaves over. Splitting into within and between keeps digits
    that ``X'WX - c (X'w)(X'w)'`` loses where groups differ much.
    """

    scatter: Floats  # (p, p) of X within groups
    cross: Floats  # (draws, p) of X and y within groups
    squares: Floats  # (draws,) of y within groups
    weight: Floats  # (groups,) total weight
    x_mean: Floats  # (groups, p)
    x_outer: Floats  # (groups, p * p): x_mean with itself
    y_mean: Floats  # (draws, groups)
    free: int  # n - p
    log_weights: float

    def at(self, ratio: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Effects, their covariance and residual variance, log-likelihood, at ratios (draws,)."""
        share = self.weight / (1 + ratio[:, None] * self.weight)
        information = self.scatter + (share @ self.x_outer).reshape(-1, *self.scatter.shape)
        inverse = np.asarray(np.linalg.inv(information), dtype=np.float64)
        cross = self.cross + (share * self.y_mean) @ self.x_mean
        effects = (inverse @ cross[:, :, None])[:, :, 0]
        explained = np.einsum("dp,dp->d", effects, cross)
        left = self.squares + (share * self.y_mean**2).sum(axis=1) - explained
        variance: Floats = np.maximum(left, np.finfo(np.float64).tiny) / self.free
        log_det = np.log1p(ratio[:, None] * self.weight).sum(axis=1) - self.log_weights
        log_det = log_det + np.linalg.slogdet(information)[1]
        value: Floats = -0.5 * (self.free * (np.log(2 * np.pi * variance) + 1) + log_det)
        return effects, inverse, variance, value


def fit_random_intercept(
    X: Floats, outcomes: Floats, groups: ArrayLike, weights: Floats | None = None
) -> Fit:
    """Fit ``y = X b + u[group] + e`` to many outcomes on one design, by REML.

    The likelihood is profiled down to one number, the ratio of the two variances. It is evaluated
    on a wide grid of ratios, then by golden section around the best of each outcome; a ratio of
    zero, where the likelihood often has its maximum, is compared exactly.

    The restricted likelihood is that of Harville (1977), the reduction to one dimension that of
    Pinheiro & Bates (2000, section 2.2), whose ``nlme`` it agrees with.

    Harville DA (1977). Maximum likelihood approaches to variance component estimation and to
    related problems. Journal of the American Statistical Association 72:320. Pinheiro JC, Bates DM
    (2000). Mixed-effects models in S and S-PLUS. Springer.

    Parameters
    ----------
    X : ndarray, shape (n, p)
        Fixed effects, of full column rank, shared by all outcomes.
    outcomes : ndarray, shape (draws, n)
        One outcome a row, in any units.
    groups : array_like, shape (n,)
        Labels of the groups; they may differ in size.
    weights : ndarray, shape (n,), optional
        Positive, or a ValueError; the residual variance of an observation is proportional to
        1 / weight.

    Returns
    -------
    Fit
        A row is NaN if its outcome has a NaN, or is fitted without any residual.
    """
    n, p = X.shape
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    outcomes = np.asarray(outcomes, dtype=float)
    if outcomes.ndim != 2 or outcomes.shape[1] != n or weights.shape != (n,):
        raise ValueError(f"X has {n} rows; outcomes {outcomes.shape}, weights {weights.shape}")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights must be positive numbers")
    blank = Fit(*(np.full((len(outcomes), *rest), np.nan) for rest in ((p,), (p,), (), (), ())))
    usable = np.isfinite(outcomes).all(axis=1)
    if not usable.any():
        return blank
    root = np.sqrt(weights)
    start = np.linalg.lstsq(root[:, None] * X, (root * outcomes[usable]).T, rcond=None)[0].T
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = _summed(X, outcomes[usable] - start @ X.T, index, weights)
    ratio, found = _best_ratio(sums)
    effects, inverse, variance, value = sums.at(ratio)
    found &= variance > PERFECT * (outcomes[usable] ** 2).mean(axis=1)
    spread = np.sqrt(variance[:, None] * np.diagonal(inverse, axis1=1, axis2=2))
    results = (*(start + effects, spread), *(np.sqrt(ratio * variance), np.sqrt(variance), value))
    for empty, values in zip(vars(blank).values(), results, strict=True):
        empty[usable] = np.where(found.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)
    return blank


def _summed(X: Floats, y: Floats, index: NDArray[np.intp], weights: Floats) -> _Sums:
    n, p = X.shape
    member = np.zeros((index.max() + 1, n))
    member[index, np.arange(n)] = weights
    weight = member.sum(axis=1)
    x_mean, y_mean = member @ X / weight[:, None], y @ member.T / weight
    x_within, y_within = X - x_mean[index], y - y_mean[:, index]
    weighted = weights[:, None] * x_within
    return _Sums(
        scatter=x_within.T @ weighted,
        cross=y_within @ weighted,
        squares=(y_within**2) @ weights,
        weight=weight,
        x_mean=x_mean,
        x_outer=(x_mean[:, :, None] * x_mean[:, None, :]).reshape(len(x_mean), -1),
        y_mean=y_mean,
        free=n - p,
        log_weights=float(np.log(weights).sum()),
    )


def _best_ratio(sums: _Sums) -> tuple[Floats, NDArray[np.bool_]]:
    """Ratio of highest likelihood of each outcome, and whether there is such a maximum."""
    ratios = GRID / sums.weight.mean()
    values = np.stack([sums.at(ratio[None])[3] for ratio in ratios])
    best = values.argmax(axis=0)
    steps = np.log(ratios)
    low = steps[np.maximum(best - 1, 0)]
    high = steps[np.minimum(best + 1, len(steps) - 1)]
    inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_inner, at_outer = (sums.at(np.exp(x))[3] for x in (inner, outer))
    for _ in range(ITERATIONS):
        left = at_inner >= at_outer
        low, high = np.where(left, low, inner), np.where(left, outer, high)
        fresh = np.where(left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_fresh = sums.at(np.exp(fresh))[3]
        inner, outer = np.where(left, fresh, outer), np.where(left, inner, fresh)
        at_inner, at_outer = (
            np.where(left, at_fresh, at_outer),
            np.where(left, at_inner, at_fresh),
        )
    ratio = np.exp((low + high) / 2)
    none = sums.at(np.zeros(1))[3] >= sums.at(ratio)[3]
    return np.where(none, 0.0, ratio), best < len(steps) - 1
