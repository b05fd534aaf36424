"""Null calibration: labels are permuted, cells refitted, and intervals above chance are counted.

Of each target three nested cells are refitted by the amortised strategy, with kernels, its average,
ladder and calibration: the first, the middle and the last of the grid. Encoders stay as they are,
trained on labels that were not permuted. Each target is kept when done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from benchmarks import strategies
from benchmarks.record import WORK, Figure
from benchmarks.skills import study_grid
from ukb_brain.atomic import atomic_path
from ukb_brain.cluster import Compute, run_items
from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import Model, ModelFolder, write_model
from ukb_brain.statistics.draws import FamilyDraws, measured
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline_of
from ukb_brain.training.cells import TargetJob, joined
from ukb_brain.training.items import Work, cells_by_target, encoder_name, kernel_items, kernel_name
from ukb_brain.training.kernels import fit_kernels
from ukb_brain.training.learners import KernelsJob
from ukb_brain.training.people import People, gather_people
from ukb_brain.training.results import prediction_tables
from ukb_brain.training.scans import Scans
from ukb_brain.training.settings import AMORTISED, Modelling
from ukb_brain.training.target import fit_cells_of_target

PERMUTATIONS, DRAWS = 20, 500
SAVED = WORK / "null.json"


@dataclass(frozen=True)
class Permuted:
    """What a worker needs for one target: its cells, kernels, and how often to permute."""

    job: TargetJob
    kernels: tuple[KernelsJob, ...]
    permutations: int


def people_of(root: Path, grid: Grid) -> People:
    """Line up the people of a run's first fold, as modelling does."""
    names = ("03_primary/targets", "04_feature/blocks", "04_feature/block_scaling")
    names += ("03_primary/splits", "03_primary/participants", "03_primary/quality")
    return gather_people(*(pd.read_parquet(root / f"{name}.parquet") for name in names), grid)[0]


def count_above(item: Permuted) -> tuple[str, dict[str, int]]:
    """Refit one target's cells under permuted labels; count intervals, and those above chance."""
    job, above, total = item.job, 0, 0
    people, binary = job.people, job.kind == "binary"
    test = np.flatnonzero(people.part == "test")
    held = np.flatnonzero(np.isin(people.part, ("validation", "test")))
    place = np.searchsorted(held, test)
    weights = FamilyDraws(people.family[test], DRAWS, 0).weights(people.family[test])
    known = np.flatnonzero(np.isfinite(job.y))
    name = int.from_bytes(job.target.encode()[:8], "big")
    for number in range(item.permutations):
        y = job.y.copy()
        y[known] = np.random.default_rng([number, name]).permutation(y[known])
        mixed = replace(people, targets=people.targets | {job.target: y})
        with TemporaryDirectory() as folder:
            paths = {}
            for own in item.kernels:
                path = paths[joined(own.groups)] = Path(folder, joined(own.groups) or "traits")
                model = fit_kernels(replace(own, people=mixed), path)
                write_model(path, model)
            model = fit_cells_of_target(replace(job, people=mixed, kernels=paths), Path())
        for key, predicted in model.arrays.items():
            if key.startswith("predictions/amortised/"):
                p, rows = predicted[place], y[test]
                scored = np.isfinite(p) & np.isfinite(rows)
                score = headline_of(job.kind, rows[scored], p[scored])
                low = measured(score, weights[:, scored])["score_low"]
                total += 1
                above += int(low > KINDS[job.kind].chance)
    return job.target, {"binary": int(binary), "total": total, "above": above}


def settings_of(root: Path) -> Modelling:
    """Read the settings of a run of `strategies` off its models."""
    cards = sorted((root / "06_models/encoders").glob("*/card.json"))
    encoders = json.loads(cards[0].read_text())["settings"]
    kernels = json.loads(next((root / "06_models/kernels").glob("*/card.json")).read_text())
    return Modelling(
        strategies=("linear", "kernels", "amortised"),
        kernels=kernels["settings"],
        encoders=encoders,
        dedicated={"network": encoders["network"], "loop": encoders["loop"]},
        **strategies.regressions(),
    )


def jobs_of(root: Path, every: bool) -> dict[str, TargetJob]:
    """Make jobs anew on a run's kernels and encoders, by target: of every cell, or of three."""
    grid, settings = study_grid(), settings_of(root)
    people, groups = people_of(root, grid), tuple(grid.imaging)
    models = root / "06_models"
    parts = range(settings.encoders.cross_fits)
    sets = dict.fromkeys(cell.inputs.groups for cell in grid.cells)
    return {
        target: TargetJob(
            target,
            grid.targets[target].kind,
            cells if every else (cells[0], cells[len(cells) // 2], cells[-1]),
            groups,
            people,
            [{part: models / "encoders" / encoder_name(0, 0, part) for part in parts}],
            {joined(g): models / "kernels" / kernel_name(0, g) for g in sets},
            settings,
        )
        for target, cells in cells_by_target(grid).items()
    }


def kernels_of(root: Path, job: TargetJob) -> tuple[KernelsJob, ...]:
    """Make the jobs of the kernels of some cells of a target anew, on a run's products of scans."""
    grams = ModelFolder((root / "06_models/grams").resolve())
    given = ({0: job.people}, Scans({}, ""), study_grid(), job.settings, Compute(device="cpu"), 0)
    found = []
    for item in kernel_items(Work(grams.path.parent, *given), grams):
        groups = item.payload.groups
        if mine := tuple(cell for cell in job.cells if cell.inputs.groups == groups):
            found.append(replace(item.payload, cells=mine))
    return tuple(found)


def rows_of_test(model: Model, job: TargetJob) -> Iterator[pd.DataFrame]:
    """List, cell by cell, what the amortised strategy predicts of test people."""
    for table in prediction_tables(model, job.people, 0):
        yield table[(table["strategy"] == AMORTISED) & (table["split"] == "test")]


def measure() -> list[Figure]:
    """Permute every target's labels, and give shares of intervals above chance."""
    strategies.prepare()
    done = json.loads(SAVED.read_text()) if SAVED.exists() else {}
    jobs = jobs_of(strategies.ROOT, every=False)
    todo = [
        Permuted(job, kernels_of(strategies.ROOT, job), PERMUTATIONS)
        for target, job in jobs.items()
        if target not in done
    ]
    for target, counts in run_items(count_above, todo, Compute(), "Permuted targets"):
        done[target] = counts
        with atomic_path(SAVED) as part:
            part.write_text(json.dumps(done, indent=1))
    figures = []
    for kind, binary, goal in (("AUC", 1, "0.015 to 0.035"), ("R²", 0, "≤ 0.035")):
        mine = [counts for counts in done.values() if counts["binary"] == binary]
        share = sum(c["above"] for c in mine) / sum(c["total"] for c in mine)
        holds = share <= 0.035 and (share >= 0.015 or not binary)
        more = {"intervals": sum(c["total"] for c in mine), "permutations": PERMUTATIONS}
        name = f"null: {kind} intervals wholly above chance, share"
        figures.append(Figure(name, share, "", goal, holds, more))
    return figures
