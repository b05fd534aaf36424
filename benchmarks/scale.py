"""The scale benchmark: scans of UK Biobank's own shapes, from generation to the store.

How fast they are made, against an earlier commit; two workers against one; the peak of a worker's
memory at 200 and at 2,000 people; files and bytes a person; and what all of it means for 40,000 and
100,000 people. A few people's zips stand for many, read again and again: from the memory of the
machine, so that the disk is not measured but assumed. What is done is kept, and goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.record import WORK, Figure, kept, show
from benchmarks.resampling import VOLUMES, settings_of
from benchmarks.runs import PROJECT
from benchmarks.watch import watch
from ukb_brain.cluster import Compute, run_items, workers_kept
from ukb_brain.imaging.bulk import BulkFile, _unpacked
from ukb_brain.imaging.preprocess import VisitBatch, preprocess_batch
from ukb_brain.imaging.readers import READERS, Visit, find_parcellation
from ukb_brain.imaging.store import open_store
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.scans import PeopleBatch, write_batch
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import DWI, FLAIR, SERIES, T1, visits_of

ROOT = WORK / "scale"
ZIPS = ROOT / "zips"
COHORT = SyntheticCohort(participants=100, voxel_mm=1, regions=360, time_points=490, seed=1)
FIELDS = (T1, FLAIR, DWI, SERIES)
# Whose zips stand for all; a batch is what a worker gets at a time, as in the pipeline.
OWN, BATCH = 8, 20
FIRST = 1_000_001
FEW, MANY = 200, 2_000
GRIDS = ("study64", "study128")

# The last commit before scans were drawn at points alone.
BEFORE, DRAWN, TURNS = "ae9a748", 3, 2
GENERATION = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from benchmarks.resampling import settings_of
from ukb_brain.synthetic import scans
from ukb_brain.synthetic.settings import SyntheticCohort
cohort = SyntheticCohort(participants=50, voxel_mm=1, regions=30, time_points=150, seed=1)
anatomy, out, n = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
modalities = settings_of("study64", "none").modalities
for number in range(n + 1):
    if number == 1:
        start = time.process_time()
    # The first one only loads what all share.
    people = (number or n + 1,)
    scans.write_batch(scans.PeopleBatch(people, cohort, anatomy, out, modalities))
print((time.process_time() - start) / n)
"""

MOST_MB, LEAST_RATIO, LEAST_FASTER, MOST_GROWTH = 1_000.0, 1.8, 2.0, 0.05
PEOPLE, CORES = (40_000, 100_000), (1, 16, 256)
# Assumed of a cluster's disk that all nodes share, in MB/s: read and written together.
DISK_MB_S = 1_000.0


def write_zips() -> None:
    """Write some people's zips of real shapes, who all have every scan."""
    anatomy = ROOT / "anatomy.npz"
    if not anatomy.exists():
        ROOT.mkdir(parents=True, exist_ok=True)
        build_anatomy(1).save(anatomy)
    whole = [n for n in range(1, 100) if _is_whole(n)][:OWN]
    modalities = settings_of("study64", "none").modalities
    for field in FIELDS:
        (ZIPS / str(field)).mkdir(parents=True, exist_ok=True)
    (ZIPS / "25750").mkdir(exist_ok=True)
    write_batch(PeopleBatch(tuple(whole), COHORT, anatomy, ZIPS, modalities))


def _is_whole(number: int) -> bool:
    scans = [scan for scan in visits_of(COHORT.seed, number).scans if scan.instance == 2]
    return len(scans) == len(FIELDS) + 1 and all(scan.state == "ok" for scan in scans)


def visits(people: int) -> list[Visit]:
    """Give people's visits, who share a few people's files."""
    files = {field: sorted((ZIPS / str(field)).glob("*_2_0.zip")) for field in FIELDS}
    return [
        Visit((FIRST + k, 2), {field: BulkFile(own[k % OWN]) for field, own in files.items()})
        for k in range(people)
    ]


def batches(people: int, grid: str, store: Path) -> list[VisitBatch]:
    """Divide people's visits as the pipeline does."""
    everybody, settings = visits(people), settings_of(grid, "gaussian")
    shared = (settings, find_parcellation(everybody[:OWN], settings))
    paths = (store / "volumes.store", store / "vectors.store")
    starts = range(0, people, BATCH)
    return [VisitBatch(tuple(everybody[k : k + BATCH]), *shared, *paths) for k in starts]


def preprocess(people: int, grid: str, workers: int) -> dict[str, float]:
    """Preprocess people into a store of their own; seconds of the items, and what lies in it."""
    store = ROOT / f"store_{people}_{grid}_{workers}"
    shutil.rmtree(store, ignore_errors=True)
    compute = Compute(workers=workers, threads_per_item=1, device="cpu")
    work = batches(people, grid, store)
    with workers_kept():
        # What a worker loads once is no part of the time of its items.
        warm = batches(BATCH * workers, grid, store / "warm")
        list(run_items(preprocess_batch, warm, compute, "Start"))
        started = time.monotonic()
        rows = [row for some in run_items(preprocess_batch, work, compute, "Scans") for row in some]
        seconds = time.monotonic() - started
    shutil.rmtree(store / "warm")
    assert all(row["status"] == "ok" for row in rows), pd.DataFrame(rows)["reason"].unique()
    files = [path for path in store.rglob("*") if path.is_file()]
    size = sum(path.stat().st_blocks * 512 for path in files)
    shutil.rmtree(store)
    return {"seconds": seconds, "files": len(files), "bytes": size / people}


def watched(people: int, grid: str) -> dict[str, float]:
    """Preprocess people on two workers in processes of their own, and watch their memory."""
    command = [sys.executable, "-m", "benchmarks.scale", str(people), grid, "2"]
    return asdict(watch(command, ROOT / f"{people}_{grid}.log"))


def _before() -> Path:
    """Check out the earlier commit beside this one."""
    place = ROOT / "before"
    if not place.exists():
        command = ["git", "worktree", "add", "--detach", str(place), BEFORE]
        subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    return place


def generation() -> dict[str, list[float]]:
    """CPU seconds that a person's scans of 1 mm take, before and now, by turns on one core."""
    found: dict[str, list[float]] = {"before": [], "now": []}
    for _ in range(TURNS):
        for name, source in (("before", _before()), ("now", PROJECT)):
            out = ROOT / "drawn"
            for field in (*FIELDS, 25750):
                (out / str(field)).mkdir(parents=True)
            path = os.pathsep.join([str(source / "src"), str(source)])
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            command = [sys.executable, "-c", GENERATION, str(ROOT / "anatomy.npz"), str(out)]
            done = subprocess.run(
                [*command, str(DRAWN)],
                env=os.environ | threads | {"PYTHONPATH": path},
                check=True,
                capture_output=True,
                text=True,
            )
            found[name].append(float(done.stdout))
            shutil.rmtree(out)
    remove = ["git", "worktree", "remove", "--force", str(ROOT / "before")]
    subprocess.run(remove, cwd=PROJECT, check=True, capture_output=True)
    return found


def parts(grid: str) -> dict[str, float]:
    """CPU seconds a person of each part, on one core, and MB that are read."""
    settings, everybody = settings_of(grid, "gaussian"), visits(OWN)
    cohort = find_parcellation(everybody, settings)
    store = open_store(ROOT / "parts")
    taken = dict.fromkeys(("reading", "volumes", "connectivity", "writing"), 0.0)
    read = 0
    # In the second round everything is loaded that is loaded once.
    for turn in range(2):
        for visit, (modality, record) in product(everybody, settings.modalities.items()):
            ticks = [time.process_time()]
            if modality in VOLUMES:
                content = visit.file(settings.fields[modality]).member(record.member)
                _unpacked(content, modality)
                read += turn * len(content)
            else:
                read += turn * visit.file(SERIES).path.stat().st_size
            ticks.append(time.process_time())
            found = READERS[record.reader].read(modality, visit, settings, cohort)
            ticks.append(time.process_time())
            about = {"fingerprint": "0" * 16, "measures": found.measures}
            store.write(modality, visit.key, found.array, about, found.code)
            ticks.append(time.process_time())
            names = ("reading", "volumes" if modality in VOLUMES else "connectivity", "writing")
            for name, seconds in zip(names, np.diff(ticks), strict=True):
                taken[name] += turn * float(seconds) / OWN
    shutil.rmtree(store.path)
    taken["resampling"] = taken.pop("volumes") - taken["reading"]
    return taken | {"MB read": read / OWN / 1e6}


def projected(grid: str, part: dict[str, float], stored: float, ratio: float) -> list[list[str]]:
    """Hours and GB for cohorts and cores; hours are of processors or of the disk, the longer."""
    seconds = sum(part[name] for name in ("reading", "resampling", "connectivity", "writing"))
    moved = part["MB read"] + stored / 1e6
    rows = []
    for people in PEOPLE:
        gigabytes = people * stored / 1e9
        for cores in CORES:
            # As two workers lose against one, so do more.
            speed = cores if cores == 1 else cores * ratio / 2
            of_cores, of_disk = people * seconds / speed / 3600, people * moved / DISK_MB_S / 3600
            which = "disk" if of_disk > of_cores else "cores"
            hours = f"{max(of_cores, of_disk):.2f}"
            rows.append([grid, f"{people:,}", str(cores), hours, which, f"{gigabytes:.0f}"])
    return rows


def measure() -> list[Figure]:
    """Measure all of it, each part once."""
    write_zips()
    figures, rows, speeds = [], [], {}
    drawn = kept(ROOT / "generation.json", generation)
    faster = float(np.median(np.divide(drawn["before"], drawn["now"])))
    more = {name: round(float(np.median(each)), 2) for name, each in drawn.items()}
    name = "generating scans of 1 mm, times faster than before"
    figures.append(Figure.at_least(name, faster, LEAST_FASTER, "times", more))
    for workers in (1, 2):
        work = partial(preprocess, FEW, "study64", workers)
        speeds[workers] = kept(ROOT / f"workers_{workers}.json", work)["seconds"]
    ratio = speeds[1] / speeds[2]
    more = {"people": FEW, "seconds": {str(k): round(v, 1) for k, v in speeds.items()}}
    name = "preprocessing, two workers against one"
    figures.append(Figure.at_least(name, ratio, LEAST_RATIO, "times", more))
    peaks = {}
    for people, grid in ((FEW, "study64"), (MANY, "study64"), (FEW, "study128")):
        found = kept(ROOT / f"watched_{people}_{grid}.json", partial(watched, people, grid))
        peaks[people, grid] = found["largest"]
        more = {"first process": round(found["first"])}
        name = f"preprocessing, peak of a worker, {people:,} people to {grid}"
        figures.append(Figure.at_most(name, found["largest"], MOST_MB, "MB", more))
    growth = peaks[MANY, "study64"] / peaks[FEW, "study64"] - 1
    name = f"preprocessing, growth of a worker from {FEW} to {MANY:,} people"
    figures.append(Figure.at_most(name, growth, MOST_GROWTH))
    for grid in GRIDS:
        part = kept(ROOT / f"parts_{grid}.json", partial(parts, grid))
        held = json.loads(
            (ROOT / f"done_{MANY if grid == 'study64' else FEW}_{grid}.json").read_text()
        )
        figures.append(
            Figure(
                f"preprocessing, CPU s a person to {grid}",
                sum(seconds for name, seconds in part.items() if name != "MB read"),
                "s",
                more={name: round(value, 4) for name, value in part.items()},
            )
        )
        name = f"store, MB a person at {grid}"
        figures.append(Figure(name, held["bytes"] / 1e6, "MB", more={"files": held["files"]}))
        rows += projected(grid, part, held["bytes"], ratio)
    heads = ("grid", "people", "cores", "hours", "limited by", "GB in the store")
    show(f"Projected, with a disk of {DISK_MB_S:,.0f} MB/s", heads, rows)
    for grid, people, cores, hours, which, gigabytes in rows:
        more = {"limited by": which, "GB in the store": float(gigabytes)}
        name = f"projected: {people} people to {grid} on {cores} cores"
        figures.append(Figure(name, float(hours), "h", more=more))
    shutil.rmtree(ROOT)
    return figures


if __name__ == "__main__":
    n, which, workers = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    text = json.dumps(preprocess(n, which, workers))
    (ROOT / f"done_{n}_{which}.json").write_text(text)
