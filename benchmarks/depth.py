"""What deep networks are for: cohorts with depth, whose truth says what no linear reader can see.

Share of the margin is (skill - reachable_linear) / (reachable - reachable_linear). Every run is
kept and goes on where it was stopped. ``python -m benchmarks.depth SEED STAGE`` does one stage, and
``python -m benchmarks.depth`` records and writes what is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from benchmarks import depth_runs as runs
from benchmarks.depth_oracle import figure_of_amplitude
from benchmarks.depth_page import section, table_of
from benchmarks.depth_shares import (
    ADAPTED,
    ADAPTED_MAP,
    DEDICATED,
    KERNELS,
    LINEAR,
    MAP,
    SHARED,
    Cohort,
    against_dedicated,
    costs,
    shares_of_margin,
)
from benchmarks.record import Figure, record, show, write_section
from benchmarks.skills import reachable, skill_draws, study_grid, test_predictions
from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import ModelFolder

PAGE = Path(__file__).parents[1] / "docs" / "strategies.md"
CHEAPER = 100
# Run and strategy of each reader; networks of cells are read apart.
READERS = {
    LINEAR: ("map", "linear"),
    KERNELS: ("map", "kernels"),
    SHARED: ("heads", "amortised"),
    ADAPTED: ("adapted heads", "amortised"),
    MAP: ("map", "amortised"),
    ADAPTED_MAP: ("adapted", "amortised"),
}


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
