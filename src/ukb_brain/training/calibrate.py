"""From standardised scores to the target's own units, or to probabilities."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ukb_brain.grid import Kind
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.people import Floats

# Scores keep their order even where they are worth nothing.
LEAST_SLOPE = 1e-3
LARGEST_LOGIT = 30.0
# A regression's score is the target, standardised; or the mean of -1 and 1, so that near the middle
# log odds are twice the score.
EXPECTED: dict[Kind, float] = {"continuous": 1.0, "binary": 2.0}


def shrunk(slope: float, variance: float, expected: float) -> float:
    """Draw a slope to what it is expected to be, as far as it is not surely another.

    ``variance`` is its squared standard error.

    Returns
    -------
    float
        ``expected + (slope - expected) (1 - 1/z²)``, z being the difference over its standard
        error, and never less than 0 for the last factor: the empirical Bayes estimate, by moments.
    """
    apart = slope - expected
    if apart == 0:
        return expected
    return expected + apart * max(0.0, 1 - variance / apart**2)


def balanced(scores: Floats, y: Floats, weights: Floats) -> tuple[float, float]:
    """Put scores of a fit without weights where a fit with classes of equal weight has them.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Of -1 and 1, by fits that left these people out.
    y, weights : ndarray of shape (n,)
        Their labels, -1 and 1, and weights that make classes equal.

    Returns
    -------
    intercept, slope : float
        The weighted regression line, its slope drawn to what it is for a linear discriminant,
        1 / (4 p (1 - p)) for a share p of ones, whose coefficients are so much smaller without
        weights. Order is kept. A score that does not vary becomes 0.
    """
    p = float((y > 0).mean())
    weights = weights / weights.sum()
    middle = float(weights @ scores)
    apart = scores - middle
    size = float(weights @ apart**2)
    if size < 1e-12 or not 0 < p < 1:
        return 0.0, 0.0
    slope = float(weights @ (apart * y)) / size
    left = y - weights @ y - slope * apart
    # White (1980), valid for any weights.
    variance = float(np.sum((weights * apart * left) ** 2)) / size**2
    slope = max(shrunk(slope, variance, 1 / (4 * p * (1 - p))), LEAST_SLOPE)
    return float(weights @ y) - slope * middle, slope


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

    Returns
    -------
    ndarray of shape (n,)
        Values in the target's own units, or probabilities whose mean over these people is the
        share of ones among them, whatever the weights of classes were (Platt scaling). The slope is
        any that is not negative, drawn to that of scores that mean what they say; see `shrunk`.
    """
    known, answers = scores[unseen], y[unseen]
    n, squares = len(known), float(((known - known.mean()) ** 2).sum())
    varies = squares > 1e-12 * n
    if kind == "continuous":
        centre, spread = KINDS[kind].centre_and_spread(answers)
        scaled, slope = (answers - centre) / spread, EXPECTED[kind]
        if varies and n > 2:
            slope = float((known - known.mean()) @ scaled) / squares
            left = scaled - slope * (known - known.mean())
            slope = shrunk(slope, float(left @ left) / (n - 2) / squares, EXPECTED[kind])
        return centre + spread * max(slope, LEAST_SLOPE) * (scores - known.mean())
    centred = scores - known.mean()
    slope = EXPECTED[kind]
    if varies:
        scale = (squares / n) ** 0.5
        line = LogisticRegression(C=100.0).fit(centred[unseen][:, None] / scale, answers)
        p = line.predict_proba(centred[unseen][:, None] / scale)[:, 1]
        information = float((p * (1 - p)) @ centred[unseen] ** 2)
        own = float(line.coef_[0, 0]) / scale
        slope = shrunk(own, 1 / max(information, 1e-12), EXPECTED[kind])
    slope = max(slope, LEAST_SLOPE)
    share = float(answers.mean())
    seen = slope * centred[unseen]
    shift = brentq(lambda a: expit(a + seen).mean() - share, -500.0, 500.0)
    return expit(np.clip(shift + slope * centred, -LARGEST_LOGIT, LARGEST_LOGIT))
