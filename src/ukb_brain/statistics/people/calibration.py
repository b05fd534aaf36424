"""Do predictions mean what they say: calibration lines, and regression to the mean."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from ukb_brain.statistics.draws import Estimator, measured
from ukb_brain.statistics.kinds import BINARY
from ukb_brain.statistics.sums import ROUNDING, Floats

# Predictions whose spread is a smaller part of the outcome's (in log-odds: that differ by less) are
# of one value: a slope on them is noise over nothing.
ALIKE = 1e-4
# Newton's method on two coefficients: more steps than this mean that there is no maximum, because
# a draw's predictions tell the classes apart without an error.
MOST_STEPS, LARGEST_STEP, CONVERGED = 40, 2.0, 1e-9


def logistic_line(y_true: Floats, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Fit ``logit P(y = 1) = intercept + slope score`` by maximum likelihood, in all draws at once.

    Cox, Biometrika 1958;45:562-565. Newton's method.

    Parameters
    ----------
    y_true, score : ndarray, shape (n,)
        Labels 0 or 1, and log-odds.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    tuple of ndarray, shape (draws,)
        Intercept and slope; NaN where a draw has one class, constant scores, or scores that tell
        the classes apart without an error.
    """
    centre, spread = score.mean(), score.std()
    if spread < ALIKE:
        return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    x = (score - centre) / spread
    design = np.stack([np.ones_like(x), x, x**2], axis=1)
    share = weights @ y_true / np.maximum(weights.sum(axis=1), 1)
    a, b = BINARY.link(share), np.zeros(len(weights))
    done = np.zeros(len(weights), dtype=bool)
    active = np.flatnonzero((share > 0) & (share < 1))
    for _ in range(MOST_STEPS):
        w = weights[active]
        mean = expit(a[active, None] + b[active, None] * x)
        g0, g1 = ((w * (y_true - mean)) @ design[:, :2]).T
        h00, h01, h11 = ((w * mean * (1 - mean)) @ design).T
        # Near singularity the steps grow without end, and the draw is given up.
        determinant = np.maximum(h00 * h11 - h01**2, np.finfo(float).tiny)
        step_a = np.clip((h11 * g0 - h01 * g1) / determinant, -LARGEST_STEP, LARGEST_STEP)
        step_b = np.clip((h00 * g1 - h01 * g0) / determinant, -LARGEST_STEP, LARGEST_STEP)
        a[active] += step_a
        b[active] += step_b
        small = np.maximum(np.abs(step_a), np.abs(step_b)) < CONVERGED
        done[active[small]] = h00[small] * h11[small] > 1e-12
        active = active[~small]
        if not len(active):
            break
    slope = np.where(done, b / spread, np.nan)
    return np.where(done, a, np.nan) - slope * centre, slope


def _in_the_large(y_true: Floats, score: Floats, weights: Floats) -> Floats:
    """Fit the intercept at a slope of 1; NaN where a draw has one class."""
    total, events = weights.sum(axis=1), weights @ y_true
    a = np.zeros(len(weights))
    for _ in range(MOST_STEPS):
        mean = expit(a[:, None] + score)
        slope = np.einsum("dn,dn->d", weights, mean * (1 - mean))
        step = (events - np.einsum("dn,dn->d", weights, mean)) / np.maximum(slope, 1e-300)
        step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        a += step
        if np.abs(step[(events > 0) & (events < total)]).max(initial=0.0) < CONVERGED:
            break
    return np.where((events > 0) & (events < total), a, np.nan)


def _binary_calibration(y_true: Floats, y_pred: Floats) -> Estimator:
    score = BINARY.link(y_pred)
    return lambda weights: {
        "calibration_intercept": _in_the_large(y_true, score, weights),
        "calibration_slope": logistic_line(y_true, score, weights)[1],
    }


def least_squares_line(y_true: Floats, y_pred: Floats, weights: Floats) -> dict[str, Floats]:
    """Fit the outcome on the prediction, and the error on the outcome, in all draws at once.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        In the target's own units.
    weights : ndarray, shape (draws, n)
        Non-negative; how much each person counts in each draw.

    Returns
    -------
    dict of str to ndarray of shape (draws,)
        ``calibration_slope``, of the outcome on the prediction; ``mean_error``, prediction less
        outcome; ``error_slope``, of that on the outcome. NaN where a draw is empty, a slope where
        it is constant, or predictions are `ALIKE`.
    """
    y, p = y_true - y_true.mean(), y_pred - y_pred.mean()
    parts = np.stack([np.ones_like(y), y, p, y * y, p * p, y * p], axis=1)
    n, *sums = (weights @ parts).T
    my, mp, yy, pp, yp = (part / np.where(n > 0, n, np.nan) for part in sums)
    var_y, var_p, shared = yy - my**2, pp - mp**2, yp - my * mp
    if p.std() < ALIKE * y.std():
        var_p = np.full_like(var_p, np.nan)
    # A variance this small is rounding error of a constant.
    var_y = np.where(var_y > ROUNDING * y.var(), var_y, np.nan)
    var_p = np.where(var_p > ROUNDING * p.var(), var_p, np.nan)
    return {
        "calibration_slope": shared / var_p,
        "mean_error": mp - my + float(y_pred.mean() - y_true.mean()),
        "error_slope": shared / var_y - 1,
    }


def score_calibration(
    kind: str, y_true: Floats, y_pred: Floats, weights: Floats, level: float = 0.95
) -> dict[str, float]:
    """Say by how much predictions are too high, and too extreme, with percentile intervals.

    Cox, Biometrika 1958;45:562-565, with the intercept of Van Calster et al., BMC Medicine
    2019;17:230.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        Of test people: labels 0 or 1 and probabilities, or in the target's own units.
    weights : ndarray, shape (draws, n)

    Returns
    -------
    dict of str to float
        Each with ``_low`` and ``_high``. ``calibration_slope`` is that of the outcome on the
        prediction, on the logit scale in binary targets: 1 is perfect, below 1 the predictions
        are too extreme. Binary: ``calibration_intercept``, at a slope of 1, on the logit scale;
        above 0 the predictions are too low. Continuous: ``mean_error``, prediction less truth,
        and ``error_slope``, that of the error on the truth: regression to the mean, 0 only in
        perfect predictions and R² - 1 in calibrated ones.
    """
    if kind == BINARY.name:
        return measured(_binary_calibration(y_true, y_pred), weights, level)
    return measured(lambda w: least_squares_line(y_true, y_pred, w), weights, level)
