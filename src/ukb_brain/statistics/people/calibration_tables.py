"""Tables of calibration: whether predictions are of the right size, and what corrects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.people.brain_age import brain_age_gap, fit_age_line, gap_dependence
from ukb_brain.statistics.people.calibration import score_calibration
from ukb_brain.statistics.people.calibration_curve import brier_decomposition, reliability_curve
from ukb_brain.statistics.people.recalibration import recalibrate, recalibration_effect
from ukb_brain.statistics.scores.target_predictions import TargetPredictions, in_full
from ukb_brain.statistics.sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Targets = Mapping[str, TargetPredictions]
# From test people of a fold, and truth and predictions of its validation people.
Correction = Callable[[TargetPredictions, Floats, Floats], Floats]
AGE = "age"
# Reasons of errors count people, and this table may leave.
TOO_FEW = "too few validation people, or classes, for a line"
# Isotonic curves are fitted draw by draw; intervals of a decomposition settle early.
DRAWS_OF_DECOMPOSITION = 200


def calibration_tables(
    targets: Targets,
    validation: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    level: float = 0.95,
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
    numbers, curves = [], []
    for key, cell in in_full(targets, grid):
        kind, y, p, weights = cell.kind, cell.y, cell.predicted[:, 0], draws.weights(cell.family)
        found: dict[str, Any] = score_calibration(kind, y, p, weights, level)
        if "brier" in KINDS[kind].metrics:
            found |= brier_decomposition(y, p, weights[:DRAWS_OF_DECOMPOSITION], level)
        note = ""
        try:
            again = _by_fold(cell, validation, _recalibrated)
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


def _by_fold(cell: TargetPredictions, validation: pd.DataFrame, correct: Correction) -> Floats:
    """Correct what a cell predicts by truth and predictions of each fold's validation people."""
    mine = (validation["target"] == cell.target) & (validation["inputs"] == cell.inputs[0])
    held, corrected = validation[mine], np.full(len(cell.y), np.nan)
    for fold in cell.folds:
        rows, here = held[held["fold"] == fold], cell.fold == fold
        fit = (rows[name].to_numpy(float) for name in ("y_true", "y_pred"))
        corrected[here] = correct(cell.restricted(here), *fit)
    return corrected


def _recalibrated(cell: TargetPredictions, y_fit: Floats, fit: Floats) -> Floats:
    return recalibrate(cell.kind, y_fit, fit, cell.predicted[:, 0])


def _gap(cell: TargetPredictions, y_fit: Floats, fit: Floats) -> Floats:
    return brain_age_gap(fit_age_line(y_fit, fit), cell.y, cell.predicted[:, 0])


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
    gap = _by_fold(cell, validation, _gap)
    values = {"fold": cell.fold, "age": cell.y, "predicted_age": cell.predicted[:, 0], "gap": gap}
    return pd.DataFrame({"eid": cell.visit[:, 0], "instance": cell.visit[:, 1]} | values)


def gap_table(targets: Targets, validation: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Give the brain-age gap of each test person, from images alone.

    Returns
    -------
    pandas.DataFrame
        As `gaps`, and ``inputs``: restricted. Without rows where age is no target, has no imaging
        cell, or validation has too few people; the table of calibration says which.
    """
    cell = targets[AGE].cell(grid.imaging_alone(AGE)) if AGE in targets else None
    try:
        found = gaps(cell, validation).assign(inputs=cell.inputs[0]) if cell else ()
    except InputError:
        found = ()
    return table_of(reported.brain_age_gap, found)
