"""Headline skill of several cells of a target in each bootstrap draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ukb_brain.statistics.certainty import intervals
from ukb_brain.statistics.kinds import BINARY
from ukb_brain.statistics.scores import metrics
from ukb_brain.statistics.scores.metrics import Floats

# From y (n,), predicted (n, cells) and weights (draws, n) to scores (draws, cells).
CellScore = Callable[[Floats, Floats, Floats], Floats]


def headline(kind: str) -> CellScore:
    """Score cells one by one with the headline metric of a kind.

    Parameters
    ----------
    kind : str
        ``binary`` (AUC) or ``continuous`` (R²).

    Returns
    -------
    callable
        From y, predicted (n, cells) and weights (draws, n) to scores (draws, cells).
    """
    score = metrics.roc_auc if kind == "binary" else metrics.r2

    def of_cells(y: Floats, predicted: Floats, weights: Floats) -> Floats:
        return np.column_stack([score(y, column, weights) for column in predicted.T])

    return of_cells


def drawn_skill(
    kind: str,
    y: Floats,
    predicted: Floats,
    fold: NDArray[np.int64],
    weights: Floats,
    score: CellScore | None = None,
) -> Floats:
    """Skill of cells in each draw, on people whom all of them have.

    Parameters
    ----------
    kind : str
        ``binary``: 2·AUC − 1, AUC of each fold averaged by the people drawn; ``continuous``: R²
        of all folds together.
    y : ndarray, shape (n,)
        0 or 1, or in the target's own units.
    predicted : ndarray, shape (n, cells)
        Finite.
    fold : ndarray of int, shape (n,)
        The fold that tested each person.
    weights : ndarray, shape (draws, n)
        How often each person counts; a row of ones gives the estimates.
    score : callable, optional
        Headline metric of many cells; `headline` of the kind where it is not given.

    Returns
    -------
    ndarray, shape (draws, cells)
        NaN where a draw has no score; folds without one are left out of a draw's mean.

    Notes
    -----
    The rule of folds is that of `ukb_brain.statistics.scores.folds.score_folds`, with which
    ``tests/statistics/scores/test_drawn_skill.py`` compares it.
    """
    score = score or headline(kind)
    step = max(1, intervals.LARGEST_CHUNK // max(1, len(y)))
    found = []
    for at in range(0, len(weights), step):
        chunk = weights[at : at + step]
        if kind == "continuous":
            found.append(score(y, predicted, chunk))
        else:
            folds = [fold == one for one in np.unique(fold)]
            shape = (len(folds), len(chunk), predicted.shape[1])
            scores = [score(y[at], predicted[at], chunk[:, at]) for at in folds]
            people = np.reshape([chunk[:, at].sum(axis=1) for at in folds], (*shape[:2], 1))
            found.append(BINARY.skill(metrics.mean_by_people(np.reshape(scores, shape), people)))
    return np.concatenate(found)
