"""Null distribution of every cell's skill by permuting labels of test people within strata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ukb_brain.statistics.certainty.corrections import adjusted_by_family
from ukb_brain.statistics.certainty.exchange import Exchange, Ints
from ukb_brain.statistics.scores.label_scores import skill_of_labels
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.sums import Floats

# Labels of at most this many people times permutations are in memory at once.
LARGEST_CHUNK = 2_000_000
# Scores that differ by less are the same score, summed in another order.
SAME = 1e-10


@dataclass(frozen=True, eq=False)
class NullInput(TargetPredictions):
    """Test people of one target, what was predicted, and their strata.

    Attributes
    ----------
    strata : ndarray of int, shape (n,)
        From `ukb_brain.statistics.certainty.strata.coarse_strata` over all test people.
    scheme : tuple of str
        What the strata are made of (`Strata.by`); targets of one scheme share permutations.
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
            _share_moved(exchange, places[key], len(visit)),
        )
        for key, target in targets.items()
    }


def _share_moved(exchange: Exchange, places: Ints, n: int) -> float:
    eligible = np.zeros(n, dtype=bool)
    eligible[places] = True
    return float(exchange.movable(eligible)[places].mean())


def _people(targets: Mapping[str, NullInput]) -> tuple[Ints, dict[str, Ints]]:
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


def permutation_p(observed: Floats, null: Floats) -> Floats:
    """Share of labellings, the observed one among them, that score at least as high.

    Parameters
    ----------
    null : ndarray, shape (permutations, cells)
        Scores under permutation; one that is undefined counts as reaching the observed one.

    Returns
    -------
    ndarray, shape (cells,)
        (1 + #{null >= observed}) / (1 + permutations) (Phipson & Smyth, Stat. Appl. Genet. Mol.
        Biol. 9:39, 2010); NaN where there is no observed score.
    """
    reached = ~(null < observed - SAME * (1 + np.abs(observed)))
    p = (1 + reached.sum(axis=0)) / (1 + len(null))
    return np.where(np.isfinite(observed), p, np.nan)


def max_statistic_p(observed: Floats, null: Floats) -> Floats:
    """Correct for all cells at once by the largest standardised score of each permutation.

    Parameters
    ----------
    null : ndarray, shape (permutations, cells)
        Scores of the same permutations in all cells.

    Returns
    -------
    ndarray, shape (cells,)
        p values that hold the chance of any false one among all cells; NaN where there is no
        observed score.

    Notes
    -----
    Westfall & Young, Resampling-Based Multiple Testing (1993); Nichols & Holmes, Hum. Brain Mapp.
    15:1-25 (2002). A cell's scores are standardised by their own mean and SD first, or the
    cells with the widest null (few people, R² of bold predictions) would decide for all. The
    observed labelling is among those that mean and SD are taken of, and so is exchangeable with
    the others, as the p value requires.
    """
    scored = np.isfinite(observed)
    p = np.full(len(observed), np.nan)
    if not scored.any():
        return p
    every = np.vstack([observed[scored], null[:, scored]])
    # As for a single cell, a permutation without a score counts as reaching the observed one.
    every = np.where(np.isfinite(every), every, every[0])
    centred, spread = every - every.mean(axis=0), every.std(axis=0)
    flat = spread <= SAME * (1 + np.abs(every[0]))
    z = np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))
    highest = z[1:].max(axis=1)
    p[scored] = permutation_p(z[0], np.broadcast_to(highest[:, None], z[1:].shape))
    return p


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
    table = pd.DataFrame(
        {
            "target": np.repeat(list(scores), [len(one.inputs) for one in scores.values()]),
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
    table["moved"] = np.concatenate([[one.moved] * len(one.inputs) for one in scores.values()])
    return table.assign(permutations=len(null))
