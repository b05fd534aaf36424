"""Null distribution of every cell's skill by permuting labels of test people within strata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ukb_brain.grid import Grid
from ukb_brain.statistics.certainty.corrections import (
    adjusted_by_family,
    max_statistic_p,
    permutation_p,
)
from ukb_brain.statistics.certainty.exchange import Exchange, Ints, coarse_strata
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import POOLED, mean_by_people
from ukb_brain.statistics.scores.target_predictions import TargetPredictions, rows_of
from ukb_brain.statistics.weighted_sums import ROUNDING, Floats, ratio
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

# Labels of at most this many people times permutations are in memory at once.
LARGEST_CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class NullInput(TargetPredictions):
    """Test people of one target, what was predicted, and their strata.

    Attributes
    ----------
    strata : ndarray of int, shape (n,)
        From `coarse_strata` over all test people.
    scheme : tuple of str
        What the strata are made of; targets of one scheme share permutations.
    """

    strata: Ints
    scheme: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NullScores:
    """Skill of a target's cells, as observed and with permuted labels.

    Attributes
    ----------
    observed : ndarray, shape (cells,)
        2·AUC − 1 or R².
    null : ndarray, shape (permutations, cells)
        Row b is of the same permutation of people in all targets of a scheme.
    moved : float
        Share of rows that permutations move; the others have no counterpart.
    """

    inputs: tuple[str, ...]
    observed: Floats
    null: Floats
    moved: float


def null_scores(
    targets: Mapping[str, NullInput], permutations: int, seed: int
) -> dict[str, NullScores]:
    """Score every cell of every target with permuted labels.

    Labels move among test people of the same fold, stratum and available inputs, families whole
    (`Exchange`); predictions stay, and nothing is fitted again.

    Parameters
    ----------
    permutations : int
        At least 1; the smallest p value is 1 / (1 + permutations).

    Raises
    ------
    ValueError
        If a label is not finite, a visit is there twice, or targets of one scheme disagree about
        a person's family, fold or stratum.

    Notes
    -----
    One permutation serves all targets of a scheme, which keeps the joint distribution of their
    scores: labels of a person stay together, and so do predictions. Between schemes (sex and age
    have their own) the joint distribution is not kept. R² of fixed predictions is an increasing
    function of the sum of label times prediction under permutations, so that the p value tests
    association, and is one-sided: a prediction may be significant and have a negative R².
    Method: Winkler et al., NeuroImage 92:381-397 (2014) and 123:253-268 (2015). Its null is held
    against simulated ones in ``tests/statistics/certainty/test_permutation.py``.
    """
    found: dict[str, NullScores] = {}
    for scheme in dict.fromkeys(target.scheme for target in targets.values()):
        mine = {key: target for key, target in targets.items() if target.scheme == scheme}
        found |= _of_scheme(mine, permutations, seed)
    return {key: found[key] for key in targets}


def _of_scheme(
    targets: Mapping[str, NullInput], permutations: int, seed: int
) -> dict[str, NullScores]:
    if not all(np.isfinite(target.y).all() for target in targets.values()):
        raise ValueError("labels are not finite: leave out the people without the target")
    visit, places = _people(targets)
    exchange = Exchange(visit, *_attributes(targets, places, len(visit)), seed)
    step = max(1, LARGEST_CHUNK // len(visit))
    null: dict[str, list[Floats]] = {key: [] for key in targets}
    for first in range(0, permutations, step):
        drawn = exchange.draw(first, min(step, permutations - first))
        for key, target in targets.items():
            y = np.full(len(visit), np.nan)
            y[places[key]] = target.y
            labels = y[exchange.sources(drawn, np.isfinite(y))[:, places[key]]]
            null[key].append(skill_of_labels(target.kind, labels, target.predicted, target.fold))
    return {
        key: NullScores(
            target.inputs,
            skill_of_labels(target.kind, target.y[None], target.predicted, target.fold)[0],
            np.concatenate(null[key]),
            exchange.movable(np.isin(np.arange(len(visit)), places[key]))[places[key]].mean(),
        )
        for key, target in targets.items()
    }


def _people(targets: Mapping[str, TargetPredictions]) -> tuple[Ints, dict[str, Ints]]:
    """List the visits of all targets, and each target's places among them."""
    every = np.concatenate([target.visit for target in targets.values()])
    visit, place = np.unique(every, axis=0, return_inverse=True)
    ends = np.cumsum([len(target.visit) for target in targets.values()])
    return visit, dict(zip(targets, np.split(place.reshape(-1), ends[:-1]), strict=True))


def _attributes(
    targets: Mapping[str, NullInput], places: Mapping[str, Ints], n: int
) -> tuple[Ints, Ints]:
    """Family of each visit, and its block: fold, stratum, and the inputs that it has.

    Without the last, labels of people without a scan would reach cells of people with one, and a
    cell's labels would no longer be the same ones in another order.
    """
    every = dict.fromkeys(name for target in targets.values() for name in target.inputs)
    names = {name: at for at, name in enumerate(every)}
    has = np.zeros((n, len(names)), dtype=bool)
    given = np.full((n, 3), -1, dtype=np.int64)
    for key, target in targets.items():
        at = places[key]
        if len(set(at.tolist())) < len(at):
            raise ValueError("a visit of somebody is there twice")
        new = np.column_stack([target.family, target.fold, target.strata])
        if ((given[at] >= 0) & (given[at] != new)).any():
            raise ValueError("targets of one scheme disagree about family, fold or stratum")
        given[at] = new
        columns = np.array([names[name] for name in target.inputs])
        has[np.ix_(at, columns)] |= np.isfinite(target.predicted)
    of_block = np.column_stack([given[:, 1:], has.astype(np.int64)])
    return given[:, 0], np.unique(of_block, axis=0, return_inverse=True)[1].reshape(-1)


def skill_of_labels(kind: str, labels: Floats, predicted: Floats, fold: Ints) -> Floats:
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
    ``tests/statistics/certainty/test_label_scores.py`` compares it with
    `ukb_brain.statistics.scores.engine`, and with scikit-learn.
    """
    metric = KINDS[kind].headline
    group = np.zeros_like(fold) if metric in POOLED else fold
    groups = [group == one for one in np.unique(group)]
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


def permutation_table(
    scores: Mapping[str, NullScores], declared: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Tabulate p values of every cell, single and corrected.

    Parameters
    ----------
    declared : dict of str to sequence of str
        For each target the declared family of each of its cells, such as its domain with or
        without imaging; declared before anything is seen.

    Returns
    -------
    pandas.DataFrame
        One row a cell: ``target, inputs``, ``tests`` (the declared family of tests), ``skill,
        null_mean, null_sd, p``, then ``p_bh``
        (Benjamini-Hochberg within the family), ``p_max_family`` and ``p_max`` (max-statistic over
        the family and over all cells), ``moved`` and ``permutations``.
    """
    observed = np.concatenate([one.observed for one in scores.values()])
    null = np.concatenate([one.null for one in scores.values()], axis=1)
    cells = [len(one.inputs) for one in scores.values()]
    table = pd.DataFrame(
        {
            "target": np.repeat(list(scores), cells),
            "inputs": [name for one in scores.values() for name in one.inputs],
            "tests": [label for key in scores for label in declared[key]],
            "skill": observed,
            "null_mean": null.mean(axis=0),
            "null_sd": null.std(axis=0, ddof=1) if len(null) > 1 else np.nan,
            "p": permutation_p(observed, null),
        }
    )
    table["p_bh"] = adjusted_by_family(table["p"], table["tests"], "bh")
    table["p_max_family"] = np.nan
    for rows in table.groupby("tests").indices.values():
        table.loc[rows, "p_max_family"] = max_statistic_p(observed[rows], null[:, rows])
    table["p_max"] = max_statistic_p(observed, null)
    moved = np.repeat([one.moved for one in scores.values()], cells)
    return table.assign(moved=moved, permutations=len(null))


def null_table(
    targets: Mapping[str, TargetPredictions],
    participants: pd.DataFrame,
    grid: Grid,
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Test every cell against permuted labels, within strata of site, sex and age.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``eid, instance, site, sex, age``.
    grid : Grid
        Domains, which with the presence of imaging are the families of `permutation_table`.
    """
    if not targets:
        return table_of(reported.permutations)
    visit, places = _people(targets)
    people, inputs, declared = rows_of(visit, participants), {}, {}
    images = {cell.inputs.name: bool(cell.inputs.groups) for cell in grid.cells}
    for key, table in targets.items():
        strata, scheme = coarse_strata(people, key)
        inputs[key] = NullInput(**vars(table), strata=strata[places[key]], scheme=scheme)
        domain = grid.targets[key].domain
        declared[key] = [
            f"{domain}, {'with' if images[name] else 'without'} imaging" for name in table.inputs
        ]
    return permutation_table(null_scores(inputs, permutations, seed), declared)
