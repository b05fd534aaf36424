"""Tables of what a score may rest on: confounds, sites, subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.certainty.cell_tables import rows_of
from ukb_brain.statistics.certainty.delong import newcombe_area_interval
from ukb_brain.statistics.draws import FamilyDraws, bounded_columns, measured
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.limits.beyond_confounds import gain_beyond_confounds, stack_on_confounds
from ukb_brain.statistics.limits.confounds import confound_design, confounds_baseline
from ukb_brain.statistics.people.participation import score_weighted
from ukb_brain.statistics.people.subgroups import flag_differences, label_subgroups, score_subgroups
from ukb_brain.statistics.scores.engine import headline_of
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.scores.within import score_within_sites
from ukb_brain.statistics.sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import without_rows
from ukb_brain.tables.thresholds import fit_cut
from ukb_brain.tables.visits import one_visit

Targets = Mapping[str, TargetPredictions]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Everybody:
    """What is known of all people at their first imaging visit, and their predictions.

    Attributes
    ----------
    targets, confounds, participants : pandas.DataFrame
        Of data engineering, by ``eid, instance``.
    splits : pandas.DataFrame
        ``eid, fold, part``.
    validation : pandas.DataFrame
        The strategy's predictions of validation people, averaged over seeds: ``eid, instance,
        target, inputs, fold, y_true, y_pred``.
    covariates : tuple of str
        Columns of ``confounds`` that are asked for beside the confounds proper.
    """

    targets: pd.DataFrame
    confounds: pd.DataFrame
    participants: pd.DataFrame
    splits: pd.DataFrame
    validation: pd.DataFrame
    covariates: tuple[str, ...] = ()

    def first_visits(self) -> pd.DataFrame:
        """Keys and family of everybody at the chosen visit."""
        return one_visit(self.participants)[["eid", "instance", "family"]]


def predictions_of(predictions: pd.DataFrame, strategy: str, split: str) -> pd.DataFrame:
    """Take some people's predictions of all cells, averaged over seeds.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of modelling.
    strategy : str
        Of the map.
    split : str
        ``validation``, or ``repeat``: later visits of test people.

    Returns
    -------
    pandas.DataFrame
        ``eid, instance, target, inputs, fold, y_true, y_pred``.
    """
    mine = (predictions["split"] == split) & (predictions["strategy"] == strategy)
    kept = predictions.loc[mine]
    keys = ["eid", "instance", "target", "inputs", "fold"]
    seeds = kept.groupby(keys, observed=True, as_index=False)[["y_true", "y_pred"]].mean()
    return seeds.astype({"target": object, "inputs": object})


def confound_table(
    targets: Targets,
    unrefined: Targets,
    everybody: Everybody,
    draws: FamilyDraws,
    grid: Grid,
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare each target's imaging cell with confounds alone, and score it within sites.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    unrefined : dict of str to TargetPredictions
        What cells predicted before the ladder, which may give a cell with images the predictions
        of the one without: no evidence that images add nothing.
    everybody : Everybody
        Of the same run; its validation people as before the ladder.
    draws : FamilyDraws
        Of all families.
    grid : Grid
        Names the cells.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs, metric, n, status`` and, each with ``_low`` and
        ``_high``, ``score`` of the cell, ``confounds`` alone, ``together``, the ``gain`` of images
        and ``within_site``. The cell is the one with all imaging and as few blocks as may be; the
        gain is over confounds and the cell of these blocks, of which images get no credit, all by
        ``unrefined`` predictions.
        Confounds are site, sex, age and its square, head size and head motion, less the
        target itself.
    """
    rows = []
    for key, table in targets.items():
        row: Row = {"target": key, "inputs": "", "metric": KINDS[table.kind].headline}
        cell = table.cell(grid.imaging_alone(key))
        if cell is None:
            rows.append(row | {"status": "its imaging cell has no scores"})
            continue
        name, predicted = cell
        known = np.isfinite(predicted)
        weights = draws.weights(table.family[known])
        y, p, fold = table.y[known], predicted[known], table.fold[known]
        site = rows_of(table.visit[known], everybody.participants)["site"].to_numpy()
        row |= {"inputs": name, "n": int(known.sum()), "status": "ok"}
        row |= measured(headline_of(table.kind, y, p, fold), weights, level)
        row |= score_within_sites(table.kind, y, p, site, weights, fold, level)
        if table.kind == "binary":
            row |= _perfect(row, int((y > 0).sum()), len(y), level)
        try:
            alone, without, together = _beyond(unrefined[key], name, everybody, grid)
            row |= gain_beyond_confounds(
                table.kind, y, alone, together, weights, fold, level, without
            )
        except InputError:
            # The reason counts people, and this table may leave.
            row["status"] = "too few training or validation people, or classes, for confounds"
        rows.append(row)
    return pd.DataFrame(rows) if rows else without_rows(reported.confounds)


def _perfect(row: Row, positives: int, n: int, level: float) -> Row:
    """Give areas of 1, which no draw of people varies, the bounds that class sizes allow."""
    low, high = newcombe_area_interval(1.0, positives, n - positives, level)
    return {
        f"{name}_{end}": bound
        for name in ("score", "within_site")
        if row[name] == 1.0
        for end, bound in (("low", low), ("high", high))
    }


def _beyond(
    table: TargetPredictions, name: str, everybody: Everybody, grid: Grid
) -> tuple[Floats, Floats, Floats]:
    """Confounds alone, with the cell's blocks, and with its images too, for its test people.

    Each fold by what it was fitted on.
    """
    known = np.isfinite(table.predicted[:, table.inputs.index(name)])
    blocks = next(
        c.inputs.blocks for c in grid.cells if (c.target, c.inputs.name) == (table.target, name)
    )
    bare = grid.inputs((), blocks).name if blocks else ""
    cells = [one for one in (bare, name) if one in table.inputs]
    predicted = [table.predicted[known, table.inputs.index(one)] for one in cells]
    first = everybody.first_visits()
    visits = first[["eid", "instance"]].to_numpy(np.int64)
    confounds, family = rows_of(visits, everybody.confounds), first["family"].to_numpy(np.int64)
    cut = fit_cut(everybody.targets, everybody.participants, everybody.splits, grid)
    place = pd.MultiIndex.from_arrays(list(visits.T))
    alone, without, together = np.full((3, int(known.sum())), np.nan)
    held = everybody.validation
    held = held[held["target"] == table.target]
    keys = ["fold", "eid", "instance"]
    held_cells = [held[held["inputs"] == one].set_index(keys) for one in cells]
    for fold in table.folds:
        part = everybody.splits[everybody.splits["fold"] == fold].set_index("eid")["part"]
        train = (first["eid"].map(part) == "train").to_numpy()
        measured_here = rows_of(visits, cut(everybody.targets, fold))
        y = measured_here[table.target].to_numpy(float)
        X, _ = confound_design(confounds, train, table.target, everybody.covariates)
        baseline = confounds_baseline(table.kind, y, X, train, family)
        mine = held_cells[-1]
        mine = mine[mine.index.get_level_values("fold") == fold]
        if len(mine) < 2 or mine["y_true"].nunique() < 2:
            raise InputError(
                f"{len(mine)} validation people cannot say how to join confounds and cell"
            )
        at = place.get_indexer(pd.MultiIndex.from_frame(mine.reset_index()[["eid", "instance"]]))
        here = table.fold[known] == fold
        tested = place.get_indexer(pd.MultiIndex.from_arrays(list(table.visit[known][here].T)))
        y_fit = mine["y_true"].to_numpy(float)
        fit = [baseline[at], *(c.loc[mine.index, "y_pred"].to_numpy(float) for c in held_cells)]
        apply_to = [baseline[tested], *(one[here] for one in predicted)]
        ends = ((fit[0], fit[-1]), (apply_to[0], apply_to[-1]))
        alone[here], _ = stack_on_confounds(table.kind, y_fit, *ends)
        without[here], together[here] = stack_on_confounds(
            table.kind, y_fit, tuple(fit), tuple(apply_to)
        )
    return alone, without, together


# Ways to divide people that the target itself decides.
DECIDED = {"sex": "sex", "age": "age_band"}


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
    targets : dict of str to TargetPredictions
        By target.
    participants : pandas.DataFrame
        ``eid, instance, sex, age, site`` and, where known, ``ethnic_background, deprivation``.
    draws : FamilyDraws
        Of all families.
    grid : Grid
        Names the cells.
    smallest : int
        Smaller subgroups are not shown.
    level : float
        Coverage of the intervals.

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
        rows = score_subgroups(
            table.kind,
            table.y[known],
            predicted[known],
            labels,
            draws.weights(table.family[known]),
            table.fold[known],
            level,
            smallest,
        )
        tables.append(rows.assign(target=key, inputs=name))
    if not tables:
        return without_rows(reported.subgroups)
    flagged, first = flag_differences(pd.concat(tables, ignore_index=True)), ["target", "inputs"]
    return flagged[[*first, *(name for name in flagged if name not in first)]]


WEIGHT = "participation_weight"
WEIGHTED_COLUMNS = [
    *("target", "inputs", "metric", "n", "n_effective"),
    *bounded_columns("plain", "weighted", "difference"),
]


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
    targets : dict of str to TargetPredictions
        By target.
    participants : pandas.DataFrame
        ``eid, instance`` and, where weights were given, ``participation_weight``.
    draws : FamilyDraws
        Of all families.
    grid : Grid
        Names the cells.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs, metric`` and what
        `ukb_brain.statistics.people.participation.score_weighted` says; no rows without weights.
    """
    rows: list[Row] = []
    for key, table in targets.items() if WEIGHT in participants else ():
        cell = table.cell(grid.fullest(key))
        if cell is None:
            continue
        name, predicted = cell
        known = np.isfinite(predicted)
        share = rows_of(table.visit[known], participants)[WEIGHT].to_numpy(float)
        row: Row = {"target": key, "inputs": name, "metric": KINDS[table.kind].headline}
        if np.isfinite(share).any():
            weights = draws.weights(table.family[known])
            people = (table.y[known], predicted[known], share, weights, table.fold[known])
            row |= score_weighted(table.kind, *people, level)
        rows.append(row)
    numbers = dict.fromkeys(WEIGHTED_COLUMNS[3:], float)
    return pd.DataFrame(rows, columns=WEIGHTED_COLUMNS).astype(numbers)
