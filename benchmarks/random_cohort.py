"""Cohorts of random numbers, as preprocessing leaves them: only their cost means anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.skills import study_grid
from benchmarks.watch import kedro, watch
from ukb_brain.atomic import atomic_path
from ukb_brain.grid import Grid
from ukb_brain.imaging.store import open_store
from ukb_brain.planning.case import Parts, Shape
from ukb_brain.planning.invented import random_people, scans_in, write_scans
from ukb_brain.training.people import People

FRACTIONS = (0.8, 0.1)
DONE = "random_cohort.json"


def write_cohort(root: Path, people: int, voxels: tuple[int, int, int], edges: int) -> None:
    """Write tables and stores of random numbers, or leave them where they are there already.

    Every tenth person is validated, and as many are tested; ``edges`` are of a connectivity vector.
    """
    asked = {"people": people, "voxels": list(voxels), "edges": edges}
    done = root / DONE
    if done.exists() and json.loads(done.read_text()) == asked:
        return
    shutil.rmtree(root, ignore_errors=True)
    grid = study_grid()
    everybody = _people(people, grid)
    _write_tables(root / "03_primary", everybody, grid)
    for scans in scans_in(root / "02_intermediate", grid).groups.values():
        volumes = (len(scans.modalities), *voxels)
        shape: Shape = (edges,) if scans.modalities == ("rsfmri",) else volumes
        write_scans(scans, shape, everybody)
    for store in ("volumes.store", "vectors.store"):
        open_store(root / "02_intermediate" / store).claim("synthetic")
    watch(kedro("feature_tabular", {"data_root": root}), root / "feature_tabular.log")
    with atomic_path(done) as part:
        part.write_text(json.dumps(asked))


def _people(n: int, grid: Grid) -> People:
    train, validation = (round(n * fraction) for fraction in FRACTIONS)
    return random_people(Parts(1, train, validation, n - train - validation), grid)


def _write_tables(folder: Path, people: People, grid: Grid) -> None:
    n = len(people.eid)
    keys = pd.DataFrame({"eid": people.eid, "instance": people.instance})
    quality = keys.merge(pd.DataFrame({"modality": grid.modalities}), how="cross")
    about = {"family": people.family, "site": 11025, "date": pd.Timestamp("2016-01-01")}
    tables = {
        "participants": keys.assign(chosen=True, **about, age=60.0, sex=np.arange(n) % 2.0),
        "targets": pd.concat([keys, pd.DataFrame(people.targets)], axis=1),
        "splits": pd.DataFrame({"eid": people.eid, "fold": 0, "part": people.part}),
        "quality": quality.assign(status="ok", reason=""),
    }
    folder.mkdir(parents=True)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
