"""Verdicts on gains against what the fitted models gain in the population, and against the oracle.

Unit: a target and an input at the fullest pair, before any ladder. Models are ridge regressions on
principal components and traits, with a penalty by leaving one out. Cohorts of 5,000 people tested
in five folds, and of the demo's size with a hold-out; the population is 20,000 fresh people, the
same for all. Each cohort is kept when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV

from benchmarks.drawn_people import REGIONS, TIME_POINTS, VOXEL_MM, Drawn, draw_people
from benchmarks.record import WORK, Figure, kept, show
from benchmarks.skills import reachable, skill, study_grid, true_gains
from ukb_brain.grid import Inputs
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.inputs.judged import judged_pairs
from ukb_brain.statistics.inputs.nested_pairs import comparison_table
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.tested import Tested
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.truth import build_truth

Ints = NDArray[np.int64]

FRESH, FRESH_SEED = 20_000, 10_000
# People, folds (0: a tenth is tested) and seeds; all cohorts are reported.
SIZES: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "5,000 people": (5000, 5, (1, 2, 3, 4)),
    "demo's size": (1900, 0, (1, 2, 3, 4, 5, 6, 7, 8)),
}
COMPONENTS = {"structural": 120, "diffusion": 120, "functional": 60}
PENALTIES = np.logspace(-1, 5, 13)
MARGIN, DRAWS, PARTS = 0.02, 1000, 20
# What the truth takes for nothing: its own error of simulation.
NOTHING, CLEAR = 0.0005, 0.05
MOST_WRONG, LEAST_ADDS, LEAST_NO_GAIN = 0.05, 0.9, 0.5
GRID = study_grid()
Fresh = dict[str, Floats]


def inputs_of(target: str) -> tuple[Inputs, ...]:
    """List a target's cells."""
    return tuple(cell.inputs for cell in GRID.cells if cell.target == target)


def folds_of(people: Drawn, folds: int, seed: int) -> Ints:
    """Deal families into folds; with 0 folds those who are tested are 0, all others -1."""
    families, of_person = np.unique(people.family, return_inverse=True)
    dealt = np.random.default_rng([seed, 5]).permutation(len(families))[of_person]
    return dealt % folds if folds else np.where(dealt % 10 == 0, 0, -1)


def _features(
    people: Drawn, fresh: Drawn, train: NDArray[np.bool_]
) -> Iterator[tuple[str, Floats, Floats]]:
    """Components and traits of the cohort and of fresh people, fitted on training people."""
    for group, number in COMPONENTS.items():
        fitted = PCA(number, svd_solver="randomized", random_state=0).fit(
            people.images[group][train]
        )
        scale = np.sqrt(fitted.explained_variance_.mean())
        yield group, *(fitted.transform(one.images[group]) / scale for one in (people, fresh))
    for domain in GRID.domains:
        both = [
            np.column_stack([one.traits[t] for t in GRID.targets_of(domain)])
            for one in (people, fresh)
        ]
        mean, sd = both[0][train].mean(axis=0), both[0][train].std(axis=0)
        yield domain, *((one - mean) / sd for one in both)


def predict(people: Drawn, fresh: Drawn, fold: Ints) -> tuple[dict, dict]:
    """Fit the judged cells of all targets, fold by fold.

    Returns
    -------
    tested : dict of (str, str) to ndarray of shape (n,)
        By target and inputs; NaN for who is not tested.
    of_fresh : dict of (str, str) to list of ndarray of shape (fresh people,)
        One a fold.
    """
    wanted: dict[Inputs, list[str]] = {}
    for target in GRID.targets:
        inputs = inputs_of(target)
        for at in {at for pair in judged_pairs(inputs) for at in (pair.larger, pair.smaller)}:
            wanted.setdefault(inputs[at], []).append(target)
    tested = {(t, i.name): np.full(len(fold), np.nan) for i, mine in wanted.items() for t in mine}
    of_fresh: dict[tuple[str, str], list[Floats]] = {key: [] for key in tested}
    for label in np.unique(fold[fold >= 0]):
        train, test = fold != label, fold == label
        features = {name: both for name, *both in _features(people, fresh, train)}
        for inputs, targets in wanted.items():
            X, new = (
                np.hstack([features[part][side] for part in (*inputs.groups, *inputs.blocks)])
                for side in (0, 1)
            )
            y = np.column_stack([people.traits[target][train] for target in targets])
            centre, spread = y.mean(axis=0), y.std(axis=0)
            ridge = RidgeCV(PENALTIES, alpha_per_target=True).fit(X[train], (y - centre) / spread)
            here, there = (
                centre + spread * np.reshape(ridge.predict(rows), (-1, len(targets)))
                for rows in (X[test], new)
            )
            for at, target in enumerate(targets):
                tested[target, inputs.name][test] = here[:, at]
                of_fresh[target, inputs.name].append(there[:, at])
    return tested, of_fresh


def population(target: str, fresh: Drawn, predicted: list[Floats]) -> Floats:
    """Skill on fresh people of the models of a cell's folds, on average.

    Of all people, then of each of `PARTS` parts of them: shape (1 + PARTS,).
    """
    y, part = fresh.traits[target], np.arange(FRESH) % PARTS
    weights = np.vstack([np.ones(FRESH), *(part == one for one in range(PARTS))])
    kind = GRID.targets[target].kind
    return np.mean([skill(kind, y, p, weights) for p in predicted], axis=0)


def judge(people: Drawn, fresh: Drawn, fold: Ints, seed: int) -> pd.DataFrame:
    """Give verdicts as the report does, with each unit's gain in the population.

    The table is that of `comparison_table`, with ``population`` and ``population_se``.
    """
    tested, of_fresh = predict(people, fresh, fold)
    rows = fold >= 0
    draws = FamilyDraws(np.unique(people.family[rows]), DRAWS, seed)
    at, folds = np.flatnonzero(rows), tuple(np.unique(fold[rows]).tolist())
    targets = {}
    for key, target in GRID.targets.items():
        names = tuple(name for of, name in tested if of == key)
        targets[key] = TargetPredictions(
            target=key,
            kind=target.kind,
            inputs=names,
            visit=np.column_stack([at, np.full(len(at), 2)]),
            family=people.family[rows],
            fold=fold[rows],
            y=people.traits[key][rows],
            predicted=np.column_stack([tested[key, name][rows] for name in names]),
            threshold=np.full((len(folds), len(names)), np.nan),
            folds=folds,
        )
    table = comparison_table(Tested(targets, draws, GRID), MARGIN)
    known = {key: population(key[0], fresh, both) for key, both in of_fresh.items()}
    gains = np.array(
        [
            known[t, i] - known[t, w]
            for t, i, w in zip(table["target"], table["inputs"], table["without"], strict=True)
        ]
    )
    se = gains[:, 1:].std(axis=1, ddof=1) / np.sqrt(PARTS)
    return table.assign(population=gains[:, 0], population_se=se)


def _truth() -> pd.DataFrame:
    cohort = SyntheticCohort(
        participants=1, voxel_mm=VOXEL_MM, regions=REGIONS, time_points=TIME_POINTS, seed=0
    )
    return build_truth(GRID, cohort)


def units() -> pd.DataFrame:
    """Judge every cohort that is not done, and join all: one row a unit."""
    WORK.mkdir(exist_ok=True)
    tables = []
    # Some of each size first, since the rest may wait for another day.
    todo = [(seed, size) for size, (_, _, seeds) in SIZES.items() for seed in seeds]
    for seed, size in sorted(todo):
        n, folds, _ = SIZES[size]

        def judged(seed: int = seed, n: int = n, folds: int = folds) -> pd.DataFrame:
            people = draw_people(seed, n)
            return judge(people, _fresh(), folds_of(people, folds, seed), seed)

        found = kept(WORK / f"gains_{n}_{seed}.parquet", judged)
        print(f"{size}, seed {seed}: {len(found)} units", flush=True)
        tables.append(found.assign(size=size, seed=seed))
    table = pd.concat(tables, ignore_index=True)
    oracle = reachable(kept(WORK / "gains_truth.parquet", _truth))
    # All images together are not an input of their own.
    return table.assign(true=true_gains(table, oracle)).query("part != 'all images'")


@cache
def _fresh() -> Drawn:
    return draw_people(FRESH_SEED, FRESH)


def share(hit: pd.Series, cluster: pd.Series, times: int = 2000) -> tuple[float, float, float]:
    """Give a share of units with its 95 % interval over clusters, which are drawn anew.

    Units of one cluster share their people and their target. NaN without units. Where no unit hits,
    or all do, the bound is that of as many clusters (Clopper and Pearson).
    """
    each = hit.groupby(cluster).agg(["sum", "size"]).to_numpy(float)
    if not len(each):
        return np.nan, np.nan, np.nan
    at = each[:, 0].sum() / each[:, 1].sum()
    if at in (0.0, 1.0):
        open_end = 1 - 0.025 ** (1 / len(each))
        return at, *((0.0, open_end) if at == 0 else (1 - open_end, 1.0))
    drawn = np.random.default_rng(0).integers(len(each), size=(times, len(each)))
    sums = each[drawn].sum(axis=1)
    return at, *np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])


def measure() -> list[Figure]:
    """Judge all cohorts and count."""
    every, figures, rows = units(), [], []
    for size, (_, _, seeds) in SIZES.items():
        mine = every[every["size"] == size]
        no_gain, adds = mine["verdict"] == "no gain", mine["verdict"] == "adds"
        gains, nothing = mine["population"] > MARGIN, mine["true"] <= NOTHING
        powered = size == "5,000 people"
        # What is counted, among which units; a goal below 0 is an upper limit.
        asked = {
            "`no gain` whose population gain is above the margin": (gains, no_gain, -MOST_WRONG),
            "population gain above the margin, called `no gain`": (no_gain, gains, -MOST_WRONG),
            "`adds`, true gain above .05": (
                adds,
                mine["true"] > CLEAR,
                LEAST_ADDS if powered else None,
            ),
            "`no gain`, true gain nothing": (
                no_gain,
                nothing,
                LEAST_NO_GAIN if powered else None,
            ),
            "false `adds`, true gain nothing": (adds, nothing, -MOST_WRONG),
            "width 0": (mine["low"].isna(), mine["verdict"] != "", None),
        }
        cluster = mine["target"] + mine["seed"].astype(str)
        for what, (hit, among, goal) in asked.items():
            value, low, high = share(hit[among], cluster[among])
            name, count = f"gains, {size}: {what}", int(among.sum())
            more = {"low": low, "high": high, "units": count, "seeds": list(seeds)}
            more |= {"population_se": float(mine["population_se"].max())}
            if goal is None:
                figures.append(Figure(name, value, more=more))
            elif goal < 0:
                figures.append(Figure.at_most(name, value, -goal, more=more))
            else:
                figures.append(Figure.at_least(name, value, goal, more=more))
            interval = f"{low:.3f} to {high:.3f}"
            rows.append([size, what, str(count), f"{value:.3f}", interval, figures[-1].goal])
    heads = ("size", "figure", "units", "share", "95 %", "goal")
    show("SYNTHETIC: verdicts on gains; target × input at the fullest pair", heads, rows)
    return figures
