"""Predictions corrected by a line that is fitted on other people, and what that changes."""

from __future__ import annotations

import numpy as np

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.people.calibration import least_squares_line, logistic_line
from ukb_brain.statistics.scores.engine import score_draws
from ukb_brain.statistics.sums import Floats


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
