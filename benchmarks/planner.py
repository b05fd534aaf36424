"""The planner benchmark: what `kedro run --pipelines plan` predicts, against what then is measured.

Two small settings on random cohorts, one process. Each is saved when it is done.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.random_cohort import write_cohort
from benchmarks.record import WORK, Figure
from benchmarks.watch import kedro, watch
from ukb_brain.atomic import atomic_path

# Predicted over measured.
WITHIN = 0.25
EDGES = 300
KINDS = ("references", "tangents", "grams", "kernels", "encoders", "cells", "dedicated")


@dataclass(frozen=True)
class Setting:
    """One that is predicted and measured, with the networks of preset ``test``.

    Attributes
    ----------
    folder : str
        Of its cohort.
    people, epochs, cells : int
        Of the cohort, of every network, and of the dedicated strategy.
    more : dict
        Further parameters.
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
    """Plan a setting.

    Parameters
    ----------
    setting : Setting
        What is asked.
    root : Path
        Data root; its stores are read for their speed.

    Returns
    -------
    dict of str to float
        Seconds of the amortised and the dedicated strategy and of both, and bytes.
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
    """Do the work of a setting.

    Parameters
    ----------
    setting : Setting
        What is asked.
    root : Path
        Data root.

    Returns
    -------
    dict of str to float
        As `predicted`.
    """
    for folder in ("06_models", "07_model_output"):
        shutil.rmtree(root / folder, ignore_errors=True)
    found = watch(kedro("modelling", {"data_root": root} | setting.params), root / "run.log")
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


def compared(name: str) -> dict[str, dict[str, float]]:
    """Predict and measure a setting, or read what was found before.

    Parameters
    ----------
    name : str
        Among `SETTINGS`.

    Returns
    -------
    dict of str to dict of str to float
        ``predicted`` and ``measured``.
    """
    setting = SETTINGS[name]
    root = WORK / "planner" / setting.folder
    saved = root / "compared.json"
    if not saved.exists():
        write_cohort(root, setting.people, VOXELS, EDGES)
        both = {"predicted": predicted(setting, root), "measured": measured(setting, root)}
        with atomic_path(saved) as part:
            part.write_text(json.dumps(both))
    return json.loads(saved.read_text())


def measure() -> list[Figure]:
    """Compare both settings.

    Returns
    -------
    list of Figure
        Predicted over measured seconds, memory and disk.
    """
    table = Table(title="Planner: predicted against measured")
    for column in ("setting", "of", "predicted", "measured", "ratio", f"within {WITHIN:.0%}"):
        table.add_column(column)
    figures = []
    units = {"memory": "MB", "disk": "MB"}
    for name in SETTINGS:
        print(f"{name} …", flush=True)
        both = compared(name)
        for what, found in both["measured"].items():
            asked, unit = both["predicted"][what], units.get(what, "s")
            ratio = asked / found
            holds = abs(ratio - 1) <= WITHIN
            numbers = (f"{asked:.0f} {unit}", f"{found:.0f} {unit}", f"{ratio:.2f}")
            table.add_row(name, what, *numbers, "holds" if holds else "missed")
            more = {"predicted": round(asked, 1), "measured": round(found, 1)}
            goal = f"{1 - WITHIN} to {1 + WITHIN}"
            figures.append(
                Figure(
                    f"planner, {name}: {what}, predicted over measured",
                    ratio,
                    "",
                    goal,
                    holds,
                    more,
                )
            )
    Console(width=120).print(table)
    shutil.rmtree(WORK / "planner", ignore_errors=True)
    return figures
