"""Tables between cells: what each input adds, contributions, mixed models over resampled people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.inputs.contributions import (
    TargetSkill,
    contributions_table,
    domain_contributions,
)
from ukb_brain.statistics.inputs.mixed_resampling import resampled_effects
from ukb_brain.statistics.inputs.nested_pairs import PairInput, adds_table, compare_pairs
from ukb_brain.statistics.scores.cell_scores import CommonScores
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Targets = Mapping[str, TargetPredictions]
Scores = Mapping[str, CommonScores]


def inputs_of(target: str, names: tuple[str, ...], grid: Grid) -> tuple[Inputs, ...]:
    """Look up a target's inputs by their published names."""
    known = {cell.inputs.name: cell.inputs for cell in grid.cells if cell.target == target}
    return tuple(known[name] for name in names)


def comparison_table(
    targets: Targets, draws: FamilyDraws, grid: Grid, margin: float, level: float = 0.95
) -> pd.DataFrame:
    """Say of every imaging group and block whether it adds to all others."""
    compared, declared = {}, {}
    for key, table in targets.items():
        inputs = tuple(cell.inputs for cell in grid.cells if cell.target == key)
        # A cell without scores has its pair all the same, which then says so.
        place = {name: at for at, name in enumerate(table.inputs)}
        predicted = np.full((len(table.y), len(inputs)), np.nan)
        for at, one in enumerate(inputs):
            if one.name in place:
                predicted[:, at] = table.predicted[:, place[one.name]]
        tested = PairInput(table.kind, inputs, table.y, predicted, table.fold, table.family)
        compared[key] = compare_pairs(tested, draws.weights, margin, level)
        domain = grid.targets[key].domain
        declared[key] = [f"{domain}, {part}" for part in compared[key].get("part", ())]
    return adds_table(compared, declared, margin)


def contribution_table(scores: Scores, grid: Grid, level: float = 0.95) -> pd.DataFrame:
    """Share out each target's skill, and each domain's, among imaging groups and blocks."""
    given = {
        key: TargetSkill(one.skill[0], one.skill[1:], inputs_of(key, one.inputs, grid))
        for key, one in scores.items()
    }
    tables = [
        contributions_table(one.skill, one.drawn, one.inputs, key, grid, level)
        for key, one in given.items()
    ]
    tables += [domain_contributions(given, domain, grid, level) for domain in grid.domains]
    return pd.concat(tables, ignore_index=True)


def imaging_gains(comparisons: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Take what all imaging adds to each target's blocks from the comparisons.

    Returns
    -------
    pandas.DataFrame
        ``target, gain, gain_low, gain_high``, one row a target outside the base domain: the cell
        with everything less the one with every block and no imaging.
    """
    bare = {key: grid.without_imaging(key).name for key in grid.targets}
    mine = comparisons[comparisons["target"].map(bare) == comparisons["without"]]
    names = {"difference": "gain", "low": "gain_low", "high": "gain_high"}
    return mine.rename(columns=names)[["target", *names.values()]].reset_index(drop=True)


def resampled_table(scores: Scores, grid: Grid, level: float = 0.95) -> pd.DataFrame:
    """Fit each domain's mixed model with intervals over resampled test people."""
    if not scores:
        return table_of(reported.mixed_models_resampled)
    rows = [
        {"target": key, "domain": grid.targets[key].domain} | grid.flags(inputs)
        for key, one in scores.items()
        for inputs in inputs_of(key, one.inputs, grid)
    ]
    outcomes = {
        "balanced_accuracy": np.concatenate([one.accuracy for one in scores.values()], axis=1),
        "skill": np.concatenate([one.skill for one in scores.values()], axis=1),
    }
    return resampled_effects(
        pd.DataFrame(rows),
        {name: values[0] for name, values in outcomes.items()},
        {name: values[1:] for name, values in outcomes.items()},
        grid,
        level,
    )
