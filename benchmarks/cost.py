"""The cost benchmark: seconds and memory of each command on the demo, against its budget."""

from __future__ import annotations

import shutil

from benchmarks.record import WORK, Figure, show
from benchmarks.watch import kedro, watch, watch_modelling

# Pipelines, and seconds allowed on two cores without a GPU. Modelling is timed by itself after the
# whole run, with its models and predictions deleted, and then reporting.
COMMANDS = {
    "generation": ("synthetic_cohort", 180),
    "kedro run": ("", 480),
    "modelling": ("modelling", 240),
    "reporting": ("reporting", 90),
}
MOST_MEMORY_MB = 4000


def measure() -> list[Figure]:
    """Time the commands of ``make run`` on an empty folder."""
    root = WORK / "cost"
    shutil.rmtree(root, ignore_errors=True)
    figures, rows = [], []
    for name, (pipelines, budget) in COMMANDS.items():
        if name == "modelling":
            took = watch_modelling(root, {})
        else:
            took = watch(kedro(pipelines, {"data_root": root}), WORK / "cost.log")
        memory = f"{took.peak:.0f} of {MOST_MEMORY_MB}"
        rows.append([name, f"{took.seconds:.0f}", str(budget), memory])
        figures += [
            Figure.at_most(f"cost, {name}: seconds", took.seconds, budget, "s"),
            Figure.at_most(f"cost, {name}: memory", took.peak, MOST_MEMORY_MB, "MB"),
        ]
    heads = ("command", "seconds", "budget", "memory of all processes, MB")
    show("Cost of the demo", heads, rows)
    shutil.rmtree(root, ignore_errors=True)
    return figures
