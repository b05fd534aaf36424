"""Runs of the benchmark of depth: what each is given, where it is, and which come first.

Cohorts of 5,000 people at 6 mm, of which a fifth is tested. All runs of a cohort read the same
scans, people and split; those that change less than a training share its models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import record
from benchmarks.null import people_of
from benchmarks.runs import kedro_run, linked
from benchmarks.skills import parameters, study_grid
from benchmarks.strategies import SHARED, merged, regressions
from ukb_brain.cluster import Compute
from ukb_brain.grid import Cell, Grid
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger import run_ledger
from ukb_brain.ledger.artifact import Card, ModelFolder
from ukb_brain.training.dedicated import drawn_cells, train_dedicated
from ukb_brain.training.items import Work, dedicated_items
from ukb_brain.training.people import People
from ukb_brain.training.scans import gather_scans
from ukb_brain.training.settings import DEDICATED, Modelling

SEEDS = (1, 2)
PRESET = "benchmark"
COHORT = {"participants": 5000, "voxel_mm": 6, "depth": True, "reference_people": 50_000}
# A tenth, as is usual, would leave shares of a margin that are known to a third of it only.
SPLITTING = {"train": 0.72, "validation": 0.08, "test": 0.2}
# Averages of two voxels, as the preset has them, leave nothing of the texture.
ENCODERS: dict[str, Any] = {"network": {"pooling": 1}}
ADAPTED = ENCODERS | {"refine": {"rank": 4, "epochs": 10, "patience": 3}}
# Heads neither averaged with what has no network, nor refined by the ladder.
ALONE = {"average": ["head"], "ladder": False}
CELLS = 24
# Each cell's network is trained for each of these, and the one that validation people prefer is it.
LENGTHS, PATIENCE = (10, 30), 8
# What is planted deep at 6 mm, and a control that is not: targets, and what each reads of images.
TRUTHS = {
    "age": "texture of the rim",
    "weight": "sign by sex",
    "hypertension": "sign by sex",
    "sensitivity": "sign by sex",
    "body_fat": "linear control",
}
CONTROL = "body_fat"
FIRST_MODELS = ("steps", "vectors", "grams", "kernels")


@dataclass(frozen=True)
class Run:
    """A run of modelling: what it changes, and whose models it shares."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    shares: tuple[str, ...] = ()


# In the order in which they are made.
RUNS = {
    "map": Run(),
    "heads": Run(ALONE, "map", (*FIRST_MODELS, "encoders")),
    "adapted": Run({"encoders": ADAPTED}, "map", FIRST_MODELS),
    "adapted heads": Run(
        ALONE | {"encoders": ADAPTED}, "adapted", (*FIRST_MODELS, "encoders")
    ),
}


def root_of(seed: int, run: str = "map") -> Path:
    """Name the data root of a cohort, or that of a run which shares its scans."""
    tail = "" if run == "map" else f"_{run.replace(' ', '_')}"
    return record.WORK / f"depth_{seed}{tail}"


def params(seed: int, run: str = "map") -> dict[str, Any]:
    """Give the runtime parameters of a run."""
    chosen = {"strategies": ["linear", "kernels", "amortised"], "encoders": ENCODERS}
    modelling = chosen | dict(RUNS[run].changes)
    return {"preset": PRESET, "seed": seed, "splitting": SPLITTING, "modelling": modelling}


def deep_cells(grid: Grid) -> dict[str, Cell]:
    """Find the cell of each truth: structural images, and as little else as there is."""
    return {
        target: min(
            (c for c in grid.cells if c.target == target and "structural" in c.inputs.groups),
            key=lambda c: len(c.inputs.groups) + len(c.inputs.blocks),
        )
        for target in TRUTHS
    }
