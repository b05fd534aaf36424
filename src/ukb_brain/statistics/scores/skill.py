"""One scale for both kinds of target, and the cells that stand for a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.kinds import BINARY, KINDS, LABELS, by_kind

SAME_FOR_ALL = "everybody has the same prediction"
TOO_FEW = "people are too few, or nearly all of one class"


def with_skill(performance: pd.DataFrame) -> pd.DataFrame:
    """Add the headline score of each cell and its skill: R², or 2·AUC − 1.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.

    Returns
    -------
    pandas.DataFrame
        With ``metric`` (AUC or R²), ``score, score_low, score_high`` and ``skill, skill_low,
        skill_high``. Skill is 0 where nothing is read and 1 where everything is.
    """
    kinds = performance["kind"]
    added = {"metric": kinds.map({name: kind.label for name, kind in KINDS.items()})}
    for end in ("", "_low", "_high"):
        added |= _scored(performance, end)
    return performance.assign(**added)


def _scored(performance: pd.DataFrame, end: str) -> dict[str, pd.Series]:
    kinds = performance["kind"]
    score = by_kind(kinds, lambda of: performance[of.headline + end])
    return {f"score{end}": score, f"skill{end}": by_kind(kinds, lambda of: of.skill(score))}


def why_no_interval(cell: Mapping[Any, Any]) -> str:
    """Say why a cell's score has no interval.

    Parameters
    ----------
    cell : mapping
        A row of `with_skill`.

    Returns
    -------
    str
        Empty where there is one, or no score either.
    """
    if pd.isna(cell["score"]) or pd.notna(cell["score_low"]):
        return ""
    constant = cell["kind"] == BINARY.name and cell["score"] == BINARY.chance
    return SAME_FOR_ALL if constant else TOO_FEW


def skill_of_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Give each published cell's skill, as claims take it where there are no draws.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``target, inputs, kind, balanced_accuracy, r2``: a published AUC is none of the trait.

    Returns
    -------
    pandas.DataFrame
        Index ``target, inputs``; column 0: 2·BA − 1 of binary targets, R² of others.
    """
    skill = by_kind(cells["kind"], lambda of: of.skill(cells[of.published]))
    index = pd.MultiIndex.from_frame(cells[["target", "inputs"]])
    return pd.DataFrame({0: skill.to_numpy(float)}, index=index)


def fullest_cells(performance: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Pick the cell that stands for each target, by `ukb_brain.grid.Grid.fullest`.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    grid : Grid
        Gives the rule of inputs.

    Returns
    -------
    pandas.DataFrame
        One row a target, in the order of the grid.
    """
    return _picked(performance, {key: grid.fullest(key).name for key in grid.targets})


def without_imaging(performance: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Pick the cell of each target that has every block it may have and no imaging.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    grid : Grid
        Gives the rule of inputs.

    Returns
    -------
    pandas.DataFrame
        One row a target outside the base domain, in the order of the grid.
    """
    return _picked(performance, {key: grid.without_imaging(key).name for key in grid.targets})


def _picked(performance: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    return performance.loc[performance["target"].map(names) == performance["inputs"]]


def headline_intervals(intervals: pd.DataFrame) -> pd.DataFrame:
    """Keep the intervals of the metric that skill is made of.

    Parameters
    ----------
    intervals : pandas.DataFrame
        ``metric`` and more, one row a metric and cell.

    Returns
    -------
    pandas.DataFrame
        One row a cell.
    """
    return intervals[intervals["metric"].isin(list(LABELS))]
