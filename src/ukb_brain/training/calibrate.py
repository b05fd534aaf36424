"""From standardised scores to the target's own units, or to probabilities."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ukb_brain.grid import Kind
from ukb_brain.training.cells import standardised
from ukb_brain.training.people import Floats

# Scores keep their order even where they are worth nothing.
LEAST_SLOPE = 1e-3
LARGEST_LOGIT = 30.0


def reliability(scores: Floats, y: Floats) -> float:
    """Share of a score's slope that is kept, given how surely it differs from zero.

    Parameters
    ----------
    scores, y : ndarray of shape (n,)
        Of people by fits that left them out.

    Returns
    -------
    float
        1 - 1/z², with z the correlation over its standard error, and never below 0: the empirical
        Bayes estimate, by moments, of the share of a slope that is not noise. 0 where the
        correlation is negative.
    """
    if np.ptp(scores) == 0 or np.ptp(y) == 0:
        return 0.0
    r = float(np.corrcoef(scores, y)[0, 1])
    if r <= 0:
        return 0.0
    z_squared = r**2 * (len(y) - 2) / max(1 - r**2, 1e-12)
    return max(0.0, 1 - 1 / z_squared)


def calibrate(scores: Floats, y: Floats, unseen: np.ndarray, kind: Kind) -> Floats:
    """Turn everybody's scores into predictions, by a line fitted on people outside the test.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        By fits that have not seen the person.
    y : ndarray of shape (n,)
        In the target's own units; only theirs who are ``unseen`` are used.
    unseen : ndarray of shape (n,)
        True for training and validation people who have the cell's inputs, and whose score is by
        a fit that left them out.
    kind : {"binary", "continuous"}
        Of the target.

    Returns
    -------
    ndarray of shape (n,)
        Values in the target's own units, or probabilities whose mean over these people is the
        share of ones among them, whatever the weights of classes were (Platt scaling).
    """
    known, answers = scores[unseen], y[unseen]
    kept = reliability(known, answers)
    if kind == "continuous":
        scaled, centre, spread = standardised(answers, kind)
        middle = known.mean()
        slope = float(np.clip(np.cov(known, scaled)[0, 1] / max(known.var(ddof=1), 1e-12), 0, 1))
        return centre + spread * max(slope * kept, LEAST_SLOPE) * (scores - middle)
    scale = max(float(known.std()), 1e-12)
    standard = (scores - known.mean()) / scale
    line = LogisticRegression(C=100.0).fit(standard[unseen][:, None], answers)
    slope = max(float(line.coef_[0, 0]) * kept, LEAST_SLOPE)
    share = float(answers.mean())
    seen = slope * standard[unseen]
    shift = brentq(lambda a: expit(a + seen).mean() - share, -500.0, 500.0)
    return expit(np.clip(shift + slope * standard, -LARGEST_LOGIT, LARGEST_LOGIT))
