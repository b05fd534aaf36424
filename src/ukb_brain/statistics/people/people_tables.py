"""Tables of whom predictions serve: scores in subgroups, and as if people took part alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.people.participation import score_weighted
from ukb_brain.statistics.people.subgroups import flag_differences, label_subgroups, score_subgroups
from ukb_brain.statistics.scores.target_predictions import TargetPredictions, in_full, rows_of
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Targets = Mapping[str, TargetPredictions]
# Ways to divide people that the target itself decides.
DECIDED = {"sex": "sex", "age": "age_band"}
WEIGHT = "participation_weight"


def subgroup_table(
    targets: Targets,
    participants: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    smallest: int,
    level: float = 0.95,
) -> pd.DataFrame:
    """Score each target's fullest cell in subgroups of its test people.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``eid, instance, sex, age, site`` and, where known, ``ethnic_background, deprivation``.
    smallest : int
        Smaller subgroups are not shown.

    Returns
    -------
    pandas.DataFrame
        ``target, inputs`` and the columns of
        `ukb_brain.statistics.people.subgroups.score_subgroups`, with ``p_adjusted`` and ``differs``
        over all rows.
    """
    tables = []
    for key, cell in in_full(targets, grid):
        labels = label_subgroups(rows_of(cell.visit, participants))
        labels = labels.drop(columns=[DECIDED[key]] if key in DECIDED else [])
        people = (cell.y, cell.predicted[:, 0], labels, draws.weights(cell.family))
        rows = score_subgroups(cell.kind, *people, cell.fold, level, smallest)
        tables.append(rows.assign(target=key, inputs=cell.inputs[0]))
    if not tables:
        return table_of(reported.subgroups)
    flagged = flag_differences(pd.concat(tables, ignore_index=True))
    return table_of(reported.subgroups, flagged)


def participation_table(
    targets: Targets,
    participants: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    level: float = 0.95,
) -> pd.DataFrame:
    """Score each target's fullest cell as if people took part alike.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``eid, instance`` and, where weights were given, ``participation_weight``.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs, metric`` and what
        `ukb_brain.statistics.people.participation.score_weighted` says; no rows without weights.
    """
    rows: list[dict[str, Any]] = []
    for key, cell in in_full(targets if WEIGHT in participants else {}, grid):
        share = rows_of(cell.visit, participants)[WEIGHT].to_numpy(float)
        row: dict[str, Any] = {
            "target": key,
            "inputs": cell.inputs[0],
            "metric": KINDS[cell.kind].headline,
        }
        if np.isfinite(share).any():
            people = (cell.y, cell.predicted[:, 0], share, draws.weights(cell.family), cell.fold)
            row |= score_weighted(cell.kind, *people, level)
        rows.append(row)
    return table_of(reported.participation, rows)
