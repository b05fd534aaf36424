"""Table of what a target's own measurement allows: its test-retest ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.ceiling import share_of_ceiling
from ukb_brain.statistics.cell_tables import fullest
from ukb_brain.statistics.drawn import draws_of, estimates_of
from ukb_brain.statistics.intervals import FamilyDraws
from ukb_brain.statistics.metrics import Floats
from ukb_brain.statistics.reliability import retest, retest_estimator
from ukb_brain.statistics.target_predictions import TargetPredictions
from ukb_brain.statistics.within import headline_of

Targets = Mapping[str, TargetPredictions]
Row = dict[str, Any]
ONE_MEASUREMENT = "the same for everybody at both visits: one measurement, or nothing ever changes"


def retest_table(
    targets: Targets,
    measurements: pd.DataFrame,
    draws: FamilyDraws,
    families: pd.Series,
    grid: Grid,
    level: float = 0.95,
) -> pd.DataFrame:
    """Give each target's test-retest ceiling, and what its fullest cell reaches of it.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    measurements : pandas.DataFrame
        ``eid, instance`` and a column a target, at all imaging visits.
    draws : FamilyDraws
        Of all families.
    families : pandas.Series
        Family by eid.
    grid : Grid
        Names the cells.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs``, what `ukb_brain.statistics.reliability.retest` says,
        and ``share`` of the ceiling with bounds.
    """
    ordered = measurements.sort_values(["eid", "instance"])
    repeated = ordered[ordered.duplicated("eid", keep=False)].groupby("eid")
    first, second = repeated.nth(0).set_index("eid"), repeated.nth(1).set_index("eid")
    rows = []
    for key, table in targets.items():
        both = np.isfinite(first[key]) & np.isfinite(second[key])
        one, two = first.loc[both, key].to_numpy(float), second.loc[both, key].to_numpy(float)
        weights = draws.weights(families.loc[first.index[both]].to_numpy(np.int64))
        row: Row = {"target": key} | retest(table.kind, one, two, weights, level)
        if row["status"] == "ok" and np.array_equal(one, two):
            # Such as blood, which was taken once: it says nothing of how well it is measured.
            row = {"target": key, "status": ONE_MEASUREMENT}
        cell = fullest(table, grid)
        if row["status"] == "ok" and cell is not None:
            row["inputs"] = cell[0]
            row |= _share(table, cell[1], draws, (one, two), weights, level)
        rows.append(row)
    return pd.DataFrame(rows)


def _share(
    table: TargetPredictions,
    predicted: Floats,
    draws: FamilyDraws,
    measured_twice: tuple[Floats, Floats],
    weights: Floats,
    level: float,
) -> dict[str, float]:
    known = np.isfinite(predicted)
    score = headline_of(table.kind, table.y[known], predicted[known], table.fold[known])
    ceiling = retest_estimator(table.kind, *measured_twice)
    return share_of_ceiling(
        table.kind,
        estimates_of(score, int(known.sum()))["score"],
        draws_of(score, draws.weights(table.family[known]))["score"],
        estimates_of(ceiling, weights.shape[1])["ceiling"],
        draws_of(ceiling, weights)["ceiling"],
        level,
    )
