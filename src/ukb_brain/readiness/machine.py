"""What the machine has, and how much memory and disk a run will need."""

import os
import shutil
from pathlib import Path

import torch

from ukb_brain.cluster import Compute, pick_device, processors, visible_gpus
from ukb_brain.planning import Case
from ukb_brain.planning.needs import FILED, model_bytes, prediction_rows, process_needs, store_bytes
from ukb_brain.readiness.findings import Readiness
from ukb_brain.training.settings import AMORTISED, DEDICATED, KERNELS, LINEAR

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


def check_needs(ready: Readiness, case: Case, compute: Compute, data_root: Path) -> None:
    """Say how much memory and disk the largest arrays of a run take; nothing is run.

    Hours, and what a network itself takes, are for a plan to tell.
    """
    strategies = case.modelling.strategies
    needs = process_needs(case)
    if AMORTISED not in strategies:
        needs.pop("encoders")
    if DEDICATED not in strategies:
        needs.pop("dedicated")
    largest = max(needs, key=needs.__getitem__)
    each, processes = needs[largest] / GB, compute.processes
    words = f"at most {each:,.1f} GB a process beside the program, for {largest}; {processes} work"
    ready.found("cost", "memory", words)
    last = next(s for s in (AMORTISED, KERNELS, LINEAR, DEDICATED) if s in strategies)
    rows = {prediction_rows(case, s) for s in (last, DEDICATED) if s in strategies}
    sizes = {
        # Of all visits, and not only of those that are modelled.
        "scans": store_bytes(case) * max(1.0, ready.visits / case.parts.people) / GB,
        "matrices and vectors of people": model_bytes(case) / GB,
        "predictions": FILED * sum(rows) / GB,
    }
    for what, size in sizes.items():
        ready.found("cost", what, f"about {size:,.1f} GB on disk")
    needed = sum(sizes.values()) + SPARE_GB
    free = shutil.disk_usage(existing_part(data_root)).free / GB
    ready.found("cost", "disk", f"about {needed:,.1f} GB, {free:,.0f} GB are free")
    ready.found("cost", "hours", "kedro run --pipelines plan tells them")
    if needed > free:
        ready.warn(
            f"the run would need about {needed:,.1f} GB of disk, and {free:,.1f} GB are free "
            f"under {data_root}",
            "free some, or name a data root on a larger disk (--params data_root=…); what is "
            "stored already counts as used",
        )
