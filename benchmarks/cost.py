"""The cost benchmark: seconds and memory of each command on the demo, against its budget."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.record import WORK, Figure

PROJECT = Path(__file__).parents[1]
# Seconds allowed on two cores without a GPU. Modelling is timed by itself after the whole run, with
# its models and predictions deleted, and then reporting.
BUDGETS = {"generation": 180, "kedro run": 480, "modelling": 240, "reporting": 90}
COMMANDS = {
    "generation": ["--pipelines", "synthetic_cohort"],
    "kedro run": [],
    "modelling": ["--pipelines", "modelling"],
    "reporting": ["--pipelines", "reporting"],
}
MOST_MEMORY_MB = 4000


def _memory_mb(leader: int) -> int:
    """Proportional memory of all processes of a session."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            session = int((process / "stat").read_text().rpartition(")")[2].split()[3])
            if session != leader:
                continue
            for line in (process / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total // 1024


def _timed(arguments: list[str]) -> tuple[float, int]:
    kedro = str(Path(sys.executable).with_name("kedro"))
    root = WORK / "cost"
    command = [kedro, "run", *arguments, "--params", f"data_root={root}"]
    started, peak = time.monotonic(), 0
    run = subprocess.Popen(
        command,
        cwd=PROJECT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while run.poll() is None:
        peak = max(peak, _memory_mb(run.pid))
        time.sleep(1)
    if run.returncode:
        sys.exit(f"{' '.join(command)} failed; run it by itself to see why.")
    return time.monotonic() - started, peak


def measure() -> list[Figure]:
    """Time the commands of ``make run`` on an empty folder.

    Returns
    -------
    list of Figure
        Seconds and memory of each.
    """
    shutil.rmtree(WORK / "cost", ignore_errors=True)
    table = Table(title="Cost of the demo")
    for column in ("command", "seconds", "budget", "memory of all processes, MB"):
        table.add_column(column)
    figures = []
    for name, arguments in COMMANDS.items():
        if name == "modelling":
            for made in ("06_models", "07_model_output"):
                shutil.rmtree(WORK / "cost" / made)
        seconds, peak = _timed(arguments)
        table.add_row(name, f"{seconds:.0f}", str(BUDGETS[name]), f"{peak} of {MOST_MEMORY_MB}")
        within, fits = seconds <= BUDGETS[name], peak <= MOST_MEMORY_MB
        figures += [
            Figure(f"cost, {name}: seconds", seconds, "s", f"≤ {BUDGETS[name]}", within),
            Figure(f"cost, {name}: memory", float(peak), "MB", f"≤ {MOST_MEMORY_MB}", fits),
        ]
    Console().print(table)
    shutil.rmtree(WORK / "cost", ignore_errors=True)
    return figures
