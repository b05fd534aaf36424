"""The brain-age gap, freed of its dependence on age: the gap and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.scores.engine import pearson_r
from ukb_brain.statistics.sums import Floats

LEAST_PEOPLE = 10


@dataclass(frozen=True)
class AgeLine:
    """Regression of predicted age on age: what a brain of an age is predicted to be.

    Attributes
    ----------
    slope : float
        Below 1 by regression to the mean.
    """

    intercept: float
    slope: float
    n: int


def fit_age_line(age: Floats, predicted_age: Floats) -> AgeLine:
    """Regress predicted age on age, in people that neither the model nor the gap is judged by.

    Parameters
    ----------
    age, predicted_age : ndarray, shape (m,)
        Of validation people, in years.

    Raises
    ------
    InputError
        If there are fewer than ten people, or all of one age.
    """
    if len(age) < LEAST_PEOPLE or np.ptp(age) == 0:
        raise InputError(
            f"The brain-age gap is corrected by a line through {len(age)} validation people: at "
            f"least {LEAST_PEOPLE} of different ages are needed. Give validation more people "
            "(splitting in parameters)."
        )
    centred = age - age.mean()
    slope = float(centred @ predicted_age / (centred @ centred))
    return AgeLine(float(predicted_age.mean() - slope * age.mean()), slope, len(age))


def brain_age_gap(line: AgeLine, age: Floats, predicted_age: Floats) -> Floats:
    """Predicted age, less the age that is predicted for people as old on average.

    ``predicted - (intercept + slope age)``: the correction of Beheshti et al., NeuroImage: Clinical
    2019;24:102063, as de Lange & Cole write it, NeuroImage: Clinical 2020;26:102229, and the second
    stage of Smith et al., NeuroImage 2019;200:528-539. It is for gaps that are related to something
    else.

    There is no corrected predicted age here, and so no corrected R², r or mean absolute error. To
    add the gap to the age uses the age itself: predictions that know nothing of the brain then
    correlate with age nearly perfectly (Butler et al., Human Brain Mapping 2021;42:4092-4101). How
    well age is read is said by the uncorrected scores alone.

    Parameters
    ----------
    age, predicted_age : ndarray, shape (n,)
        In years.
    """
    return predicted_age - (line.intercept + line.slope * age)


def gap_dependence(
    age: Floats, predicted_age: Floats, gap: Floats, weights: Floats, level: float = 0.95
) -> dict[str, float]:
    """Correlate the gap with age, before and after its correction, with percentile intervals.

    Parameters
    ----------
    age, predicted_age, gap : ndarray, shape (n,)
        Of test people, in years; the gap from `brain_age_gap`.
    weights : ndarray, shape (draws, n)

    Returns
    -------
    dict of str to float
        ``raw_with_age`` and ``gap_with_age``, Pearson's r, each with ``_low`` and ``_high``. The
        second is about 0 if the line of the validation people fits those of the test.
    """
    raw = predicted_age - age
    return measured(
        lambda w: {"raw_with_age": pearson_r(age, raw, w), "gap_with_age": pearson_r(age, gap, w)},
        weights,
        level,
    )
