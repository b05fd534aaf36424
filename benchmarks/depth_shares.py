"""What readers of a cohort with depth reach: shares of the margin, and differences between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks import depth_runs as runs
from benchmarks.record import Figure
from benchmarks.skills import with_interval
from ukb_brain.statistics.weighted_sums import Floats

AIM, MOST_LINEAR, LEAST = 0.6, 0.2, -0.02
MAP, LINEAR, KERNELS, DEDICATED = "map", "linear", "kernels", "dedicated"
SHARED, ADAPTED, ADAPTED_MAP = "shared encoders", "adapted encoders", "map of adapted ones"
# In the order of the table.
COLUMNS = (LINEAR, KERNELS, SHARED, ADAPTED, MAP, ADAPTED_MAP, DEDICATED)
Key = tuple[str, str]


@dataclass(frozen=True)
class Cohort:
    """What was measured of one cohort.

    Attributes
    ----------
    skills : dict of str to pandas.DataFrame
        By reader: rows target and inputs, column 0 the sample and the others draws of families.
    seconds : dict of str to float
        By reader, of one worker for the whole grid.
    """

    seed: int
    skills: Mapping[str, pd.DataFrame]
    seconds: Mapping[str, float]


def pooled(cohorts: Sequence[Floats]) -> Floats:
    """Average an estimate over cohorts, which are of shape (1 + draws,), the sample first.

    Families of a cohort are drawn apart from those of another. Where cohorts differ by more than
    their families explain, draws are spread so much wider: the variance is the larger of that of
    families and that between cohorts.
    """
    rngs = map(np.random.default_rng, range(len(cohorts)))
    # The draws of a family depend on its number, which two cohorts may both have.
    mixed = [rng.permutation(each[1:]) for rng, each in zip(rngs, cohorts, strict=True)]
    mean, drawn = float(np.mean([each[0] for each in cohorts])), np.mean(mixed, axis=0)
    families = float(np.nanmean([np.nanvar(each) for each in mixed]))
    between = float(np.var([each[0] for each in cohorts], ddof=1)) if len(cohorts) > 1 else 0.0
    wider = np.sqrt(max(1.0, between / families)) if families > 0 else 1.0
    return np.concatenate([[mean], mean + wider * (drawn - mean)])


def shares(skill: Floats, least: float, most: float) -> Floats:
    """Say of skills which share they are of the way from what linear readers reach to all."""
    return (skill - least) / (most - least)


def estimate(cohorts: Iterable[Cohort], reader: str, key: Key, less: str = "") -> Floats | None:
    """Pool the skill of a cell over the cohorts that have it, or by how much another is beaten."""
    found = []
    for cohort in cohorts:
        mine = [cohort.skills.get(name) for name in (reader, less or reader)]
        if all(table is not None and key in table.index for table in mine):
            one, other = (table.loc[key].to_numpy() for table in mine if table is not None)
            found.append(one - other if less else one)
    return pooled(found) if found else None


def shares_of_margin(
    cohorts: Sequence[Cohort], truth: pd.DataFrame, keys: Mapping[str, Key]
) -> list[Figure]:
    """Give the share of the margin by truth and reader, pooled over cohorts and of each."""
    figures = []
    for target, key in keys.items():
        least, most = truth.loc[key, ["reachable_linear", "reachable"]]
        for reader in COLUMNS:
            skill = estimate(cohorts, reader, key)
            if target == runs.CONTROL or skill is None:
                continue
            value, more = with_interval(shares(skill, least, most))
            mine = [c for c in cohorts if estimate([c], reader, key) is not None]
            each = [with_interval(shares(c.skills[reader].loc[key], least, most)) for c in mine]
            told = more | {
                "inputs": key[1],
                "margin": most - least,
                "seeds": [c.seed for c in mine],
                "cohorts": [{"share": share, **interval} for share, interval in each],
            }
            name = f"depth: share of the margin, {target}, {reader}"
            if reader == LINEAR:
                holds, goal = more["high"] <= MOST_LINEAR, f"upper bound ≤ {MOST_LINEAR}"
                figures.append(Figure(name, value, "", goal, bool(holds), told))
            elif reader == MAP:
                figures.append(Figure.at_least(name, value, AIM, more=told))
            else:
                figures.append(Figure(name, value, more=told))
    return figures


def against_dedicated(cohorts: Sequence[Cohort], sets: Mapping[str, Sequence[Key]]) -> list[Figure]:
    """Say by how much the map beats networks of single cells, on average over sets of cells."""
    figures = []
    for name, keys in sets.items():
        changes, seeds, count = [], [], 0
        for cohort in cohorts:
            if not {MAP, DEDICATED} <= {*cohort.skills}:
                continue
            one, other = cohort.skills[MAP], cohort.skills[DEDICATED]
            there = [key for key in keys if key in one.index and key in other.index]
            if there:
                changes.append((one.loc[there] - other.loc[there]).mean().to_numpy())
                seeds.append(cohort.seed)
                count = max(count, len(there))
        if changes:
            value, more = with_interval(pooled(changes))
            holds = more["low"] > LEAST
            each = [float(change[0]) for change in changes]
            told = more | {"cells": count, "cohorts": each, "seeds": seeds}
            what = f"depth: amortised - dedicated, mean skill of {name} cells"
            figures.append(Figure(what, value, "", f"lower bound > {LEAST}", bool(holds), told))
    return figures


def costs(cohorts: Iterable[Cohort]) -> dict[str, float]:
    """Average over cohorts what each reader cost."""
    table = pd.DataFrame([cohort.seconds for cohort in cohorts])
    return {reader: float(table[reader].mean()) for reader in COLUMNS if reader in table}
