"""Tables of every cell: intervals of all metrics, and p values against permuted labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import norm

from ukb_brain.grid import Grid
from ukb_brain.statistics.certainty.cell_intervals import score_cells_with_intervals
from ukb_brain.statistics.certainty.permutation import NullInput, null_scores, permutation_table
from ukb_brain.statistics.certainty.strata import coarse_strata
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.scores.skill import SAME_FOR_ALL, TOO_FEW
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Targets = Mapping[str, TargetPredictions]


def interval_table(targets: Targets, draws: FamilyDraws, level: float = 0.95) -> pd.DataFrame:
    """Give every metric of every cell its recommended interval.

    Returns
    -------
    pandas.DataFrame
        ``target, inputs, metric, method, estimate, low, high, note, validated``: why there is no
        interval, where there is none, and whether it is of a size of sample in which its coverage
        was found to be within 93 and 97 % (`ukb_brain.statistics.kinds`).
    """
    tables = []
    for table in targets.values():
        rows = score_cells_with_intervals(table, draws, level)
        without = rows["estimate"].notna() & rows["low"].isna()
        why = rows["inputs"].isin(_constant(table)).map({True: SAME_FOR_ALL, False: TOO_FEW})
        validated = rows["inputs"].map(_validated(table, rows)).astype(bool)
        tables.append(rows.assign(note=why.where(without, ""), validated=validated))
    return pd.concat(tables, ignore_index=True) if tables else table_of(reported.intervals)


def errors_without_fail(intervals: pd.DataFrame, level: float = 0.95) -> pd.Series:
    """Give standard errors of skill where a trait is read without fail, which no draw varies.

    By target and inputs, of areas of 1: as far as their lower bound, which class sizes give, lies
    below.
    """
    mine = intervals[(intervals["metric"] == BINARY.headline) & (intervals["estimate"] == 1)]
    mine = mine.set_index(["target", "inputs"])
    return BINARY.gain(1 - mine["low"]) / norm.ppf((1 + level) / 2)


def _constant(table: TargetPredictions) -> list[str]:
    """Name the cells that predict the same for everybody whom a fold tested."""
    rows = pd.DataFrame(table.predicted).groupby(table.fold)
    flat = ((rows.max() - rows.min()).max() == 0).to_numpy()
    return [name for name, one in zip(table.inputs, flat, strict=True) if one]


def _validated(table: TargetPredictions, rows: pd.DataFrame) -> dict[str, bool]:
    kind = KINDS[table.kind]
    score = rows[rows["metric"] == kind.headline].set_index("inputs")["estimate"]
    return {
        name: kind.validated(kind.rarest(table.y[np.isfinite(predicted)]), float(score[name]))
        for name, predicted in zip(table.inputs, table.predicted.T, strict=True)
    }


def rows_of(visit: np.ndarray, people: pd.DataFrame) -> pd.DataFrame:
    """Look up what a table of ``eid, instance`` and more says of visits, shape (n, 2), in order."""
    index = pd.MultiIndex.from_arrays(list(visit.T), names=["eid", "instance"])
    return people.set_index(["eid", "instance"]).reindex(index).reset_index(drop=True)


def null_table(
    targets: Targets, participants: pd.DataFrame, grid: Grid, permutations: int, seed: int
) -> pd.DataFrame:
    """Test every cell against permuted labels, within strata of site, sex and age.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``eid, instance, site, sex, age``.
    grid : Grid
        Domains, which with the presence of imaging are the families of tests in
        `ukb_brain.statistics.certainty.permutation.permutation_table`.
    """
    if not targets:
        return table_of(reported.permutations)
    keys = np.unique(np.concatenate([table.visit for table in targets.values()]), axis=0)
    people = rows_of(keys, participants)
    place = pd.MultiIndex.from_arrays(list(keys.T))
    inputs = {}
    for key, table in targets.items():
        strata = coarse_strata(people, key)
        rows = place.get_indexer(pd.MultiIndex.from_arrays(list(table.visit.T)))
        inputs[key] = NullInput(**vars(table), strata=strata.code[rows], scheme=strata.by)
    declared = {key: _families(key, table.inputs, grid) for key, table in targets.items()}
    return permutation_table(null_scores(inputs, permutations, seed), declared)


def _families(target: str, inputs: tuple[str, ...], grid: Grid) -> list[str]:
    groups = {cell.inputs.name: cell.inputs.groups for cell in grid.cells if cell.target == target}
    domain = grid.targets[target].domain
    return [f"{domain}, {'with' if groups[name] else 'without'} imaging" for name in inputs]
