"""A cohort of the generator that is drawn straight into the stores, with all cores."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.on_gpu.stages import SEED, Line, Setup, one_thread_each, spread
from benchmarks.record import Figure, kept
from benchmarks.skills import parameters
from ukb_brain.grid import Grid
from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.imaging.intensity import Code
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.readers import SHRINKAGE
from ukb_brain.imaging.store import open_store
from ukb_brain.imaging.tangent import shrinkage_of_time_series
from ukb_brain.synthetic.anatomy import CONTRASTS
from ukb_brain.synthetic.linear_reader import (
    ReferenceBatch,
    draw_reference,
    in_single,
    reference_batches,
    stored,
)
from ukb_brain.synthetic.people import family_of, latents, traits, variates
from ukb_brain.synthetic.scans import PeopleBatch, Session, write_anatomy
from ukb_brain.synthetic.settings import FIRST_EID, SyntheticCohort
from ukb_brain.synthetic.truth import build_truth, kept_linear_reading
from ukb_brain.tables.blocks import fit_block_scaling, make_blocks
from ukb_brain.tables.splits import Splitting, make_splits
from ukb_brain.training.people import People, gather_people
from ukb_brain.training.scans import Scans, gather_scans

INSTANCE, REGIONS, TIME_POINTS = 2, 30, 150
SPLITTING = Splitting(train=0.7, validation=0.1, test=0.2)
# People of a job, and of one of those that linear readers learn from.
SOME, REFERENCE = 20, 100
TRUTH, READER = "truth", "linear_reader"


@dataclass(frozen=True)
class Cohort:
    """People of one fold, and their scans."""

    grid: Grid
    people: dict[int, People]
    scans: Scans

    @property
    def families(self) -> pd.Series:
        """Family by eid."""
        people = self.people[0]
        return pd.Series(people.family, index=people.eid)


@dataclass(frozen=True)
class Draw:
    """Some people whom one process draws into the stores of a folder."""

    batch: PeopleBatch
    imaging: ImagingPreprocess
    folder: Path


def asked_of_generator(setup: Setup) -> SyntheticCohort:
    """Ask for a cohort whose scans are as fine as the common grid."""
    return SyntheticCohort(
        participants=setup.people,
        voxel_mm=setup.voxel_mm,
        regions=REGIONS,
        time_points=TIME_POINTS,
        seed=SEED,
        depth=setup.depth,
        reference_people=setup.reference_people,
    )


def imaging_of(setup: Setup) -> ImagingPreprocess:
    """Give the preset's common grid, or one of the same box with fewer voxels."""
    given = parameters("imaging_preprocess")["imaging_preprocess"]
    edges = {"shape": (setup.edge,) * 3, "voxel_mm": setup.voxel_mm, "filter": "area"}
    # Limits are of people who are all kept here.
    return ImagingPreprocess(**given | edges | {"preset": {}, "quality": None})


def make_cohort(setup: Setup) -> Cohort:
    """Draw everybody of whom there are no scans yet, and line up all that is known of them.

    Everybody is scanned once, and nothing is missing of anybody. Volumes are the generator's
    native scans, resampled, scaled and coded as preprocessing does it; there are neither zips nor
    raw files.
    """
    settings, imaging, folder = asked_of_generator(setup), imaging_of(setup), setup.out / "cohort"
    numbers, anatomy = np.arange(1, setup.people + 1), write_anatomy(settings, folder)
    there = {eid for eid, _ in open_store(folder / "vectors.store").keys("rsfmri")}
    todo = [number for number in numbers.tolist() if FIRST_EID + number - 1 not in there]
    jobs = [
        Draw(PeopleBatch(tuple(some), settings, anatomy, folder, {}), imaging, folder)
        for some in (todo[k : k + SOME] for k in range(0, len(todo), SOME))
    ]
    for _ in spread(draw_some, jobs, setup.processes):
        pass
    return _gathered(numbers, settings, imaging, setup)


def draw_some(job: Draw) -> int:
    """Draw the scans of some people, those of a vector last, and count the people."""
    volumes, vectors = (open_store(job.folder / f"{name}.store") for name in ("volumes", "vectors"))
    for number in job.batch.numbers:
        session, key = Session(job.batch, number, INSTANCE), (FIRST_EID + number - 1, INSTANCE)
        session.brain = in_single(session.brain)
        for modality in CONTRASTS:
            values = stored(session, modality, job.imaging)
            code = Code.of(float(values.min()), float(values.max()))
            volumes.write(modality, key, code.encode(values), {}, code)
        series = session._regions[0]
        measures = {SHRINKAGE: shrinkage_of_time_series(series)}
        vectors.write("rsfmri", key, fisher_z_of_time_series(series), {"measures": measures})
    return len(job.batch.numbers)


def _gathered(
    numbers: NDArray[np.int64], settings: SyntheticCohort, imaging: ImagingPreprocess, setup: Setup
) -> Cohort:
    """Make tables as data engineering does, and from them people and scans as modelling does."""
    e = variates(SEED, numbers.tolist(), settings.deep)
    z = latents(e)
    known, eids, grid = traits(z, e), FIRST_EID + numbers - 1, setup.grid
    keys = pd.DataFrame({"eid": eids, "instance": INSTANCE})
    family = [FIRST_EID + family_of(SEED, number) - 1 for number in numbers.tolist()]
    about = {"chosen": True, "family": family, "site": z["site_code"].astype(np.int64)}
    participants = keys.assign(**about, age=z["age_years"], sex=z["male"])
    targets = keys.assign(**{target: known[target] for target in grid.targets})
    splits = make_splits(participants, SPLITTING, SEED)
    scaling = fit_block_scaling(targets, splits, participants, grid)
    blocks = make_blocks(targets, splits, scaling, participants, grid)
    scans = keys.merge(pd.DataFrame({"modality": grid.modalities}), how="cross")
    quality = scans.assign(status="ok", reason="")
    people = gather_people(targets, blocks, scaling, splits, participants, quality, grid)
    stores = (open_store(setup.out / f"cohort/{name}.store") for name in ("volumes", "vectors"))
    return Cohort(grid, people, gather_scans(*stores, quality, grid, imaging))


# ---- truth --------------------------------------------------------------------------------------


def read_by_linear_reader(setup: Setup) -> NDArray[np.float64]:
    """Measure what the best linear reader of images reads, of people who are drawn for it alone."""
    cohort, folder = asked_of_generator(setup), setup.out / "cohort"
    anatomy, imaging = write_anatomy(cohort, folder), imaging_of(setup)
    batches = reference_batches(cohort, anatomy, imaging, folder / "reference", REFERENCE)

    def draw(some: Sequence[ReferenceBatch]) -> Iterable[Path]:
        return spread(draw_reference, some, setup.processes)

    return kept_linear_reading(cohort, batches, draw, setup.out / f"{READER}.npy")


def truth_of(setup: Setup) -> pd.DataFrame:
    """Read what is readable in each cell, wait for who computes it, or compute it."""
    path = setup.out / f"{TRUTH}.csv"
    while not path.exists() and any(p.name == TRUTH for p in multiprocessing.active_children()):
        time.sleep(0.2)
    return kept(path, lambda: _truth(setup)).fillna({"planted": ""})


def _truth(setup: Setup) -> pd.DataFrame:
    linear = read_by_linear_reader(setup) if setup.depth else np.empty((0, 0))
    return build_truth(setup.grid, asked_of_generator(setup), linear)


def _leisurely(setup: Setup) -> None:
    os.nice(10)
    truth_of(setup)


def stage(setup: Setup, found: Line) -> None:
    """Make the cohort; its truth is then computed by another process at leisure.

    A truth that lies in the folder, from a run on another machine, is taken as it is.
    """
    found["depth"], found["processes"] = setup.depth, setup.processes
    started = time.perf_counter()
    people = make_cohort(setup).people[0]
    found["seconds_of_drawing"] = time.perf_counter() - started
    found["people"] = {part: int((people.part == part).sum()) for part in set(people.part.tolist())}
    if (setup.out / f"{TRUTH}.csv").exists():
        return
    found["reference_people"], started = setup.reference_people, time.perf_counter()
    if setup.depth:
        read_by_linear_reader(setup)
    found["seconds_of_linear_reader"] = time.perf_counter() - started
    if setup.processes > 1:
        context = multiprocessing.get_context("spawn")
        with one_thread_each():
            context.Process(target=_leisurely, args=(setup,), name=TRUTH, daemon=True).start()


def figures(line: Line) -> list[Figure]:
    """Seconds of drawing."""
    if "people" not in line:
        return []
    people = sum(line["people"].values())
    more = {"processes": line["processes"], "depth": line["depth"]}
    name = f"gpu, cohort: {people:,} people drawn"
    return [Figure(name, line["seconds_of_drawing"], "s", more=more)]
