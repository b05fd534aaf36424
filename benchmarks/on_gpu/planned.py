"""Stage 5: what the planner foresaw against what stages 2 to 4 took, and the study's own grid.

The scenario of the study's grid takes each kind's coefficients, measured here on a few invented
people, times numbers of work items, people, pairs, triples, and people who pass through a network
in all epochs: the planner's own law (`ukb_brain.planning.rehearsal`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.on_gpu.cohort import REGIONS, make_cohort
from benchmarks.on_gpu.stages import Line, Setup
from benchmarks.on_gpu.whole import PRESET, dedicated_items, settings_of, steps_of, work_of
from benchmarks.record import Figure
from benchmarks.skills import parameters
from ukb_brain.grid import Grid
from ukb_brain.ledger import WorkItem
from ukb_brain.planning.case import Case, Parts, Planning, parts_of
from ukb_brain.planning.measure import (
    Found,
    Key,
    measure_networks,
    measure_reading,
    measure_regressions,
    with_strategy,
)
from ukb_brain.planning.rehearsal import KINDS, Rehearsal
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.settings import AMORTISED, DEDICATED, KERNELS, LINEAR

VECTORS = ("rsfmri",)
STRATEGIES = (LINEAR, KERNELS, AMORTISED)
# Predicted over taken.
WITHIN = 0.5
# What networks are also foreseen for.
EPOCHS, OF_MORE_EPOCHS = 100, "hours_of_100_epochs"
# Ruffle et al., NeuroImage 291:120600 (2024): GPU hours of 700 trainings on P100 cards; people.
HOURS_OF_STUDY, PEOPLE_OF_STUDY = 4_526, 23_810


@dataclass(frozen=True)
class OfAllImages(Rehearsal):
    """A rehearsal of those networks of single cells alone that see all images."""

    def items(self, kind: str) -> list[WorkItem]:
        """Build them."""
        groups = tuple(self.case.grid.imaging)
        every = super().items(kind)
        return [i for i in every if kind != DEDICATED or i.payload.cell.inputs.groups == groups]


def case_of(setup: Setup, parts: Parts, grid: Grid) -> Case:
    """Describe a cohort of some people to the planner."""
    edges = REGIONS * (REGIONS - 1) // 2
    asked = Planning(
        participants=max(50, parts.people), edges=edges, presets=(PRESET,), seconds=setup.planner
    )
    voxels = (setup.edge,) * 3
    return Case(PRESET, settings_of(setup), grid, voxels, parts, asked, VECTORS)


def measured(setup: Setup, case: Case, few: Case, folder: Path) -> dict[Key, Found]:
    """Do some items of each kind on invented people."""
    place, device = folder / "shrunk-1", setup.device.type
    runs = [Rehearsal(with_strategy(case, name), device, place) for name in STRATEGIES]
    own = OfAllImages(with_strategy(few, DEDICATED), device, folder / "own/shrunk-1")
    found = measure_reading(runs[0]) | measure_regressions(runs)
    return found | measure_networks(runs[-1], "encoders") | measure_networks(own, DEDICATED)


def seconds_of(kind: str, item: WorkItem, found: Mapping[Key, Found]) -> float:
    """Foresee one item."""
    job = item.payload
    return float(found[kind, KINDS[kind].alike(job)].seconds @ KINDS[kind].terms(job))


def stage(setup: Setup, found: Line) -> None:
    """Foresee what was done, and what the study's grid would take."""
    people = (cohort := make_cohort(setup)).people[0]
    parts = Parts(1, *(int((people.part == p).sum()) for p in ("train", "validation", "test")))
    some = Grid(**parameters("grid")["grid"] | {"only": setup.dedicated})
    case, few = case_of(setup, parts, cohort.grid), case_of(setup, parts, some)
    with tempfile.TemporaryDirectory(dir=setup.out) as folder:
        known = measured(setup, case, few, Path(folder))
    work = work_of(setup, cohort)
    planned = replace(work, settings=with_strategy(case, AMORTISED).modelling)
    whole, single = setup.line("3"), setup.line("4")
    predicted, took = found.setdefault("predicted", {}), found.setdefault("took", {})
    for kind, _, todo in steps_of(planned) if "mean_skill" in whole else ():
        predicted[kind] = sum(seconds_of(kind, item, known) for item in todo())
        took[kind] = whole["seconds_of_items"][kind]
    trained = [row["seconds"] for row in single.get("cells", {}).values() if "skill" in row]
    if trained:
        items = list(dedicated_items(setup, work).values())[: len(trained)]
        predicted[DEDICATED] = sum(seconds_of(DEDICATED, item, known) for item in items)
        took[DEDICATED] = sum(trained)
    steps = [
        row
        for row in setup.line("2").get("steps", ())
        if (row["network"], row["edge"], row["compiled"]) == ("study", setup.edge, False)
    ]
    if steps and "ms" in steps[0]:
        groups = tuple(cohort.grid.imaging)
        each = float(known[DEDICATED, groups].seconds[-1])
        predicted["a step of the study's network"] = each * steps[0]["batch"]
        took["a step of the study's network"] = steps[0]["ms"] / 1e3
    found["scenario"] = (
        f"{len(cohort.grid.cells)} cells of {PEOPLE_OF_STUDY:,} people, {setup.edge}³"
    )
    found["hours_of_study"] = of_study(setup, known)


def of_study(setup: Setup, known: Mapping[Key, Found]) -> dict[str, dict[str, float]]:
    """Foresee the study's grid, in hours by strategy: with as many epochs as here, and with 100."""
    parts = parts_of(PEOPLE_OF_STUDY, Splitting(), 1)
    case, kinds = (
        case_of(setup, parts, setup.grid),
        ("steps", "vectors", "grams", "kernels", "cells"),
    )

    def hours(of: Case, name: str, *kinds: str) -> float:
        run = Rehearsal(with_strategy(of, name), setup.device.type, setup.out)
        return sum(seconds_of(k, item, known) for k in kinds for item in run.items(k)) / 3600

    found = {name: {"hours": hours(case, name, *kinds)} for name in STRATEGIES}
    s = case.modelling
    longer = s.encoders.loop.model_copy(update={"epochs": EPOCHS})
    encoders = s.encoders.model_copy(update={"loop": longer})
    long = replace(case, modelling=s.model_copy(update={"encoders": encoders}))
    rest = found[AMORTISED]["hours"]
    found[AMORTISED] = {
        "hours": rest + hours(case, AMORTISED, "encoders"),
        OF_MORE_EPOCHS: rest + hours(long, AMORTISED, "encoders"),
    }
    return found | {DEDICATED: _of_dedicated(case, known)}


def _of_dedicated(case: Case, known: Mapping[Key, Found]) -> dict[str, float]:
    """Count every cell with a volume as dear as one with all of them; others cost nothing."""
    grid, parts, loop = case.grid, case.parts, case.modelling.dedicated.loop
    volumes = {g for g, of in grid.imaging.items() if not {*of} <= {*VECTORS}}
    cells = sum(bool(volumes & {*cell.inputs.groups}) for cell in grid.cells)
    once, each, passing = known[DEDICATED, tuple(grid.imaging)].seconds
    passed = parts.train // loop.batch_size * loop.batch_size + parts.validation / 3
    hours = [
        cells * (once + each * parts.people + passing * epochs * passed) / 3600
        for epochs in (loop.epochs, EPOCHS)
    ]
    return {"hours": float(hours[0]), OF_MORE_EPOCHS: float(hours[1]), "networks": cells}


def figures(line: Line) -> list[Figure]:
    """Predicted over taken, and hours of the study's grid."""
    found = []
    for kind, took in line.get("took", {}).items():
        predicted = line["predicted"][kind]
        ratio = predicted / took if took else np.nan
        more = {"predicted": predicted, "took": took}
        goal, holds = f"{1 - WITHIN} to {1 + WITHIN}", bool(abs(ratio - 1) <= WITHIN)
        name = f"gpu, 5: {kind}, predicted over taken"
        found.append(Figure(name, float(ratio), "", goal, holds, more))
    for strategy, hours in line.get("hours_of_study", {}).items():
        more = {k: v for k, v in hours.items() if k != "hours"}
        more["the_study_took"] = HOURS_OF_STUDY
        name = f"gpu, 5: SCENARIO, {line['scenario']}: {strategy}"
        found.append(Figure(name, hours["hours"], "hours", more=more))
    return found
