"""Every metric of every cell of a target: on the sample, in bootstrap draws, for the jackknife."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.statistics.draws import FamilyDraws, bounded
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
    given = (table.kind, table.y, table.predicted, weights)
    row = np.searchsorted(table.folds, table.fold)
    return score_draws(*given, row, table.threshold, metrics, every_fold)


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
    rows = []
    for cell, inputs in enumerate(table.inputs):
        row: dict[str, Any] = {"target": table.target, "inputs": inputs}
        for name, estimates in sample.items():
            row[name] = estimate = float(estimates[cell])
            if name in drawn:
                row |= bounded(name, estimate, drawn[name][:, cell], level)
        rows.append(row)
    return pd.DataFrame(rows)
