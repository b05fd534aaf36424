"""Seconds and peak memory of a command with all its processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.runs import PROJECT

SECONDS_BETWEEN = 0.2


@dataclass(frozen=True)
class Watched:
    """What a command took: seconds, and the most proportional memory (PSS), in MB.

    ``peak`` is of all its processes together, ``first`` of the first alone, ``largest`` of the
    largest of the others.
    """

    seconds: float
    peak: float
    first: float
    largest: float


def memory_mb(session: int) -> dict[int, float]:
    """Measure the proportional memory of each process of a session, which its leader numbers."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            lines = (process / "smaps_rollup").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, IndexError, ValueError, StopIteration):
            # It ended while it was looked at.
            continue
        found[int(process.name)] = kilobytes / 1024
    return found


def watch(command: Sequence[str], log: Path) -> Watched:
    """Run a command to its end, with its words in a log; stop the benchmark if it fails."""
    started, peak, first, largest = time.monotonic(), 0.0, 0.0, 0.0
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as words:
        run = subprocess.Popen(
            command, cwd=PROJECT, start_new_session=True, stdout=words, stderr=words
        )
        while run.poll() is None:
            now = memory_mb(run.pid)
            peak, first = max(peak, sum(now.values())), max(first, now.pop(run.pid, 0.0))
            largest = max(largest, *now.values(), 0.0)
            time.sleep(SECONDS_BETWEEN)
    if run.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-3000:]}")
    return Watched(time.monotonic() - started, peak, first, largest)


def kedro(pipelines: str, params: Mapping[str, object]) -> list[str]:
    """Write a command that runs pipelines, with commas between them, or by default all."""
    given = ",".join(f"{name}={value}" for name, value in params.items())
    program = str(Path(sys.executable).with_name("kedro"))
    which = ["--pipelines", pipelines] if pipelines else []
    return [program, "run", *which, "--params", given]


def watch_modelling(root: Path, params: Mapping[str, object]) -> Watched:
    """Run modelling anew on a data root."""
    for made in ("06_models", "07_model_output"):
        shutil.rmtree(root / made, ignore_errors=True)
    return watch(kedro("modelling", {"data_root": root} | dict(params)), root / "modelling.log")
