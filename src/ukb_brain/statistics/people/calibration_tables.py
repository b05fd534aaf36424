"""Tables of calibration: whether predictions are of the right size, and what corrects them."""

from typing import Any

import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.people.brain_age import AGE, gap_dependence, gaps
from ukb_brain.statistics.people.calibration import (
    recalibrated,
    recalibration_effect,
    score_calibration,
)
from ukb_brain.statistics.people.calibration_curve import brier_decomposition, reliability_curve
from ukb_brain.statistics.tested import Tested
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

# Reasons of errors count people, and this table may leave.
TOO_FEW = "too few validation people, or classes, for a line"
# Isotonic curves are fitted draw by draw; intervals of a decomposition settle early.
DRAWS_OF_DECOMPOSITION = 200


def calibration_tables(
    tested: Tested, validation: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the calibration of each target's fullest cell.

    Returns
    -------
    numbers : pandas.DataFrame
        One row a target and measure.
    curves : pandas.DataFrame
        One row a target and bin, as
        `ukb_brain.statistics.people.calibration_curve.reliability_curve`. Small counts are not
        suppressed: whoever shows them does that.
    """
    (numbers, curves), level = ([], []), tested.level
    for key, cell in tested.in_full():
        kind, y, p = cell.kind, cell.y, cell.predicted[:, 0]
        weights = tested.draws.weights(cell.family)
        found: dict[str, Any] = score_calibration(kind, y, p, weights, level)
        if "brier" in KINDS[kind].metrics:
            found |= brier_decomposition(y, p, weights[:DRAWS_OF_DECOMPOSITION], level)
        note = ""
        try:
            again = recalibrated(cell, validation)
            effect = recalibration_effect(kind, y, p, again, weights, level)
            found |= {f"recalibration_{what}": value for what, value in effect.items()}
        except InputError:
            note = TOO_FEW
        try:
            if key == AGE:
                gap = gaps(cell, validation)["gap"].to_numpy(float)
                found |= gap_dependence(y, p, gap, weights, level)
        except InputError:
            note = TOO_FEW
        about = {"target": key, "inputs": cell.inputs[0], "note": note}
        numbers += [
            about
            | {"measure": measure, "estimate": value}
            | {end: found[f"{measure}_{end}"] for end in ("low", "high")}
            for measure, value in found.items()
            if f"{measure}_low" in found
        ]
        curve = reliability_curve(kind, y, p, weights, level=level)
        curves.append(curve.assign(target=key, inputs=cell.inputs[0]))
    both = pd.concat(curves, ignore_index=True) if curves else ()
    return table_of(reported.calibration, numbers), table_of(reported.calibration_curves, both)
