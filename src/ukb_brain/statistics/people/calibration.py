"""Do predictions mean what they say: calibration lines, and what they correct in other people."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.scores.engine import score_draws
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.weighted_sums import ROUNDING, Floats

# From truth and predictions of validation people, and those of test people.
Correction = Callable[[Floats, Floats, Floats, Floats], Floats]
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
    if kind != BINARY.name:
        return measured(lambda w: least_squares_line(y_true, y_pred, w), weights, level)
    score = BINARY.link(y_pred)

    def estimates(w: Floats) -> dict[str, Floats]:
        slope = logistic_line(y_true, score, w)[1]
        intercept = _in_the_large(y_true, score, w)
        return {"calibration_intercept": intercept, "calibration_slope": slope}

    return measured(estimates, weights, level)


def recalibrate(kind: str, y_fit: Floats, fit_pred: Floats, y_pred: Floats) -> Floats:
    """Correct predictions by a line that is fitted on other people.

    The least-squares line, or on the logit scale Cox's (Platt, 1999, without his smoothing of
    labels). Predictions of cells are calibrated in training already (`ukb_brain.training`), on
    people that include those of validation, so that here there should be little left to gain.

    Parameters
    ----------
    y_fit, fit_pred : ndarray, shape (m,)
        Truth and predictions of validation people.
    y_pred : ndarray, shape (n,)
        Predictions of test people, whose truth is not needed.

    Returns
    -------
    ndarray, shape (n,)
        Probabilities, or in the target's own units.

    Raises
    ------
    InputError
        If the line cannot be fitted.
    """
    once, of_kind = np.ones((1, len(y_fit))), KINDS[kind]
    if of_kind is BINARY:
        found = logistic_line(y_fit, of_kind.link(fit_pred), once)
        intercept, slope = (float(one[0]) for one in found)
    else:
        slope = float(least_squares_line(y_fit, fit_pred, once)["calibration_slope"][0])
        intercept = float(y_fit.mean() - slope * fit_pred.mean())
    if np.isnan(slope):
        raise InputError(
            f"Recalibration of a {kind} target on {len(y_fit)} validation people has no line: it "
            "needs both classes, or a target that varies, predictions that vary, and overlap of "
            "the classes. Give validation more people (splitting in parameters)."
        )
    return of_kind.unlink(intercept + slope * of_kind.link(y_pred))


def recalibration_effect(
    kind: str,
    y_true: Floats,
    y_pred: Floats,
    recalibrated: Floats,
    weights: Floats,
    level: float = 0.95,
) -> dict[str, float]:
    """Score test people before and after recalibration, with percentile intervals.

    Parameters
    ----------
    y_true, y_pred, recalibrated : ndarray, shape (n,)
        Of test people; the last from `recalibrate`.
    weights : ndarray, shape (draws, n)

    Returns
    -------
    dict of str to float
        ``before, after, change``, each with ``_low`` and ``_high``: Brier scores, which fall where
        it helps, or R², which rises. A rising line changes no area under the curve.
    """
    error, both = KINDS[kind].error, np.column_stack([y_pred, recalibrated])

    def estimates(w: Floats) -> dict[str, Floats]:
        before, after = score_draws(kind, y_true, both, w, metrics=[error])[error].T
        return {"before": before, "after": after, "change": after - before}

    return measured(estimates, weights, level)


def corrected_by_fold(
    cell: TargetPredictions, validation: pd.DataFrame, correct: Correction
) -> Floats:
    """Correct what a cell predicts by truth and predictions of each fold's validation people."""
    mine = (validation["target"] == cell.target) & (validation["inputs"] == cell.inputs[0])
    held, corrected = validation[mine], np.full(len(cell.y), np.nan)
    for fold in cell.folds:
        rows, here = held[held["fold"] == fold], cell.fold == fold
        truth, told = (rows[name].to_numpy(float) for name in ("y_true", "y_pred"))
        corrected[here] = correct(truth, told, cell.y[here], cell.predicted[here, 0])
    return corrected


def recalibrated(cell: TargetPredictions, validation: pd.DataFrame) -> Floats:
    """Recalibrate what a cell predicts for test people, each fold by its validation people."""
    return corrected_by_fold(
        cell, validation, lambda y_fit, fit, _, p: recalibrate(cell.kind, y_fit, fit, p)
    )
