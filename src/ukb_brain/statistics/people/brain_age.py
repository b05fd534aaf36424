"""The brain-age gap, freed of its dependence on age: the gap and nothing else."""

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.people.calibration import corrected_by_fold
from ukb_brain.statistics.scores.engine import pearson_r
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.tested import Tested
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

AGE = "age"
LEAST_PEOPLE = 10


def fit_age_line(age: Floats, predicted_age: Floats) -> Floats:
    """Regress predicted age on age, in people that neither the model nor the gap is judged by.

    Parameters
    ----------
    age, predicted_age : ndarray, shape (m,)
        Of validation people, in years.

    Returns
    -------
    ndarray, shape (2,)
        What a brain of an age is predicted to be: slope, which is below 1 by regression to the
        mean, and intercept.

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
    return np.polyfit(age, predicted_age, 1)


def brain_age_gap(line: Floats, age: Floats, predicted_age: Floats) -> Floats:
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
    return predicted_age - np.asarray(np.polyval(line, age), dtype=np.float64)


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


def gaps(cell: TargetPredictions, validation: pd.DataFrame) -> pd.DataFrame:
    """Give each test person's brain-age gap, corrected by a line through validation people.

    Returns
    -------
    pandas.DataFrame
        ``eid, instance, fold, age, predicted_age, gap``, in years: restricted. There is no
        corrected age.

    Raises
    ------
    InputError
        If there are fewer than ten validation people in a fold.
    """
    gap = corrected_by_fold(
        cell,
        validation,
        lambda y_fit, fit, y, p: brain_age_gap(fit_age_line(y_fit, fit), y, p),
    )
    values = {"fold": cell.fold, "age": cell.y, "predicted_age": cell.predicted[:, 0], "gap": gap}
    return pd.DataFrame({"eid": cell.visit[:, 0], "instance": cell.visit[:, 1]} | values)


def gap_table(tested: Tested, validation: pd.DataFrame) -> pd.DataFrame:
    """Give the brain-age gap of each test person, from images alone.

    Returns
    -------
    pandas.DataFrame
        As `gaps`, and ``inputs``: restricted. Without rows where age is no target, has no imaging
        cell, or validation has too few people; the table of calibration says which.
    """
    age = tested.targets.get(AGE)
    cell = age and age.cell(tested.grid.imaging_alone(AGE))
    try:
        found = gaps(cell, validation).assign(inputs=cell.inputs[0]) if cell else ()
    except InputError:
        found = ()
    return table_of(reported.brain_age_gap, found)
