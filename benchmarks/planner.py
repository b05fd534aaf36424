"""The planner benchmark: what `kedro run --pipelines plan` predicts, against what then is measured.

Two small settings on random cohorts, one process. Each is kept when it is done.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmarks.random_cohort import write_cohort
from benchmarks.record import WORK, Figure, kept, show
from benchmarks.watch import kedro, watch, watch_modelling

# Predicted over measured.
WITHIN = 0.25
EDGES = 300
KINDS = ("steps", "vectors", "grams", "kernels", "encoders", "cells", "dedicated")


@dataclass(frozen=True)
class Setting:
    """One that is predicted and measured, with the networks of preset ``test``.

    ``epochs`` are of every network, ``cells`` of the dedicated strategy.
    """

    folder: str
    people: int
    epochs: int
    cells: int
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, object]:
        """What both commands are given."""
        return {
            "preset": PRESET,
            "compute.workers": 1,
            "modelling.encoders.loop.epochs": self.epochs,
            "modelling.dedicated.loop.epochs": self.epochs,
            "modelling.dedicated.cells": self.cells,
        } | dict(self.more)


PRESET, VOXELS = "test", (20, 24, 20)
WIDER = {
    "modelling.encoders.network.pooling": 1,
    "modelling.dedicated.network.pooling": 1,
    "modelling.encoders.cross_fits": 2,
}
SETTINGS = {
    "700 people, 8 epochs": Setting("many", 700, 8, 8),
    "400 people, full grid, 3 epochs": Setting("large", 400, 3, 6, WIDER),
}


def predicted(setting: Setting, root: Path) -> dict[str, float]:
    """Plan a setting, under a data root.

    Seconds of the amortised and the dedicated strategy and of both, and MB.
    """
    asked = {
        "data_root": root,
        "planning.presets": PRESET,
        "planning.participants": setting.people,
        "planning.edges": EDGES,
        "planning.dedicated_cells": setting.cells,
        "planning.devices": 1,
        # Twice the default: small settings are to be predicted well.
        "planning.seconds": 12,
    }
    watch(kedro("plan", asked | setting.params), root / "plan.log")
    plan = pd.read_parquet(root / "08_reporting/plan.parquet").set_index("strategy")
    plan = plan[plan["preset"] == PRESET]
    hours = {name: 3600 * float(plan.loc[name, "hours"]) for name in ("amortised", "dedicated")}
    memory = plan[["process_gb", "gather_gb"]].max(axis=None)
    disk = plan.loc[["amortised", "dedicated"], "models_gb"].sum()
    return hours | {
        "seconds": sum(hours.values()),
        "memory": float(memory) * 1e3,
        "disk": float(disk) * 1e3,
    }


def measured(setting: Setting, root: Path) -> dict[str, float]:
    """Do the work of a setting; as `predicted`."""
    found = watch_modelling(root, setting.params)
    seconds = {kind: sum(_seconds(root / "06_models" / kind)) for kind in KINDS}
    files = [p for f in ("06_models", "07_model_output") for p in (root / f).rglob("*")]
    amortised = sum(seconds[kind] for kind in KINDS if kind != "dedicated")
    return {
        "amortised": amortised,
        "dedicated": seconds["dedicated"],
        "seconds": amortised + seconds["dedicated"],
        "memory": found.peak * 2**20 / 1e6,
        "disk": sum(p.stat().st_size for p in files if p.is_file()) / 1e6,
    }


def _seconds(folder: Path) -> Iterator[float]:
    for card in folder.glob("*/card.json"):
        yield json.loads(card.read_text())["seconds"]


def compared(setting: Setting) -> dict[str, dict[str, float]]:
    """Predict and measure a setting."""
    root = WORK / "planner" / setting.folder
    write_cohort(root, setting.people, VOXELS, EDGES)
    return {"predicted": predicted(setting, root), "measured": measured(setting, root)}


def measure() -> list[Figure]:
    """Compare predicted with measured seconds, memory and disk of both settings."""
    figures, rows = [], []
    units = {"memory": "MB", "disk": "MB"}
    for name, setting in SETTINGS.items():
        print(f"{name} …", flush=True)
        saved = WORK / "planner" / f"{setting.folder}.json"
        both = kept(saved, lambda setting=setting: compared(setting))
        for what, found in both["measured"].items():
            asked, unit = both["predicted"][what], units.get(what, "s")
            ratio = asked / found
            holds = abs(ratio - 1) <= WITHIN
            numbers = (f"{asked:.0f} {unit}", f"{found:.0f} {unit}", f"{ratio:.2f}")
            rows.append([name, what, *numbers, "holds" if holds else "missed"])
            more = {"predicted": round(asked, 1), "measured": round(found, 1)}
            told = f"planner, {name}: {what}, predicted over measured"
            goal = f"{1 - WITHIN} to {1 + WITHIN}"
            figures.append(Figure(told, ratio, "", goal, holds, more))
    heads = ("setting", "of", "predicted", "measured", "ratio", f"within {WITHIN:.0%}")
    show("Planner: predicted against measured", heads, rows)
    shutil.rmtree(WORK / "planner", ignore_errors=True)
    return figures
