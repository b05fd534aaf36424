"""Every metric of every cell of a target in every bootstrap draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ukb_brain.statistics.certainty import intervals
from ukb_brain.statistics.kinds import KINDS, POOLED
from ukb_brain.statistics.scores.metrics import ROUNDING, Floats, ratio
from ukb_brain.statistics.scores.ranked_scores import ranked_areas
from ukb_brain.statistics.scores.target_predictions import TargetPredictions

Scores = dict[str, Floats]

# Beyond some hundred blocks a jackknife's skewness hardly changes.
MOST_BLOCKS = 200


def score_cells(table: TargetPredictions, weights: Floats, threads: int = 1) -> Scores:
    """Score all cells of a target in all draws at once.

    Parameters
    ----------
    table : TargetPredictions
        Of one target, with n rows.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each row, from `FamilyDraws.weights`.
    threads : int
        Cells whose areas are computed at the same time. It changes no result.

    Returns
    -------
    dict of str to ndarray, shape (draws, cells)
        Metrics of the kind, in its order; NaN where a draw has no score.

    Raises
    ------
    ValueError
        If the weights are not of the table's rows.

    Notes
    -----
    The rule of folds is that of `ukb_brain.statistics.scores.folds.score_folds`: R², r, mean
    absolute error and Brier score pool all folds; areas and accuracies are those of each fold,
    averaged by the people drawn, folds without a score left out. Sums over people are matrix
    products over all cells, areas are those of `ranked_areas`.
    ``tests/statistics/certainty/test_bootstrap.py`` holds it draw by draw against `score_folds` and
    against scikit-learn on resamples that are written out.
    """
    if weights.ndim != 2 or weights.shape[1] != len(table.y):
        raise ValueError(f"weights {weights.shape} for {len(table.y)} rows")
    step = max(1, intervals.LARGEST_CHUNK // max(1, len(table.y)))
    found = [
        _scored(table, weights[at : at + step], threads, every_fold=False)
        for at in range(0, len(weights), step)
    ]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def estimate_cells(table: TargetPredictions) -> Scores:
    """Score all cells of a target on the sample itself.

    Parameters
    ----------
    table : TargetPredictions
        Of one target.

    Returns
    -------
    dict of str to ndarray, shape (cells,)
        Metrics of the kind; NaN where a cell has no score, for want of a second person, or in
        one of its folds.
    """
    ones = np.ones((1, len(table.y)))
    enough = (~np.isnan(table.predicted)).sum(axis=0) > 1
    scores = _scored(table, ones, 1, every_fold=True)
    return {name: np.where(enough, values[0], np.nan) for name, values in scores.items()}


def jackknife_cells(
    table: TargetPredictions, blocks: int = MOST_BLOCKS, threads: int = 1
) -> Scores:
    """Score all cells with one family, or block of families, left out at a time.

    Parameters
    ----------
    table : TargetPredictions
        Of one target.
    blocks : int
        Most blocks; with more families than this, families are dealt out to blocks in turn, in
        the order of their labels.
    threads : int
        As for `score_cells`.

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
    return score_cells(table, 1.0 - left_out, threads)


def _scored(table: TargetPredictions, weights: Floats, threads: int, every_fold: bool) -> Scores:
    known = ~np.isnan(table.predicted)
    found = _pooled(table, weights, known)
    metrics = KINDS[table.kind].metrics
    by_fold = [name for name in metrics if name not in POOLED]
    total = {name: np.zeros((len(weights), known.shape[1])) for name in by_fold}
    people = {name: np.zeros_like(zeros) for name, zeros in total.items()}
    for row, fold in enumerate(table.folds):
        mine = table.fold == fold
        drawn = np.ascontiguousarray(weights[:, mine])
        here = drawn @ known[mine].astype(float)
        for name, scores in _of_fold(table, mine, row, drawn, threads).items():
            defined = np.isfinite(scores)
            # A cell that nobody of the fold belongs to is without the fold.
            missing = ~defined & (known[mine].any(axis=0) & every_fold)
            total[name] += np.where(missing, np.nan, here * np.where(defined, scores, 0.0))
            people[name] += here * defined
    found |= {name: ratio(total[name], people[name]) for name in by_fold}
    return {name: found[name] for name in metrics}


def _of_fold(
    table: TargetPredictions, mine: NDArray[np.bool_], row: int, weights: Floats, threads: int
) -> Scores:
    """Score what is not pooled in one fold, shape (draws, cells) each."""
    y, predicted, threshold = table.y[mine], table.predicted[mine], table.threshold[row]
    positive = KINDS[table.kind].positive(y[:, None], threshold)
    accuracy = _balanced_accuracy(positive, predicted, threshold, weights)
    if table.kind == "continuous":
        return {"median_split_accuracy": accuracy}
    auc, precision = ranked_areas(y, predicted, weights, threads)
    return {"balanced_accuracy": accuracy, "roc_auc": auc, "average_precision": precision}


def _balanced_accuracy(
    positive: NDArray[np.bool_], predicted: Floats, threshold: Floats, weights: Floats
) -> Floats:
    known, called = ~np.isnan(predicted), predicted > threshold
    halves = []
    for of_class, right in ((positive, called), (~positive, ~called)):
        among = known & of_class
        halves.append(ratio(weights @ (among & right).astype(float), weights @ among.astype(float)))
    return (halves[0] + halves[1]) / 2


def _pooled(table: TargetPredictions, weights: Floats, known: NDArray[np.bool_]) -> Scores:
    y, p = table.y[:, None], table.predicted
    error = np.where(known, p - y, 0.0)
    people = weights @ known.astype(float)
    squared = weights @ error**2
    if table.kind == "binary":
        scores = {"brier": ratio(squared, people)}
    else:
        of_true, true, mean_true = _moments(np.where(known, y, np.nan), weights, people)
        of_pred, pred, mean_pred = _moments(p, weights, people)
        shared = weights @ (true * pred) - people * mean_true * mean_pred
        scores = {
            "r2": 1 - squared / of_true,
            "pearson_r": np.clip(shared / np.sqrt(of_true * of_pred), -1.0, 1.0),
            "mae": ratio(weights @ np.abs(error), people),
        }
    return scores


def _moments(values: Floats, weights: Floats, people: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted sums of squares about the draw's mean, values about the sample's, and means.

    As in `ukb_brain.statistics.scores.metrics`: a variance that is rounding error only is none.
    """
    known = ~np.isnan(values)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - mean, 0.0)
    first = ratio(weights @ centred, people)
    about_sample = weights @ centred**2
    squares = about_sample - people * first**2
    floor = ROUNDING * about_sample + np.finfo(float).tiny
    return np.where(squares > floor, squares, np.nan), centred, first
