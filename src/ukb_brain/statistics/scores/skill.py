"""One scale for both kinds of target, and the cells that stand for a target."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.kinds import BINARY, KINDS, LABELS, by_kind

SAME_FOR_ALL = "everybody has the same prediction"
TOO_FEW = "people are too few, or nearly all of one class"


def with_skill(performance: pd.DataFrame) -> pd.DataFrame:
    """Add the headline score of each cell and its skill: R², or 2·AUC − 1.

    Returns
    -------
    pandas.DataFrame
        With ``metric`` (AUC or R²), ``score, score_low, score_high`` and ``skill, skill_low,
        skill_high``. Skill is 0 where nothing is read and 1 where everything is.
    """
    kinds = performance["kind"]
    metric = kinds.map({name: kind.label for name, kind in KINDS.items()})

    def scored(end: str) -> dict[str, pd.Series]:
        score = by_kind(kinds, lambda of: performance[of.headline + end])
        return {f"score{end}": score, f"skill{end}": by_kind(kinds, lambda of: of.skill(score))}

    return performance.assign(metric=metric, **scored(""), **scored("_low"), **scored("_high"))


def why_no_interval(cell: Mapping[Any, Any]) -> str:
    """Say why the score in a row of `with_skill` has no interval.

    Empty where it has one, and where there is no score.
    """
    if pd.isna(cell["score"]) or pd.notna(cell["score_low"]):
        return ""
    constant = cell["kind"] == BINARY.name and cell["score"] == BINARY.chance
    return SAME_FOR_ALL if constant else TOO_FEW


def skill_of_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Give each published cell's skill, as claims take it where there are no draws.

    Returns
    -------
    pandas.DataFrame
        Index ``target, inputs``; column 0: 2·BA − 1 of binary targets, for a published AUC is none
        of the trait, and R² of others.
    """
    skill = by_kind(cells["kind"], lambda of: of.skill(cells[of.published]))
    index = pd.MultiIndex.from_frame(cells[["target", "inputs"]])
    return pd.DataFrame({0: skill.to_numpy(float)}, index=index)


def fullest_cells(performance: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Pick the cell that stands for each target, by `ukb_brain.grid.Grid.fullest`."""
    return _picked(performance, grid, grid.fullest)


def without_imaging(performance: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Pick the cell of each target outside the base domain that has all its blocks, no imaging."""
    return _picked(performance, grid, grid.without_imaging)


def _picked(performance: pd.DataFrame, grid: Grid, rule: Callable[[str], Inputs]) -> pd.DataFrame:
    """One row a target, in the order of the grid."""
    names = {key: rule(key).name for key in grid.targets}
    return performance.loc[performance["target"].map(names) == performance["inputs"]]


def headline_intervals(intervals: pd.DataFrame) -> pd.DataFrame:
    """Keep the intervals of the metric that skill is made of, one a cell."""
    return intervals[intervals["metric"].isin(list(LABELS))]
