"""What the machine has, and what a run would cost on it by stored rates."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from ukb_brain.cluster import Compute, pick_device, processors, visible_gpus
from ukb_brain.planning import Case, StoredRates, plan_table, rates_from
from ukb_brain.readiness.findings import Readiness

GB = 1e9
# Room for tables, figures and what is written beside them before it is renamed.
SPARE_GB = 2.0


def existing_part(path: Path) -> Path:
    """Find the nearest folder at or above a path that is there already."""
    whole = path.resolve()
    return next(folder for folder in (whole, *whole.parents) if folder.exists())


def check_machine(ready: Readiness, data_root: Path, compute: Compute) -> None:
    """Note disk (where results go), memory, processors and devices."""
    free = shutil.disk_usage(existing_part(data_root)).free / GB
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    ready.found("machine", "disk", f"{free:,.0f} GB free where results go")
    ready.found("machine", "memory", f"{memory:,.0f} GB")
    ready.found("machine", "processors", f"{processors()}, of which {compute.processes} work")
    if compute.device == "cuda" and not torch.cuda.is_available():
        ready.stop(
            "compute.device is cuda, and torch finds no CUDA device here",
            "set compute.device to auto, or see docs/gpu.md",
        )
        return
    device = pick_device(compute.device).type
    names = [torch.cuda.get_device_name(k) for k in range(len(visible_gpus()))]
    words = ", ".join(names) if device == "cuda" else device
    ready.found("machine", "devices", f"networks train on {words}")


def check_cost(
    ready: Readiness, case: Case, stored: StoredRates, compute: Compute, data_root: Path
) -> None:
    """Foresee hours, memory and disk of a run by stored rates; nothing is measured.

    The case has the run's own settings and number of people; scans of all visits that are ready
    would be preprocessed.
    """
    asked = compute.device if compute.device != "cuda" or torch.cuda.is_available() else "cpu"
    device = pick_device(asked).type
    others = compute.processes
    cards = others if device == "cpu" else max(1, len(visible_gpus()))
    planned = case.planning.model_copy(update={"devices": (cards,)})
    own = replace(case, planning=planned)
    plan = plan_table([own], {own.name: rates_from(own, stored, device)}, others)
    plan = plan[plan["strategy"].isin(case.modelling.strategies) & plan["devices"].notna()]
    scans = stored.preprocessing(case.voxels, ready.visits) / others / 3600
    ready.found("cost", "scans", f"about {_hours(scans)} to preprocess those of all imaging visits")
    for row in plan.to_dict("records"):
        words = (
            f"about {_hours(row['hours'])}; {row['process_gb']:,.1f} GB of memory a process, "
            f"{row['models_gb']:,.1f} GB of models and predictions"
        )
        ready.found("cost", row["strategy"], words)
    needed = float(plan["scans_gb"].max() + plan["models_gb"].sum()) + SPARE_GB
    free = shutil.disk_usage(existing_part(data_root)).free / GB
    ready.found("cost", "disk", f"about {needed:,.1f} GB, {free:,.0f} GB are free")
    if needed > free:
        ready.warn(
            f"the run would need about {needed:,.1f} GB of disk, and {free:,.1f} GB are free "
            f"under {data_root}",
            "free some, or name a data root on a larger disk (--params data_root=…); what is "
            "stored already counts as used",
        )


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return "a minute"
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:,.1f} hours" if hours < 100 else f"{hours:,.0f} hours"
