"""The smallest skill that so many test people could have shown."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def smallest_skill(
    kind: str, n: int, n_positive: int | None = None, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Skill that a two-sided test on so many test people would have found this often.

    Parameters
    ----------
    kind : str
        ``binary``: 2·AUC − 1; ``continuous``: R² of a prediction on the target's scale.
    n : int
        Test people.
    n_positive : int, optional
        Those with the trait, of a binary target; half of all where it is not given, which is the
        best case.
    alpha : float
        Of the test.
    power : float
        Wanted.

    Returns
    -------
    float
        NaN where there are too few people for any test; at most 1.

    Notes
    -----
    Binary: (z₁₋α/₂ + z_power) times twice the standard error of the area without association,
    √((n₁ + n₀ + 1) / (12 n₁ n₀)), Hanley & McNeil 1982, Radiology 143:29 (Mann–Whitney under the
    null). Continuous: Fisher's z of the correlation of prediction and target has the standard error
    1/√(n − 3); of a calibrated prediction R² is the square of that correlation. Relatives count as
    unrelated, so that in truth a little more is needed. That tests find this skill with the power
    asked for is simulated in ``tests/statistics/certainty/test_detectable.py``.
    """
    z = _errors_apart(alpha, power)
    if kind == "continuous":
        return float(np.tanh(z / np.sqrt(n - 3)) ** 2) if n > 3 else np.nan
    positive = n / 2 if n_positive is None else n_positive
    negative = n - positive
    if min(positive, negative) < 1:
        return np.nan
    return float(min(1.0, z * 2 * np.sqrt((n + 1) / (12 * positive * negative))))


def _errors_apart(alpha: float, power: float) -> float:
    """Count standard errors from 0 at which a two-sided test finds a difference this often."""
    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power))
