"""Tables of whom predictions serve: scores in subgroups, and as if people took part alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.certainty.cell_tables import rows_of
from ukb_brain.statistics.draws import FamilyDraws, bounded_columns
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.people.participation import score_weighted
from ukb_brain.statistics.people.subgroups import flag_differences, label_subgroups, score_subgroups
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Targets = Mapping[str, TargetPredictions]
# Ways to divide people that the target itself decides.
DECIDED = {"sex": "sex", "age": "age_band"}
WEIGHT = "participation_weight"
WEIGHTED_COLUMNS = [
    *("target", "inputs", "metric", "n", "n_effective"),
    *bounded_columns("plain", "weighted", "difference"),
]


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
    for key, table in targets.items():
        cell = table.cell(grid.fullest(key))
        if cell is None:
            continue
        name, predicted = cell
        known = np.isfinite(predicted)
        labels = label_subgroups(rows_of(table.visit[known], participants))
        labels = labels.drop(columns=[DECIDED[key]] if key in DECIDED else [])
        people = (table.y[known], predicted[known], labels, draws.weights(table.family[known]))
        rows = score_subgroups(table.kind, *people, table.fold[known], level, smallest)
        tables.append(rows.assign(target=key, inputs=name))
    if not tables:
        return table_of(reported.subgroups)
    flagged, first = flag_differences(pd.concat(tables, ignore_index=True)), ["target", "inputs"]
    return flagged[[*first, *flagged.columns.drop(first)]]


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
    for key, table in targets.items() if WEIGHT in participants else ():
        cell = table.cell(grid.fullest(key))
        if cell is None:
            continue
        name, predicted = cell
        known = np.isfinite(predicted)
        share = rows_of(table.visit[known], participants)[WEIGHT].to_numpy(float)
        row = {"target": key, "inputs": name, "metric": KINDS[table.kind].headline}
        if np.isfinite(share).any():
            weights = draws.weights(table.family[known])
            people = (table.y[known], predicted[known], share, weights, table.fold[known])
            row |= score_weighted(table.kind, *people, level)
        rows.append(row)
    numbers = dict.fromkeys(WEIGHTED_COLUMNS[3:], float)
    return pd.DataFrame(rows, columns=WEIGHTED_COLUMNS).astype(numbers)
