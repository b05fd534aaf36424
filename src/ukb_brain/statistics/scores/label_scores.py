"""Headline skill of many cells under many labellings of the same people, by matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import POOLED, mean_by_people
from ukb_brain.statistics.sums import ROUNDING, Floats, ratio


def skill_of_labels(
    kind: str, labels: Floats, predicted: Floats, fold: NDArray[np.int64]
) -> Floats:
    """Score fixed predictions against many labellings, by the engine's rule of folds.

    Parameters
    ----------
    labels : ndarray, shape (m, n)
        A labelling a row: 0 or 1, or in the target's own units.
    predicted : ndarray, shape (n, cells)
        NaN where a cell lacks a person.
    fold : ndarray of int, shape (n,)
        The fold that predicted each person.

    Returns
    -------
    ndarray, shape (m, cells)
        NaN where a score is undefined; a fold of one class is left out of a labelling's mean.

    Notes
    -----
    ``tests/statistics/scores/test_label_scores.py`` compares it with
    `ukb_brain.statistics.scores.engine`, and with scikit-learn.
    """
    metric = KINDS[kind].headline
    groups = (
        [np.full(len(fold), True)] if metric in POOLED else [fold == f for f in np.unique(fold)]
    )
    score = {"roc_auc": auc_of_labels, "r2": r2_of_labels}[metric]
    scores = np.array([score(labels[:, mine], predicted[mine]) for mine in groups])
    people = np.array([np.isfinite(predicted[mine]).sum(axis=0) for mine in groups])
    return KINDS[kind].skill(mean_by_people(scores, people[:, None].astype(float)))


def auc_of_labels(labels: Floats, predicted: Floats) -> Floats:
    """Areas under the ROC curve, shape (m, cells), from sums of ranks; see `skill_of_labels`.

    Mann and Whitney's U over the number of pairs (Hanley & McNeil, Radiology 143:29, 1982); tied
    predictions have their mean rank. Sums of ranks are exact in double precision.
    """
    known = np.isfinite(predicted)
    ranks = np.where(known, rankdata(np.where(known, predicted, np.inf), axis=0), 0.0)
    positive = (labels > 0).astype(float)
    n_positive = positive @ known.astype(float)
    won = positive @ ranks - n_positive * (n_positive + 1) / 2
    return ratio(won, n_positive * (known.sum(axis=0) - n_positive))


def r2_of_labels(labels: Floats, predicted: Floats) -> Floats:
    """Explained shares of variance, shape (m, cells), from sums of products.

    NaN where a cell's labels are constant; see `skill_of_labels`.
    """
    centre = labels.mean()
    known = np.isfinite(predicted)
    among = known.astype(float)
    y, p = labels - centre, np.where(known, predicted - centre, 0.0)
    squares, sums = y**2 @ among, y @ among
    total = squares - sums**2 / np.maximum(known.sum(axis=0), 1)
    error = squares - 2 * (y @ p) + (p**2).sum(axis=0)
    floor = ROUNDING * squares + np.finfo(float).tiny
    return 1 - ratio(error, np.where(total > floor, total, 0.0))
