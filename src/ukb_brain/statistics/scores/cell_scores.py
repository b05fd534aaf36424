"""Scores of a target's cells: on the sample, in draws, for the jackknife, on common people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import Scores, score_draws
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.sums import Floats

# Beyond some hundred blocks a jackknife's skewness hardly changes.
MOST_BLOCKS = 200


def score_cells(
    table: TargetPredictions,
    weights: Floats,
    metrics: Sequence[str] | None = None,
    every_fold: bool = False,
) -> Scores:
    """Score a target's cells in all draws at once, as `score_draws` does."""
    given = (table.kind, table.y, table.predicted, weights, table.row_of_fold, table.threshold)
    return score_draws(*given, metrics, every_fold)


def estimate_cells(table: TargetPredictions) -> Scores:
    """Score all cells of a target on the sample itself, each metric of shape (cells,).

    NaN where a cell has no score, for want of a second person, or in one of its folds.
    """
    enough = (~np.isnan(table.predicted)).sum(axis=0) > 1
    scores = score_cells(table, np.ones((1, len(table.y))), every_fold=True)
    return {name: np.where(enough, values[0], np.nan) for name, values in scores.items()}


def jackknife_cells(table: TargetPredictions, blocks: int = MOST_BLOCKS) -> Scores:
    """Score all cells with one family, or block of families, left out at a time.

    With more families than ``blocks``, families are dealt out to these in turn, in the order of
    their labels. Metrics have the shape (blocks, cells), NaN where what is left has no score.

    Notes
    -----
    For the acceleration of BCa intervals. Sums over blocks of a statistic's influence have the
    same second and third cumulants in all as single families have, so the acceleration is that of
    single families, with some noise (DiCiccio & Efron, Statistical Science 11:189, 1996).
    """
    families, place = np.unique(table.family, return_inverse=True)
    block = place.reshape(-1) % blocks
    left_out = np.arange(min(blocks, len(families)))[:, None] == block
    return score_cells(table, 1.0 - left_out)


def percentile_bounds(estimate: Floats, drawn: Floats, level: float) -> Floats:
    """Bounds of cells, shape (2, cells), by `percentile_interval`; NaN without an estimate."""
    bounds = [percentile_interval(of_cell, level) for of_cell in drawn.T]
    return np.where(np.isfinite(estimate), np.transpose(bounds), np.nan)


def scored_with_percentiles(
    table: TargetPredictions,
    draws: FamilyDraws | None = None,
    level: float = 0.95,
    headline_only: bool = False,
) -> pd.DataFrame:
    """Score a target's cells, with percentile intervals, or of the headline, where there are draws.

    Returns
    -------
    pandas.DataFrame
        ``target, inputs`` and metrics of the kind, each with ``_low`` and ``_high`` where it has an
        interval; one row a cell.
    """
    sample = estimate_cells(table)
    bounds_of = [KINDS[table.kind].headline] if headline_only else None
    drawn = score_cells(table, draws.weights(table.family), bounds_of) if draws else {}
    found: dict[str, Any] = {"target": table.target, "inputs": table.inputs}
    for name, estimate in sample.items():
        found[name] = estimate
        if name in drawn:
            bounds = percentile_bounds(estimate, drawn[name], level)
            found |= zip((f"{name}_low", f"{name}_high"), bounds, strict=True)
    return pd.DataFrame(found)


@dataclass(frozen=True, eq=False)
class CommonScores:
    """Scores of a target's cells on the people common to all of them.

    Attributes
    ----------
    n : int
        People in common.
    skill, accuracy : ndarray, shape (1 + draws, cells)
        R² or 2·AUC − 1, and the study's balanced accuracy (of a median split, if continuous); the
        sample's in the first row, then those of bootstrap draws, the same in all targets.
    """

    inputs: tuple[str, ...]
    n: int
    skill: Floats
    accuracy: Floats


def common_scores(
    targets: Mapping[str, TargetPredictions], draws: FamilyDraws
) -> dict[str, CommonScores]:
    """Score all cells of every target on the people whom its cells have in common.

    Scores are those of `ukb_brain.statistics.scores.engine`, NaN where these people leave one
    undefined.
    """
    found = {}
    for key, table in targets.items():
        mine = table.restricted(np.asarray(np.isfinite(table.predicted).all(axis=1)))
        n = len(mine.y)
        if n < 2:
            blank = np.full((1 + draws.draws, len(table.inputs)), np.nan)
            found[key] = CommonScores(table.inputs, n, blank, blank)
            continue
        kind = KINDS[table.kind]
        both, weights = (kind.headline, kind.accuracy), draws.weights(mine.family)
        sample, drawn = estimate_cells(mine), score_cells(mine, weights, both)
        headline, accuracy = (np.vstack([sample[name], drawn[name]]) for name in both)
        found[key] = CommonScores(table.inputs, n, kind.skill(headline), accuracy)
    return found


def skill_by_cell(scores: Mapping[str, CommonScores]) -> pd.DataFrame:
    """Arrange skill as claims and profiles take it.

    Returns
    -------
    pandas.DataFrame
        Index ``target, inputs``; column 0 is the sample's, the others those of draws.
    """
    if not scores:
        nothing = pd.MultiIndex.from_arrays([[], []], names=["target", "inputs"])
        return pd.DataFrame(index=nothing, columns=[0], dtype=np.float64)
    keys = [(target, name) for target, one in scores.items() for name in one.inputs]
    values = np.concatenate([one.skill for one in scores.values()], axis=1).T
    return pd.DataFrame(values, index=pd.MultiIndex.from_tuples(keys, names=["target", "inputs"]))
