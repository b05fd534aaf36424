"""Tables of what a second visit says: a target's test-retest ceiling, and predictions again."""

from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.statistics.draws import draws_of, estimates_of
from ukb_brain.statistics.limits.reliability import retest, retest_estimator, share_of_ceiling
from ukb_brain.statistics.scores.engine import headline_of
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.tested import Tested
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Row = dict[str, Any]
NO_CELL = "its imaging cell has no scores"
NOBODY_TWICE = "no test person was scanned twice"
ONE_MEASUREMENT = "the same for everybody at both visits: one measurement, or nothing ever changes"
NOT_ASKED_AGAIN = "no answer of a second visit: later scans go with the answer of the first"


def retest_table(
    tested: Tested, measurements: pd.DataFrame, sources: pd.DataFrame, families: pd.Series
) -> pd.DataFrame:
    """Give each target's test-retest ceiling, and what its fullest cell reaches of it.

    Parameters
    ----------
    measurements : pandas.DataFrame
        ``eid, instance`` and a column a target, at all imaging visits.
    sources : pandas.DataFrame
        Of the same shape: instance that each answer is of. One answer that goes with two scans
        is one measurement.
    families : pandas.Series
        By eid.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs``, what `ukb_brain.statistics.limits.reliability.retest`
        says, and ``share`` of the ceiling with bounds.
    """
    visit = ["eid", "instance"]
    measured = measurements.sort_values(visit).set_index(visit)
    sources = sources.set_index(visit).reindex(measured.index)
    rows = []
    for key, table in tested.targets.items():
        people, one, two = _measured_twice(measured[key], sources[key])
        weights = tested.draws.weights(families.loc[people].to_numpy(np.int64))
        row: Row = {"target": key} | retest(table.kind, one, two, weights, tested.level)
        if not len(people):
            row["status"] = NOT_ASKED_AGAIN
        elif row["status"] == "ok" and np.array_equal(one, two):
            row = {"target": key, "status": ONE_MEASUREMENT}
        cell = table.cell(tested.grid.fullest(key))
        if row["status"] == "ok" and cell is not None:
            row["inputs"] = cell.inputs[0]
            row |= _share(tested, cell, (one, two), weights)
        rows.append(row)
    return pd.DataFrame(rows) if rows else table_of(reported.reliability)


def _measured_twice(values: pd.Series, sources: pd.Series) -> tuple[pd.Index, Floats, Floats]:
    """Give the people of whom there are two measurements, and the first two of each."""
    known = pd.DataFrame({"value": values, "source": sources})[np.isfinite(values)].reset_index()
    known = known.drop_duplicates(["eid", "source"])
    known = known[known.duplicated("eid", keep=False)].groupby("eid")
    one, two = (known.nth(k).set_index("eid")["value"] for k in (0, 1))
    return one.index, one.to_numpy(np.float64), two.to_numpy(np.float64)


def _share(
    tested: Tested, cell: TargetPredictions, measured_twice: tuple[Floats, Floats], weights: Floats
) -> dict[str, float]:
    score = headline_of(cell.kind, cell.y, cell.predicted[:, 0], cell.fold)
    ceiling = retest_estimator(cell.kind, *measured_twice)
    return share_of_ceiling(
        cell.kind,
        estimates_of(score, len(cell.y))["score"],
        draws_of(score, tested.draws.weights(cell.family))["score"],
        estimates_of(ceiling, weights.shape[1])["ceiling"],
        draws_of(ceiling, weights)["ceiling"],
        tested.level,
    )


def repeatability_table(tested: Tested, repeats: pd.DataFrame) -> pd.DataFrame:
    """Say how well the predictions of people scanned twice agree.

    Parameters
    ----------
    repeats : pandas.DataFrame
        Their predictions at later visits, by models that have seen neither: ``eid, instance,
        target, inputs, fold, y_pred``. Of several later visits the earliest counts.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs, n`` (missing under ten), ``status``, and each with
        ``_low`` and ``_high`` ``icc`` (agreement) and ``pearson_r`` of the predictions of its
        imaging cell, which has as few blocks as may be.
    """
    again = repeats.sort_values(["target", "inputs", "fold", "eid", "instance"])
    again = again.drop_duplicates(["target", "inputs", "fold", "eid"])
    again = again.set_index(["fold", "eid"])
    rows: list[Row] = []
    for key, table in tested.targets.items():
        cell = table.cell(tested.grid.imaging_alone(key))
        if cell is None:
            rows.append({"target": key, "inputs": "", "n": 0.0, "status": NO_CELL})
            continue
        name = cell.inputs[0]
        mine = again.loc[(again["target"] == key) & (again["inputs"] == name), "y_pred"]
        people = pd.MultiIndex.from_arrays([cell.fold, cell.visit[:, 0]])
        second = mine.reindex(people).to_numpy(np.float64)
        both = np.isfinite(second)
        row: Row = {"target": key, "inputs": name, "n": float(both.sum()), "status": NOBODY_TWICE}
        if both.any():
            weights = tested.draws.weights(cell.family[both])
            first = cell.predicted[both, 0]
            row |= retest("continuous", first, second[both], weights, tested.level)
        rows.append(row)
    return table_of(reported.repeatability, rows)
