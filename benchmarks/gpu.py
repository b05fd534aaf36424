"""The GPU benchmark: one prepared script, for one card and at most eight minutes.

``make bench ONLY=gpu``; or on a bare machine, in this folder's parent, with what docs/gpu.md lists
installed into a folder ``site``::

    PYTHONPATH=src:site python -m benchmarks.gpu --out FOLDER

A stage saves its line into the folder as soon as it ends, and is not done again; one that fails is
recorded with its error, and the next goes on. ``--toy`` does all of it on the processor, small.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# Before CUDA starts: without room of its own cuBLAS is not deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch

from benchmarks.on_gpu import alike, cohort, limits, planned, throughput, whole
from benchmarks.on_gpu.stages import Setup, Stage, run_stages
from benchmarks.record import WORK, Figure, record, show

# Seconds; together less than eight minutes.
STAGES = (
    Stage("cohort", 110, cohort.stage, cohort.figures),
    Stage("1", 30, alike.stage, alike.figures),
    Stage("2", 70, throughput.stage, throughput.figures),
    Stage("3", 105, whole.amortised, whole.figures_of_map),
    Stage("4", 70, whole.dedicated, whole.figures_of_cells),
    Stage("5", 45, planned.stage, planned.figures),
    Stage("6", 35, limits.stage, limits.figures),
)
NAMES = [stage.name for stage in STAGES]
NO_GPU = "no GPU here"
RESULTS = "results.json"


def run(setup: Setup, wanted: list[str]) -> list[Figure]:
    """Do some stages, print their figures and keep them in the folder."""
    figures = run_stages(STAGES, setup, wanted)
    rows = [
        [
            f.name,
            f"{f.value:.4g} {f.unit}",
            f.goal,
            {True: "holds", False: "missed"}.get(f.holds, ""),
        ]
        for f in figures
    ]
    show("TOY, on the processor" if setup.toy else "One card", ("figure", "", "goal", ""), rows)
    record(figures, setup.out / RESULTS)
    return figures


def measure() -> list[Figure]:
    """Do all stages, where there is a card."""
    if not torch.cuda.is_available():
        print(NO_GPU)
        return []
    return run(Setup.here(WORK / "gpu"), NAMES)


def main() -> None:
    """Do what was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=WORK / "gpu", help="where lines are saved")
    parser.add_argument("--stages", default=",".join(NAMES), help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--toy", action="store_true", help="small, on the processor")
    asked = parser.parse_args()
    wanted = asked.stages.split(",")
    if unknown := sorted({*wanted} - {*NAMES}):
        parser.error(f"there is no stage {unknown[0]!r}; there are {', '.join(NAMES)}")
    if not asked.toy and not torch.cuda.is_available():
        print(NO_GPU)
        return
    out = asked.out.resolve()
    run(Setup.small(out) if asked.toy else Setup.here(out), wanted)


if __name__ == "__main__":
    main()
