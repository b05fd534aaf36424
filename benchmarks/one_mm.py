"""From zips of 1 mm to a trained map at the study's 64³: seconds and disk of each step.

200 synthetic people whose scans have UK Biobank's own shapes, with the demo's networks, so that it
ends on two cores. What is done is kept: a benchmark that was stopped goes on.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.record import WORK, Figure, kept, show
from benchmarks.runs import kedro_run
from benchmarks.truth import compared
from ukb_brain.imaging.store import open_store

PEOPLE = 200
ROOT = WORK / "one_mm"
PARAMS = {
    "synthetic_cohort": {"participants": PEOPLE, "voxel_mm": 1},
    "imaging_preprocess": {"common_grid": "study64"},
}
STEPS = {
    "generating": "synthetic_cohort",
    "tables": "data_engineering,feature_tabular",
    "preprocessing": "imaging_preprocess",
    "modelling": "modelling",
    "reporting": "reporting",
}
MODALITIES = ("t1", "flair", "dwi")


def _step(pipelines: str) -> dict[str, float]:
    return {"seconds": kedro_run(ROOT, pipelines, PARAMS)}


def _size(folder: Path) -> float:
    """Measure a folder in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def measure() -> list[Figure]:
    """Take every step, and compare the map with the truth."""
    rows, seconds = [], {}
    for name, pipelines in STEPS.items():
        seconds[name] = kept(ROOT / f"{name}.json", partial(_step, pipelines))["seconds"]
        rows.append([name, f"{seconds[name]:.0f}"])
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
    show(f"{PEOPLE} people, zips of 1 mm to a map at 64³", ("step", "seconds"), rows)
    store = open_store(ROOT / "02_intermediate/volumes.store")
    volumes = sum(len(store.keys(modality)) for modality in MODALITIES)
    both = compared(ROOT)
    cells = pd.read_parquet(ROOT / "08_reporting/performance.parquet")
    age = both[(both["target"] == "age") & (both["inputs"] == "FLAIR + T1")].iloc[0]
    more = {
        "seconds": {name: round(value) for name, value in seconds.items()},
        "MB of zips": round(_size(ROOT / "01_raw")),
        "MB in the store": round(_size(store.path), 1),
        "volumes": volumes,
        "cells": len(cells),
        "cells trained": int((cells["status"] == "ok").sum()),
    }
    print(more, flush=True)
    ranks = float(both["skill"].corr(both["reachable_skill"], method="spearman"))
    skill = {
        "low": age["skill_low"],
        "high": age["skill_high"],
        "reachable": age["reachable_skill"],
    }
    name = f"1 mm to 64³, {PEOPLE} people"
    figures = [
        Figure(f"{name}: minutes", sum(seconds.values()) / 60, "min", more=more),
        Figure(
            f"{name}: R² of age from T1 and FLAIR",
            float(age["skill"]),
            more={key: round(float(value), 3) for key, value in skill.items()},
        ),
        Figure(f"{name}: rank correlation of achieved and reachable skill", ranks),
    ]
    shutil.rmtree(ROOT, ignore_errors=True)
    return figures
