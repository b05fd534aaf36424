"""The smallest skill that so many test people could have shown."""

from __future__ import annotations

from scipy.stats import norm

from ukb_brain.statistics.kinds import KINDS


def smallest_skill(
    kind: str, n: int, n_positive: int | None = None, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Skill that a two-sided test on so many test people would have found this often.

    2·AUC − 1, or R² of a prediction on the target's scale; NaN where there are too few people for
    any test. Of a binary target half have the trait where ``n_positive`` is not given, which is the
    best case.

    Notes
    -----
    z₁₋α/₂ + z_power standard errors from no association, as ``least_skill`` of the kind counts
    them. Relatives count as unrelated, so that in truth a little more is needed. That tests find
    this skill with the power asked for is simulated in
    ``tests/statistics/certainty/test_detectable.py``.
    """
    apart = float(norm.ppf(1 - alpha / 2) + norm.ppf(power))
    return KINDS[kind].least_skill(apart, n, n_positive)
