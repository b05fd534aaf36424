"""Headline skill of many cells under many labellings of the same people, by matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ukb_brain.statistics.kinds import BINARY
from ukb_brain.statistics.sums import ROUNDING, Floats, ratio


def skill_of_labels(
    kind: str, labels: Floats, predicted: Floats, fold: NDArray[np.int64]
) -> Floats:
    """Score fixed predictions against many labellings.

    Parameters
    ----------
    kind : str
        ``binary``: 2·AUC − 1, of each fold by itself and averaged by people, since each fold's
        model has a scale of its own; or ``continuous``: R² about the mean of all folds together.
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
    The rule of folds is that of `ukb_brain.statistics.scores.folds.score_folds`, which
    ``tests/statistics/scores/test_label_scores.py`` compares, beside scikit-learn's roc_auc_score
    and r2_score.
    """
    if kind == "continuous":
        return r2_of_labels(labels, predicted)
    total = np.zeros((len(labels), predicted.shape[1]))
    people = np.zeros_like(total)
    for one in np.unique(fold):
        mine = fold == one
        auc = auc_of_labels(labels[:, mine], predicted[mine])
        count = np.isfinite(auc) * np.isfinite(predicted[mine]).sum(axis=0)
        total += count * np.nan_to_num(auc)
        people += count
    return BINARY.skill(ratio(total, people))


def auc_of_labels(labels: Floats, predicted: Floats) -> Floats:
    """Areas under the ROC curve from sums of ranks.

    Parameters
    ----------
    labels : ndarray, shape (m, n)
        Above 0 is positive.
    predicted : ndarray, shape (n, cells)
        NaN where a cell lacks a person.

    Returns
    -------
    ndarray, shape (m, cells)
        NaN where a cell has one class.

    Notes
    -----
    AUC is Mann and Whitney's U over the number of pairs (Hanley & McNeil, Radiology 143:29, 1982);
    tied predictions have their mean rank. Sums of ranks are exact in double precision.
    """
    known = np.isfinite(predicted)
    ranks = np.where(known, rankdata(np.where(known, predicted, np.inf), axis=0), 0.0)
    positive = (labels > 0).astype(float)
    n_positive = positive @ known.astype(float)
    won = positive @ ranks - n_positive * (n_positive + 1) / 2
    return ratio(won, n_positive * (known.sum(axis=0) - n_positive))


def r2_of_labels(labels: Floats, predicted: Floats) -> Floats:
    """Explained shares of variance from sums of products.

    Parameters
    ----------
    labels : ndarray, shape (m, n)
        In the target's own units.
    predicted : ndarray, shape (n, cells)
        NaN where a cell lacks a person.

    Returns
    -------
    ndarray, shape (m, cells)
        NaN where a cell's labels are constant.
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
