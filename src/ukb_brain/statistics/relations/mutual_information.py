"""Mutual information between targets of mixed kinds, in nats, less what chance gives.

Continuous targets are cut into bins with about as many people each. All kinds of pairs are then
on one scale, and a bootstrap is valid: estimates from nearest neighbours take the copies of a
person in a resample for dependence. Bins lose some information: `BINS` of a Gaussian pair with
correlation .5 keep 88 % of it.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import xlogy

from ukb_brain.statistics.certainty.exchange import Exchange, Ints
from ukb_brain.statistics.draws import LARGEST_CHUNK
from ukb_brain.statistics.relations.relations import Related, blank_relation
from ukb_brain.statistics.weighted_sums import Floats

BINS = 8
# Sums over the same people in another order differ by rounding.
SAME = 1e-12


def binned(targets: pd.DataFrame, kinds: Mapping[str, str]) -> Ints:
    """Turn values into levels.

    Parameters
    ----------
    kinds : mapping of str to str
        ``binary`` or ``continuous``, by target.

    Returns
    -------
    ndarray of int, shape (people, targets)
        From 0 up; −1 where the value is not known. Continuous targets have at most `BINS` levels,
        fewer where many people share a value.
    """
    columns = []
    for key in targets.columns:
        values = targets[key].astype("float64")
        if kinds[key] == "continuous":
            values = pd.Series(pd.qcut(values, BINS, labels=False, duplicates="drop"))
        columns.append(pd.factorize(values, sort=True)[0])
    return np.column_stack(columns).astype(np.int64)


def information(counts: Floats) -> Floats:
    """Measure the information that the margins of tables have about each other.

    Cover TM, Thomas JA (2006). Elements of information theory. Wiley, section 2.3.

    Parameters
    ----------
    counts : ndarray, shape (..., a, b)
        Non-negative numbers of people, possibly weighted.

    Returns
    -------
    ndarray, shape (...)
        In nats, at least 0; NaN for an empty table.
    """
    total = counts.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore"):
        share = counts / total[..., None, None]
    rows, columns = share.sum(axis=-1), share.sum(axis=-2)
    joint = xlogy(share, share).sum(axis=(-2, -1))
    margins = xlogy(rows, rows).sum(axis=-1) + xlogy(columns, columns).sum(axis=-1)
    return np.asarray(np.maximum(joint - margins, 0))


def mutual_information(
    targets: pd.DataFrame,
    kinds: Mapping[str, str],
    families: Ints,
    weights: Floats,
    permutations: int = 200,
    seed: int = 0,
) -> Related:
    """Measure how much pairs of targets tell about each other.

    The bias is to first order that of independent targets, (a − 1)(b − 1)/2n, whatever their
    relation (Miller, 1955), which is why permutations estimate it. Tied to scikit-learn in
    ``test_information_agrees_with_sklearn``, to Miller's formula in
    ``test_the_baseline_is_millers_bias`` and to a Gaussian pair's known information in
    ``test_a_gaussian_pair_has_most_of_its_known_information``; size and coverage are measured in
    ``test_independent_targets_are_found_related_at_the_level`` and
    ``test_intervals_of_information_cover``.

    Miller GA (1955). Note on the bias of information estimates. Information theory in psychology
    II-B:95.

    Parameters
    ----------
    targets : pandas.DataFrame
        One row a person, one column a target; NaN where it is not known.
    kinds : mapping of str to str
        ``binary`` or ``continuous``, by target.
    families : ndarray of int, shape (people,)
        Relatives have the same.
    weights : ndarray, shape (draws, people)

    Returns
    -------
    Related
        ``mutual_information`` in nats, of people known in both. Tables of finite numbers of people
        show information where there is none: the mean over permutations is taken off the estimate,
        and twice off drawn values, in which sampling happened twice; below 0 is 0. p is the share
        of permutations with as much.
    """
    if weights.shape[1:] != (len(targets),) or families.shape != (len(targets),):
        raise ValueError(f"{len(targets)} people, weights {weights.shape}, {families.shape}")
    codes = binned(targets, kinds)
    found = blank_relation("mutual_information", list(targets.columns), len(weights))
    visit = np.column_stack([np.arange(len(codes)), np.zeros(len(codes), dtype=np.int64)])
    exchange = Exchange(visit, families, np.zeros(len(codes), dtype=np.int64), seed)
    permuted = exchange.draw(0, permutations)
    bias: dict[tuple[int, int], float] = {}
    for (one, two), (counts,) in _tables(codes, np.ones((1, len(codes)))):
        places = ([one, two], [two, one])
        found.n[places] = counts.sum()
        if (counts.sum(axis=1) > 0).sum() < 2 or (counts.sum(axis=0) > 0).sum() < 2:
            continue
        observed = float(information(counts))
        null = _null(codes[:, one], codes[:, two], exchange, permuted)
        bias[one, two] = float(null.mean())
        found.p[places] = (1 + (null >= observed - SAME).sum()) / (1 + permutations)
        found.estimate[places] = max(observed - bias[one, two], 0)
    step = max(1, LARGEST_CHUNK // max(len(codes), 1))
    for at in range(0, len(weights), step):
        for (one, two), drawn in _tables(codes, weights[at : at + step]):
            if (one, two) in bias:
                less = np.maximum(information(drawn) - 2 * bias[one, two], 0)
                found.drawn[at : at + step, [one, two], [two, one]] = less[:, None]
    return found


def _tables(codes: Ints, weights: Floats) -> Iterator[tuple[tuple[int, int], Floats]]:
    """Contingency tables (draws, a, b) of each pair of columns."""
    levels = codes.max(axis=0) + 1
    ends = np.cumsum(levels)
    every = np.zeros((len(codes), int(ends[-1])))
    for column, end, size in zip(codes.T, ends, levels, strict=True):
        known = np.flatnonzero(column >= 0)
        every[known, end - size + column[known]] = 1
    for one in range(codes.shape[1] - 1):
        of_level: list[NDArray[np.bool_]] = [codes[:, one] == at for at in range(levels[one])]
        later = every[:, ends[one] :]
        counts = [weights[:, mine] @ later[mine] for mine in of_level]
        stacked = np.stack(counts, axis=1) if counts else np.zeros((len(weights), 0, 0))
        for two in range(one + 1, codes.shape[1]):
            start = ends[two] - levels[two] - ends[one]
            yield (one, two), stacked[:, :, start : start + levels[two]]


def _null(one: Ints, two: Ints, exchange: Exchange, permuted: Ints) -> Floats:
    """Information of each permutation of one target among people known in both."""
    known = (one >= 0) & (two >= 0)
    sources = exchange.sources(permuted, known)[:, known]
    a, b = int(one.max()) + 1, int(two.max()) + 1
    cells = (np.arange(len(permuted))[:, None] * a + one[known]) * b + two[sources]
    counts = np.bincount(cells.ravel(), minlength=len(permuted) * a * b)
    return information(counts.reshape(-1, a, b).astype(float))
