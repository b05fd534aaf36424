"""A small invented cohort as the pipelines before modelling leave it, and settings to fit it."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from reporting_cases import ROOT, study_grid

from ukb_brain.cluster import Compute
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.store import RecordStore
from ukb_brain.pipelines import feature_tabular, modelling
from ukb_brain.tables.blocks import apply_scaling, fit_scaling
from ukb_brain.training.items import Work
from ukb_brain.training.people import People, gather_people
from ukb_brain.training.scans import GroupScans, Scans
from ukb_brain.training.settings import Modelling

SHAPE, EDGES = (6, 7, 8), 10
VOLUMES = ("t1", "flair", "dwi")
PARTS = np.repeat(["train", "validation", "test"], [64, 16, 16])
N, REPEATED = len(PARTS), 5
# Who came twice: some training people; and, where asked for, the last of the test people too.
TRAINED_TWICE = tuple(range(REPEATED))
TESTED_TWICE = (*TRAINED_TWICE, *range(N - 3, N))


def small_grid() -> Grid:
    """Seven of the study's targets; nobody is guilty, and only test people are nervous."""
    grid = study_grid().model_dump()
    kept = ("sex", "age", "smoking", "body_fat", "worry", "guilty", "nervous")
    domains = {key: value for key, value in grid["domains"].items() if key != "serology"}
    targets = {key: grid["targets"][key] for key in kept}
    return Grid(**(grid | {"domains": domains, "targets": targets}))


GRID = small_grid()
# Of no modality that says what kind of connectivity it is.
IMAGING = ImagingPreprocess(modalities={}, shape=SHAPE, voxel_mm=20.0)
CONSTANT = ("guilty", "nervous")
LIGHT = {
    "network": {"pooling": 2, "embedding": 8, "options": {"volume": {"stem": 2, "width": 4}}},
    "loop": {"epochs": 3, "batch_size": 16, "learning_rate": 0.01},
}
MODELLING = Modelling(
    strategies=("linear", "amortised"),
    cross_fits=3,
    encoders=LIGHT | {"cross_fits": 2},
    dedicated=LIGHT | {"cells": 3},
    heads={"images": [0.1, 3, 1000], "traits": [0.03, 1000]},
    kernels={"pooling": 2, "penalties": [0.3, 3, 30], "radial": [1.0]},
)
EVERY = MODELLING.model_copy(update={"strategies": ("linear", "amortised", "dedicated")})


def changed(settings: Modelling, **values: object) -> Modelling:
    """The same settings, but for some; ``__`` stands for the dots of their names."""
    dump = settings.model_dump(mode="json")
    for name, value in values.items():
        *path, last = name.split("__")
        inner = dump
        for key in path:
            inner = inner[key]
        inner[last] = value
    return Modelling(**dump)


@dataclass
class Cohort:
    """Tables by catalog entry; scans by modality, one row a person."""

    eid: np.ndarray
    tables: dict[str, pd.DataFrame]
    scans: dict[str, np.ndarray]

    def copy(self) -> Cohort:
        return deepcopy(self)

    def of(self, part: str) -> np.ndarray:
        return self.eid[part == PARTS]

    def overwrite(self, eids: np.ndarray) -> Cohort:
        """The same cohort, but every scan, trait and target of some people is another."""
        rng, new = np.random.default_rng(1), self.copy()
        rows = np.isin(new.eid, eids)
        for scans in new.scans.values():
            scans[rows] = rng.normal(2, 3, scans[rows].shape)
        targets = new.tables["primary.targets"]
        mine = targets["eid"].isin(eids)
        for key, target in GRID.targets.items():
            old = targets.loc[mine, key]
            targets.loc[mine, key] = 1 - old if target.kind == "binary" else -1000 - 3 * old
        return new

    def save_scans(self, root: Path, eids: np.ndarray | None = None) -> None:
        """Write the scans of some people, or of all, as far as their quality is ok."""
        folder = root / "02_intermediate"
        quality = self.tables["primary.quality"]
        usable = quality[quality["status"] == "ok"]
        keys = zip(usable["eid"], usable["instance"], usable["modality"], strict=True)
        for eid, instance, modality in keys:
            if eids is None or eid in eids:
                name = "volumes" if modality in VOLUMES else "vectors"
                scan = self.scans[modality][eid - self.eid[0]]
                scan = scan if instance == 2 else scan * scan.dtype.type(0.9)
                store = RecordStore(folder / f"{name}.store")
                store.write(modality, (int(eid), int(instance)), scan, {})


def invented_cohort(seed: int = 0, twice: tuple[int, ...] = TRAINED_TWICE) -> Cohort:
    """Families of two; some scans and answers are missing; some people came twice."""
    rng = np.random.default_rng(seed)
    eid = 9_000_001 + np.arange(N)
    latent = rng.normal(size=(N, 4))
    scans = {}
    for k, modality in enumerate(VOLUMES):
        maps = rng.normal(size=(4, *SHAPE))
        noise = rng.normal(size=(N, *SHAPE))
        scans[modality] = (np.tensordot(latent, maps, 1) + (1 + k) * noise).astype(np.float16)
    edges = latent @ rng.normal(size=(4, EDGES)) + rng.normal(size=(N, EDGES))
    scans["rsfmri"] = edges.astype(np.float32)
    noise = rng.normal(size=(N, 5))
    values = pd.DataFrame(
        {
            "sex": (latent[:, 0] + 0.3 * noise[:, 0] > 0).astype(float),
            "age": 64 + 7 * latent[:, 1] + 2 * noise[:, 1],
            "smoking": (latent[:, 2] + noise[:, 2] > 0.3).astype(float),
            "body_fat": 30 + 4 * latent[:, 0] + 4 * noise[:, 3],
            "worry": (latent[:, 3] + 2 * noise[:, 4] > 0).astype(float),
            "guilty": 0.0,
            "nervous": np.where((PARTS == "test") & (eid % 2 == 0), 1.0, 0.0),
        }
    )
    for name in ("smoking", "body_fat", "worry"):
        values.loc[rng.random(N) < 0.06, name] = np.nan
    visits = pd.DataFrame(
        {
            "eid": [*eid, *eid[list(twice)]],
            "instance": [2] * N + [3] * len(twice),
            "chosen": np.arange(N + len(twice)) < N,
            "family": np.array([*range(N), *twice]) // 2,
            "site": 11025,
            "date": pd.Timestamp("2016-01-01"),
            "age": 60.0,
            "sex": 1.0,
        }
    )
    keys = visits[["eid", "instance"]]
    targets = pd.concat([values, 1 - values.iloc[list(twice)]], ignore_index=True)
    quality = keys.merge(pd.DataFrame({"modality": GRID.modalities}), how="cross")
    draws = rng.random(len(quality))
    status = np.where(draws < 0.03, "broken", np.where(draws < 0.06, "missing", "ok"))
    tables = {
        "participants": visits,
        "targets": pd.concat([keys, targets], axis=1),
        "splits": pd.DataFrame({"eid": eid, "fold": 0, "part": PARTS}),
        "quality": quality.assign(status=status, reason=""),
    }
    return Cohort(eid, {f"primary.{name}": table for name, table in tables.items()}, scans)


def catalog_of(root: Path, **changes: object) -> DataCatalog:
    entries = {}
    for name in ("data_engineering", "feature_tabular", "imaging_preprocess", "modelling"):
        text = (ROOT / f"conf/base/catalog_{name}.yml").read_text().replace("${_root}", str(root))
        entries |= {k: v for k, v in yaml.safe_load(text).items() if not k.startswith("_")}
    catalog = DataCatalog.from_config(entries)
    given = {
        "grid": GRID,
        "imaging_preprocess": IMAGING,
        "modelling": MODELLING,
        "compute": Compute(workers=1),
        "seed": 5,
        "reporting.draws": 200,
        "reporting.level": 0.95,
    }
    for name, value in (given | changes).items():
        catalog[f"params:{name}"] = value
    return catalog


def run(
    root: Path,
    cohort: Cohort,
    before: Path | None = None,
    altered: np.ndarray | None = None,
    pipeline: Pipeline | None = None,
    **changes: object,
) -> Path:
    """Fit blocks and models.

    Scans of an earlier run are copied where it is given; then those of altered people are written,
    or of all people where nobody is named.
    """
    if before is not None:
        shutil.copytree(before / "02_intermediate", root / "02_intermediate")
    cohort.save_scans(root, altered)
    catalog = catalog_of(root, **changes)
    for name, table in cohort.tables.items():
        catalog.save(name, table)
    everything = feature_tabular.create_pipeline() + modelling.create_pipeline()
    SequentialRunner().run(pipeline or everything, catalog)
    return root


def people_of(cohort: Cohort, grid: Grid = GRID) -> People:
    """The people of the first fold, without any file."""
    targets, splits = cohort.tables["primary.targets"], cohort.tables["primary.splits"]
    scaling = fit_scaling(targets, splits, list(grid.targets))
    blocks = apply_scaling(targets, splits, scaling)
    participants, quality = (cohort.tables[f"primary.{k}"] for k in ("participants", "quality"))
    return gather_people(targets, blocks, scaling, splits, participants, quality, grid)[0]


def scans_of(root: Path, pooling: int = 2) -> dict[str, GroupScans]:
    folder = root / "02_intermediate"
    stores = (folder / "volumes.store", folder / "vectors.store")
    return {
        group: GroupScans(tuple(modalities), *stores, pooling)
        for group, modalities in GRID.imaging.items()
    }


def work_of(
    people: People | dict[int, People],
    settings: Modelling = MODELLING,
    scans: Scans | None = None,
    folder: Path = Path("nowhere"),
    **others: object,
) -> Work:
    """What the work items of a run on some people rest on."""
    folds = people if isinstance(people, dict) else {people.fold: people}
    given = {"grid": GRID, "compute": Compute(workers=1), "seed": 5} | others
    return Work(folder, folds, scans or Scans(scans_of(folder), "q"), settings=settings, **given)
