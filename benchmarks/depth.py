"""What deep networks are for: cohorts with depth, whose truth says what no linear reader can see.

Share of the margin is (skill - reachable_linear) / (reachable - reachable_linear). Every run is
kept and goes on where it was stopped. ``python -m benchmarks.depth SEED STAGE`` does one stage, and
``python -m benchmarks.depth`` records and writes what is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import depth_runs as runs
from benchmarks.depth_oracle import figure_of_amplitude
from benchmarks.record import Figure, markdown, record, show, write_section
from benchmarks.skills import (
    reachable,
    skill_draws,
    study_grid,
    test_predictions,
    with_interval,
)
from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.statistics.weighted_sums import Floats

PAGE = Path(__file__).parents[1] / "docs" / "strategies.md"
AIM, MOST_LINEAR, LEAST, CHEAPER = 0.6, 0.2, -0.02, 100
MAP, LINEAR, KERNELS, DEDICATED = "map", "linear", "kernels", "dedicated"
SHARED, ADAPTED, ADAPTED_MAP = "shared encoders", "adapted encoders", "map of adapted ones"
# Run and strategy of each reader, in the order of the table; networks of cells are read apart.
READERS = {
    LINEAR: ("map", "linear"),
    KERNELS: ("map", "kernels"),
    SHARED: ("heads", "amortised"),
    ADAPTED: ("adapted heads", "amortised"),
    MAP: ("map", "amortised"),
    ADAPTED_MAP: ("adapted", "amortised"),
}
COLUMNS = (*READERS, DEDICATED)
Key = tuple[str, str]
Estimate = tuple[float, dict[str, float]]


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


def _told(value: float, interval: Mapping[str, float], sign: str = "") -> str:
    low, high = interval["low"], interval["high"]
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def table_of(
    cohorts: Sequence[Cohort], truth: pd.DataFrame, keys: Mapping[str, Key]
) -> tuple[list[str], list[list[str]]]:
    """Make the table of the page: a truth a row, then what each reader costs."""
    heads = ["target", "planted", "inputs", "best linear reader", *COLUMNS, "oracle"]
    rows = []
    for target, key in keys.items():
        least, most = truth.loc[key, ["reachable_linear", "reachable"]]
        row = [target, runs.TRUTHS[target], key[1], f"{least:.3f}"]
        for reader in COLUMNS:
            skill = estimate(cohorts, reader, key)
            row.append("" if skill is None else _told(*with_interval(skill)))
        rows.append([*row, f"{most:.3f}"])
    spent = costs(cohorts)
    hours = [f"{spent[r] / 3600:.2f}" if r in spent else "" for r in COLUMNS]
    rows.append(["worker hours of the whole grid", "", "", "", *hours, ""])
    return heads, rows


def verdicts(cohorts: Sequence[Cohort], keys: Mapping[str, Key]) -> dict[str, list[str]]:
    """Sort truths by the least that reads them: ridge, kernels or networks.

    Networks are worth it where the map beats kernels, and kernels do where the map does not beat
    them but beats `linear`, by intervals wholly above 0. Each truth comes with what decided it.
    """
    found: dict[str, list[str]] = {"networks": [], KERNELS: [], LINEAR: []}
    for target, key in keys.items():
        gains = {other: estimate(cohorts, MAP, key, other) for other in (KERNELS, LINEAR)}
        told = {k: with_interval(gain) for k, gain in gains.items() if gain is not None}
        if len(told) < len(gains):
            continue
        above = [other for other in gains if told[other][1]["low"] > 0]
        by, over = ("networks", KERNELS) if KERNELS in above else (KERNELS, LINEAR)
        if not above:
            by, over = LINEAR, LINEAR
        found[by].append(f"{target} ({_told(*told[over], sign='+')})")
    return found


def _beats(cohorts: Sequence[Cohort], keys: Mapping[str, Key], one: str, other: str) -> str:
    """Say where one reader beats another, by an interval wholly above 0; nothing if not known."""
    changes = {t: estimate(cohorts, one, key, other) for t, key in keys.items()}
    told = {t: with_interval(change) for t, change in changes.items() if change is not None}
    if not told:
        return ""
    wins = [f"{t} ({_told(*gain, sign='+')})" for t, gain in told.items() if gain[1]["low"] > 0]
    return ", ".join(wins) or "nowhere"


def lead(cohorts: Sequence[Cohort], keys: Mapping[str, Key]) -> str:
    """Say in words when networks are worth their cost and when ten lines do, by the numbers."""
    least = verdicts(cohorts, keys)
    if not any(least.values()):
        return "No run is complete enough to say when networks are worth their cost."
    parts = []
    if least["networks"]:
        parts.append(
            "Networks are worth training for what no kernel reads: the map beats kernels in "
            f"{', '.join(least['networks'])}."
        )
    else:
        parts.append("Nowhere here are networks worth training: the map beats kernels in nothing.")
    if least[KERNELS]:
        parts.append(
            "Kernels do, and ridge does not, where the map beats `linear` but not kernels: "
            f"{', '.join(least[KERNELS])}."
        )
    if least[LINEAR]:
        parts.append(
            f"Ten lines of ridge do where the map does not beat even `linear`: "
            f"{', '.join(least[LINEAR])}."
        )
    for one, words in ((ADAPTED, "Adapting encoders to a domain beats what is shared"),):
        if where := _beats(cohorts, keys, one, SHARED):
            parts.append(f"{words}: {where}.")
    if where := _beats(cohorts, keys, DEDICATED, MAP):
        parts.append(f"A network for each cell beats the map: {where}.")
    spent = costs(cohorts)
    if {MAP, LINEAR, KERNELS} <= {*spent}:
        plain = spent[LINEAR] + spent[KERNELS]
        parts.append(
            f"For the whole grid the map takes {spent[MAP] / 3600:.1f} worker hours, of which "
            f"`linear` and kernels are {plain / 3600:.1f}"
            + (
                f"; a network for each cell takes {spent[DEDICATED] / 3600:.0f}, "
                f"{spent[DEDICATED] / spent[MAP]:.0f} times as much."
                if DEDICATED in spent
                else "."
            )
        )
    return " ".join(parts)


def section(cohorts: Sequence[Cohort], truth: pd.DataFrame, keys: Mapping[str, Key]) -> str:
    """Write the page's section."""
    heads, rows = table_of(cohorts, truth, keys)
    seeds = " and ".join(str(cohort.seed) for cohort in cohorts)
    people = runs.COHORT["participants"]
    about = (
        f"SYNTHETIC. Skill (R², or 2·AUC − 1), averaged over cohorts of {people:,} people at "
        f"{runs.COHORT['voxel_mm']} mm (seeds {seeds}), of whom a fifth is tested; 95 % intervals "
        "over families, wider where cohorts differ by more. The best linear reader learnt from "
        f"{runs.COHORT['reference_people']:,} others, the oracle is told what is planted "
        "(docs/data.md). Shared encoders and adapted ones are heads alone; the map averages them "
        "with `linear` and kernels. Of dedicated networks each has the length that validation "
        "people prefer, and hours are those of its length alone. Differences in brackets are in "
        "skill. Empty: not run yet. Written by `make bench ONLY=depth`.\n"
    )
    return f"## A truth with depth\n\n{lead(cohorts, keys)}\n\n{about}\n{markdown(heads, rows)}"


def truth_of(grid: Grid) -> pd.DataFrame:
    """Read the truth, which is that of all cohorts: skill by target and inputs."""
    paths = [runs.root_of(seed) / "synthetic_truth/truth.parquet" for seed in runs.SEEDS]
    there = [path for path in paths if path.exists()]
    if not there:
        sys.exit(f"There is no truth yet: expected {paths[0]}.")
    table = pd.read_parquet(there[0])
    columns = {name: reachable(table, name) for name in ("reachable", "reachable_linear")}
    return pd.DataFrame(columns)


def seconds_of(root: Path, kinds: Iterable[str]) -> float:
    """Add up what work items of some kinds took."""
    folders = [ModelFolder(root / "06_models" / kind) for kind in kinds]
    return sum(card.get("seconds") or 0.0 for f in folders for card in f.cards().values())


def seconds_of_grid(seed: int, chosen: pd.DataFrame, grid: Grid) -> dict[str, float]:
    """Worker-seconds of the whole grid by each reader; dedicated is extrapolated from its cells.

    By how many imaging groups a cell has.
    """
    first, heads = ("steps", "vectors"), ("encoders", "cells")
    kinds = {MAP: (*runs.FIRST_MODELS, *heads), SHARED: (*first, *heads)}
    kinds |= {ADAPTED_MAP: kinds[MAP], ADAPTED: kinds[SHARED]}
    found = {}
    for reader, (run, strategy) in READERS.items():
        root = runs.root_of(seed, run)
        if not (root / runs.PREDICTED).exists():
            continue
        if reader in kinds:
            found[reader] = seconds_of(root, kinds[reader])
        else:
            fits = pd.read_parquet(root / "07_model_output/cell_fits.parquet")
            found[reader] = float(fits.loc[fits["strategy"] == strategy, "train_seconds"].sum())
    if len(chosen):
        mean = chosen.groupby("groups")["seconds"].mean()
        used = [len(cell.inputs.groups) for cell in grid.cells]
        if {*used} <= {*mean.index}:
            found[DEDICATED] = float(mean.loc[used].sum())
    return found


def cohort_of(seed: int, grid: Grid) -> Cohort:
    """Score what was run on a cohort, of the cells that are asked about."""
    wanted = [
        (c.target, c.inputs.name) for some in runs.dedicated_cells(grid).values() for c in some
    ]
    skills, own, chosen = {}, *runs.own_networks(seed, grid)
    predicted = {DEDICATED: own} if len(own) else {}
    for reader, (run, strategy) in READERS.items():
        if (runs.root_of(seed, run) / runs.PREDICTED).exists():
            predicted[reader] = test_predictions(runs.root_of(seed, run), strategy)[0]
    for reader, predictions in predicted.items():
        keys = pd.MultiIndex.from_frame(predictions[["target", "inputs"]].astype(str))
        families = runs.families_of(seed)
        skills[reader] = skill_draws(predictions[keys.isin(wanted)], families, grid)
    return Cohort(seed, skills, seconds_of_grid(seed, chosen, grid))


def figures_of(grid: Grid) -> list[Figure]:
    """Give the figures of what is there, and write the page."""
    truth = truth_of(grid)
    keys = {t: (c.target, c.inputs.name) for t, c in runs.deep_cells(grid).items()}
    cohorts = [cohort_of(seed, grid) for seed in runs.SEEDS]
    cohorts = [cohort for cohort in cohorts if cohort.skills]
    if not cohorts:
        sys.exit("No run of this benchmark is there yet.")
    sets = {
        name: [
            (c.target, c.inputs.name) for c in some if name == "drawn" or c.target != runs.CONTROL
        ]
        for name, some in runs.dedicated_cells(grid).items()
    }
    figures = shares_of_margin(cohorts, truth, keys) + against_dedicated(cohorts, sets)
    spent = costs(cohorts)
    figures += [
        Figure(f"depth: {reader}, whole grid", seconds, "worker s")
        for reader, seconds in spent.items()
    ]
    if {MAP, DEDICATED} <= {*spent}:
        ratio = spent[DEDICATED] / spent[MAP]
        figures.append(Figure.at_least("depth: dedicated / amortised, cost", ratio, CHEAPER))
    show("SYNTHETIC: skill where the truth is deep", *table_of(cohorts, truth, keys), 240)
    write_section(PAGE, "depth", section(cohorts, truth, keys))
    return figures


def stages() -> list[str]:
    """List what there is to be done of a cohort, in order."""
    return ["cohort", *runs.RUNS, *(f"dedicated {epochs}" for epochs in runs.LENGTHS)]


def do_stage(seed: int, stage: str) -> None:
    """Do one stage of a cohort, as far as it is not done."""
    if stage == "cohort":
        runs.prepare_cohort(seed)
    elif stage in runs.RUNS:
        runs.do_run(seed, stage)
    else:
        runs.prepare_cohort(seed)
        runs.train_networks(seed, int(stage.removeprefix("dedicated ")))


def measure() -> list[Figure]:
    """Do everything that is not done, and give all figures."""
    for stage in stages():
        for seed in runs.SEEDS:
            print(f"Cohort {seed}, {stage} …", flush=True)
            do_stage(seed, stage)
    return [figure_of_amplitude(), *figures_of(study_grid())]


def main() -> None:
    """Do one stage of one cohort; without arguments record and write what is there."""
    given = sys.argv[1:]
    if not given:
        return record(figures_of(study_grid()))
    stage = " ".join(given[1:])
    if not given[0].isdigit() or stage not in stages():
        sys.exit(f"usage: python -m benchmarks.depth [SEED {{{'|'.join(stages())}}}]")
    return do_stage(int(given[0]), stage)


if __name__ == "__main__":
    main()
