"""Every metric of every cell of a target: on the sample, in bootstrap draws, for the jackknife."""

from __future__ import annotations

import numpy as np

from ukb_brain.statistics.scores.engine import Scores, score_draws
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.sums import Floats

# Beyond some hundred blocks a jackknife's skewness hardly changes.
MOST_BLOCKS = 200


def score_cells(table: TargetPredictions, weights: Floats, every_fold: bool = False) -> Scores:
    """Score all metrics of a target's cells in all draws at once, as `score_draws` does."""
    given = (table.kind, table.y, table.predicted, weights)
    row = np.searchsorted(table.folds, table.fold)
    return score_draws(*given, row, table.threshold, every_fold=every_fold)


def estimate_cells(table: TargetPredictions) -> Scores:
    """Score all cells of a target on the sample itself.

    Returns
    -------
    dict of str to ndarray, shape (cells,)
        Metrics of the kind; NaN where a cell has no score, for want of a second person, or in
        one of its folds.
    """
    enough = (~np.isnan(table.predicted)).sum(axis=0) > 1
    scores = score_cells(table, np.ones((1, len(table.y))), every_fold=True)
    return {name: np.where(enough, values[0], np.nan) for name, values in scores.items()}


def jackknife_cells(table: TargetPredictions, blocks: int = MOST_BLOCKS) -> Scores:
    """Score all cells with one family, or block of families, left out at a time.

    Parameters
    ----------
    blocks : int
        Most blocks; with more families than this, families are dealt out to blocks in turn, in
        the order of their labels.

    Returns
    -------
    dict of str to ndarray, shape (blocks, cells)
        Metrics of the kind; NaN where what is left has no score.

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
