"""Seconds and peak memory of a command with all its processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SECONDS_BETWEEN = 0.2


@dataclass(frozen=True)
class Watched:
    """What a command took.

    Attributes
    ----------
    seconds : float
        From start to end.
    peak : float
        Most proportional memory (PSS) of all its processes together, in MB.
    first, largest : float
        Most of the first process alone, and of the largest of the others, in MB.
    """

    seconds: float
    peak: float
    first: float
    largest: float


def memory_mb(session: int) -> dict[int, float]:
    """Measure the proportional memory of each process of a session.

    Parameters
    ----------
    session : int
        Number of its leader.

    Returns
    -------
    dict of int to float
        MB by process.
    """
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
    """Run a command to its end; stop the benchmark if it fails.

    Parameters
    ----------
    command : sequence of str
        With its arguments.
    log : Path
        Where its words go.

    Returns
    -------
    Watched
    """
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
    """Write a command that runs pipelines.

    Parameters
    ----------
    pipelines : str
        Names, with commas between them.
    params : dict
        Of ``--params``.

    Returns
    -------
    list of str
    """
    given = ",".join(f"{name}={value}" for name, value in params.items())
    program = str(Path(sys.executable).with_name("kedro"))
    return [program, "run", "--pipelines", pipelines, "--params", given]
