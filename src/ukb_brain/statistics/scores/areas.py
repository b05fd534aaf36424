"""Areas under ROC and precision-recall curves of many cells in many bootstrap draws."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from ukb_brain.statistics.weighted_sums import Floats

# Draws that are scored at once: the sums of a cell of some thousand people then stay in cache.
DRAWS_AT_ONCE = 64
TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class _Ranked:
    """A cell's people from high to low score; a draw changes none of this.

    Attributes
    ----------
    positive, negative : ndarray of int
        Places of the cell's positives and negatives among those of the target.
    above, reached : ndarray of int, shape (positives,)
        Number of negatives that score higher than each positive, and at least as high.
    tied : ndarray of int, shape (positives,)
        Place of the last positive with the same score.
    """

    positive: NDArray[np.intp]
    negative: NDArray[np.intp]
    above: NDArray[np.intp]
    reached: NDArray[np.intp]
    tied: NDArray[np.intp]


def areas(
    y: Floats, predicted: Floats, weights: Floats, names: Sequence[str], threads: int = 1
) -> dict[str, Floats]:
    """Score cells by AUC and average precision; tied scores count one half in the AUC.

    Parameters
    ----------
    y, predicted, weights
        As of `ukb_brain.statistics.scores.engine.score_draws`.
    names : sequence of str
        What is wanted, ``roc_auc`` (alone in about half the time) and ``average_precision``;
        other metrics are none of these.
    threads : int
        Cells that are scored at the same time.

    Returns
    -------
    dict of str to ndarray, shape (draws, cells)
        By name; NaN where a draw has one class, or for the average precision no positive.

    Notes
    -----
    A cell is sorted once for all draws. Then the AUC needs, of each draw, the negatives above each
    positive (Mann and Whitney's count; Hanley & McNeil, Radiology 143:29, 1982), and the average
    precision the positives above as well, so everything after one cumulative sum over negatives
    is done for positives only. ``tests/statistics/scores/test_areas.py`` compares both with
    scikit-learn's roc_auc_score and average_precision_score on resamples that are written out.
    """
    positive, negative = np.flatnonzero(y > 0), np.flatnonzero(~(y > 0))
    cells = [_ranked(column[positive], column[negative]) for column in predicted.T]
    auc, precision = np.full((2, len(weights), len(cells)), np.nan)
    with ExitStack() as stack:
        # One thread is this one: a pool costs more than a small cell.
        side_by_side = stack.enter_context(ThreadPoolExecutor(threads)).map if threads > 1 else map
        for at in range(0, len(weights), DRAWS_AT_ONCE):
            now = slice(at, at + DRAWS_AT_ONCE)
            # Draws are the last axis, so that sums over people run along whole rows.
            of_pos = np.ascontiguousarray(weights[now, positive].T)
            of_neg = np.ascontiguousarray(weights[now, negative].T)
            precise = repeat("average_precision" in names)
            found = side_by_side(_scored, cells, repeat(of_pos), repeat(of_neg), precise)
            for column, scores in enumerate(found):
                auc[now, column], precision[now, column] = scores
    both = {"roc_auc": auc, "average_precision": precision}
    return {name: found for name, found in both.items() if name in names}


def _ranked(of_positive: Floats, of_negative: Floats) -> _Ranked:
    """Sort a cell's people who have a score."""
    # Ascending in the negative score is descending in the score; NaN go last.
    positive, negative = np.argsort(-of_positive), np.argsort(-of_negative)
    positive = positive[: (~np.isnan(of_positive)).sum()]
    negative = negative[: (~np.isnan(of_negative)).sum()]
    high, low = -of_positive[positive], -of_negative[negative]
    return _Ranked(
        positive,
        negative,
        above=np.searchsorted(low, high, side="left"),
        reached=np.searchsorted(low, high, side="right"),
        tied=np.searchsorted(high, high, side="right") - 1,
    )


def _scored(cell: _Ranked, of_pos: Floats, of_neg: Floats, precise: bool) -> tuple[Floats, Floats]:
    """AUC and, where `precise`, average precision of weighted people, each (draws,)."""
    below = _running_sums(of_neg, cell.negative)
    positives = of_pos[cell.positive]
    # Negatives at or above each positive, (people, draws).
    called = below[cell.reached]
    lost = np.einsum("pd,pd->d", positives, called)
    if not np.array_equal(cell.above, cell.reached):
        lost = (lost + np.einsum("pd,pd->d", positives, below[cell.above])) / 2
    pairs = positives.sum(axis=0) * below[len(cell.negative)]
    auc, precision = np.full((2, len(lost)), np.nan)
    np.divide(pairs - lost, pairs, out=auc, where=pairs > 0)
    if precise and len(positives):
        found = _running_sums(of_pos, cell.positive)[1 : len(positives) + 1]
        total = found[-1].copy()
        if (np.diff(cell.tied) == 0).any():
            found = found[cell.tied]
        called += found
        # Nobody is called only where nobody was found, and these have no weight either.
        np.divide(found, np.maximum(called, TINY, out=called), out=called)
        np.divide(np.einsum("pd,pd->d", positives, called), total, out=precision, where=total > 0)
    return auc, precision


def _running_sums(values: Floats, rows: NDArray[np.intp]) -> Floats:
    """Sum the first 0, 1, 2 ... of the rows, (people, draws); more rows follow that mean nothing.

    In blocks of about the square root of their number, which are summed side by side: several
    times faster than numpy's cumsum, which goes down one column after the other.
    """
    size = int(np.sqrt(len(rows))) + 1
    count = len(rows) // size + 1
    sums = np.zeros((count * size, values.shape[1]))
    np.take(values, rows, axis=0, out=sums[1 : len(rows) + 1], mode="clip")
    blocks = sums.reshape(count, size, -1)
    for at in range(1, size):
        blocks[:, at] += blocks[:, at - 1]
    blocks[1:] += np.cumsum(blocks[:-1, -1], axis=0)[:, None]
    return sums
