"""Estimates that are functions of people's weights, with intervals from bootstrap draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from ukb_brain.statistics.certainty.intervals import LARGEST_CHUNK, percentile_interval
from ukb_brain.statistics.scores.metrics import Floats

# From weights, shape (draws, n), to named estimates, each of shape (draws,).
Estimator = Callable[[Floats], dict[str, Floats]]
Method = Literal["percentile", "basic"]


def estimates_of(estimator: Estimator, n: int) -> dict[str, float]:
    """Estimate from the sample itself, in which everybody counts once.

    Parameters
    ----------
    estimator : callable
        From weights, shape (draws, n), to named estimates, each of shape (draws,).
    n : int
        Number of people.

    Returns
    -------
    dict of str to float
        NaN where there is no estimate.

    Notes
    -----
    The plug-in estimate; ``test_percentile_bounds_are_those_of_the_map``.
    """
    return {name: float(found[0]) for name, found in estimator(np.ones((1, n))).items()}


def draws_of(estimator: Estimator, weights: Floats) -> dict[str, Floats]:
    """Estimate in every draw, some draws at a time, which bounds memory.

    Parameters
    ----------
    estimator : callable
        From weights, shape (draws, n), to named estimates, each of shape (draws,).
    weights : ndarray, shape (draws, n)
        From `ukb_brain.statistics.certainty.intervals.FamilyDraws.weights`.

    Returns
    -------
    dict of str to ndarray of shape (draws,)
        NaN where a draw has no estimate.

    Notes
    -----
    As `ukb_brain.statistics.certainty.intervals.score_with_interval` draws;
    ``test_chunks_change_nothing``.
    """
    step = max(1, LARGEST_CHUNK // max(weights.shape[1], 1))
    parts = [estimator(weights[at : at + step]) for at in range(0, len(weights), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def bounded(
    name: str, estimate: float, drawn: Floats, level: float, method: Method = "percentile"
) -> dict[str, float]:
    """Put an estimate beside the interval of its draws.

    Parameters
    ----------
    name : str
        Of the estimate.
    estimate : float
        From the sample.
    drawn : ndarray, shape (draws,)
        NaN where a draw has none.
    level : float
        Coverage of the interval, between 0 and 1.
    method : {"percentile", "basic"}
        The basic interval turns the percentile interval about the estimate. It suits estimates
        that are biased in the sample and again as much in its resamples.

    Returns
    -------
    dict of str to float
        ``name, name_low, name_high``; the bounds are NaN where the estimate is.

    Notes
    -----
    Davison & Hinkley, Bootstrap Methods and their Application (1997), chapter 5. Percentile
    bounds are those of `ukb_brain.statistics.certainty.intervals`, which its tests hold to their
    coverage; the basic bounds are held to scipy's in ``test_basic_bounds_are_those_of_scipy``.
    """
    low, high = (np.nan, np.nan) if np.isnan(estimate) else percentile_interval(drawn, level)
    if method == "basic":
        low, high = 2 * estimate - high, 2 * estimate - low
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def measured(
    estimator: Estimator, weights: Floats, level: float = 0.95, method: Method = "percentile"
) -> dict[str, float]:
    """Estimate with bootstrap intervals.

    Parameters
    ----------
    estimator : callable
        From weights, shape (draws, n), to named estimates, each of shape (draws,).
    weights : ndarray, shape (draws, n)
        From `ukb_brain.statistics.certainty.intervals.FamilyDraws.weights`.
    level : float
        Coverage of the intervals, between 0 and 1.
    method : {"percentile", "basic"}
        See `bounded`.

    Returns
    -------
    dict of str to float
        Each estimate with ``_low`` and ``_high``; NaN where there is none.

    Notes
    -----
    ``test_percentile_bounds_are_those_of_the_map`` holds it to
    `ukb_brain.statistics.certainty.intervals.score_with_interval`.
    """
    drawn = draws_of(estimator, weights)
    row: dict[str, float] = {}
    for name, estimate in estimates_of(estimator, weights.shape[1]).items():
        row |= bounded(name, estimate, drawn[name], level, method)
    return row


def bounded_columns(*names: str) -> list[str]:
    """Name the columns that `bounded` gives.

    Parameters
    ----------
    *names : str
        Of estimates.

    Returns
    -------
    list of str
        Each with ``_low`` and ``_high`` after it.
    """
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
