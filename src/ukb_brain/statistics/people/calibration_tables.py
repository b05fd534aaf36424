"""Tables of calibration: whether predictions are of the right size, and what corrects them."""

from __future__ import annotations

from collections.abc import Mapping
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
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Targets = Mapping[str, TargetPredictions]
AGE = "age"
# Reasons of errors count people, and this table may leave.
TOO_FEW = "too few validation people, or classes, for a line"
# Isotonic curves are fitted draw by draw; intervals of a decomposition settle early.
DRAWS_OF_DECOMPOSITION = 200


def calibration_tables(
    targets: Targets, validation: pd.DataFrame, draws: FamilyDraws, grid: Grid, level: float = 0.95
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the calibration of each target's fullest cell.

    Returns
    -------
    numbers : pandas.DataFrame
        One row a target and measure: ``target, inputs, measure, estimate, low, high, note``.
    curves : pandas.DataFrame
        One row a target and bin, as
        `ukb_brain.statistics.people.calibration_curve.reliability_curve`. Small counts are not
        suppressed: whoever shows them does that.
    """
    numbers, curves = [], []
    for key, table in targets.items():
        cell = table.cell(grid.fullest(key))
        if cell is None:
            continue
        name, predicted = cell
        known = np.isfinite(predicted)
        y, p = table.y[known], predicted[known]
        weights = draws.weights(table.family[known])
        found: dict[str, Any] = score_calibration(table.kind, y, p, weights, level)
        if "brier" in KINDS[table.kind].metrics:
            found |= brier_decomposition(y, p, weights[:DRAWS_OF_DECOMPOSITION], level)
        note = ""
        try:
            again = _recalibrated(table, name, known, validation)
            effect = recalibration_effect(table.kind, y, p, again, weights, level)
            found |= {f"recalibration_{what}": value for what, value in effect.items()}
        except InputError:
            note = TOO_FEW
        if key == AGE:
            try:
                gap = gaps(table, name, validation)
                found |= gap_dependence(y, p, gap["gap"].to_numpy(float), weights, level)
            except InputError:
                note = TOO_FEW
        numbers += [
            {"target": key, "inputs": name, "measure": measure, "estimate": value, "note": note}
            | {end: found[f"{measure}_{end}"] for end in ("low", "high")}
            for measure, value in found.items()
            if f"{measure}_low" in found
        ]
        curve = reliability_curve(table.kind, y, p, weights, level=level)
        curves.append(curve.assign(target=key, inputs=name))
    if not curves:
        return table_of(reported.calibration), table_of(reported.calibration_curves)
    return pd.DataFrame(numbers), pd.concat(curves, ignore_index=True)


def _of_fold(
    validation: pd.DataFrame, target: str, name: str, fold: int
) -> tuple[np.ndarray, np.ndarray]:
    mine = (validation["target"] == target) & (validation["inputs"] == name)
    rows = validation[mine & (validation["fold"] == fold)]
    return rows["y_true"].to_numpy(float), rows["y_pred"].to_numpy(float)


def _recalibrated(
    table: TargetPredictions, name: str, known: np.ndarray, validation: pd.DataFrame
) -> np.ndarray:
    predicted = table.predicted[:, table.inputs.index(name)]
    again = np.full(len(predicted), np.nan)
    for fold in table.folds:
        y, p = _of_fold(validation, table.target, name, fold)
        here = known & (table.fold == fold)
        again[here] = recalibrate(table.kind, y, p, predicted[here])
    return again[known]


def gaps(table: TargetPredictions, name: str, validation: pd.DataFrame) -> pd.DataFrame:
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
    predicted = table.predicted[:, table.inputs.index(name)]
    known = np.isfinite(predicted)
    gap = np.full(len(predicted), np.nan)
    for fold in table.folds:
        line = fit_age_line(*_of_fold(validation, table.target, name, fold))
        here = known & (table.fold == fold)
        gap[here] = brain_age_gap(line, table.y[here], predicted[here])
    values = {"fold": table.fold, "age": table.y, "predicted_age": predicted, "gap": gap}
    keys = {"eid": table.visit[:, 0], "instance": table.visit[:, 1]}
    return pd.DataFrame(keys | values)[known].reset_index(drop=True)


GAP_COLUMNS = ("eid", "instance", "fold", "age", "predicted_age", "gap")


def gap_table(targets: Targets, validation: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Give the brain-age gap of each test person, from images alone.

    Returns
    -------
    pandas.DataFrame
        As `gaps`, and ``inputs``: restricted. Without rows where age is no target, has no imaging
        cell, or validation has too few people; the table of calibration says which.
    """
    cell = targets[AGE].cell(grid.imaging_alone(AGE)) if AGE in targets else None
    if cell is None:
        return pd.DataFrame(columns=[*GAP_COLUMNS, "inputs"])
    try:
        return gaps(targets[AGE], cell[0], validation).assign(inputs=cell[0])
    except InputError:
        return pd.DataFrame(columns=[*GAP_COLUMNS, "inputs"])
