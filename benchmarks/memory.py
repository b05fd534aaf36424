"""The memory benchmark: modelling at 1,000 and at 4,000 participants.

Small images of random numbers, read anew in each epoch, so that nothing may grow with the cohort
but what must: tables of traits, the columns of a target's regressions, and predictions.
"""

from __future__ import annotations

import json
import shutil

from rich.console import Console
from rich.table import Table

from benchmarks.random_cohort import write_cohort
from benchmarks.record import WORK, Figure
from benchmarks.watch import Watched, kedro, watch
from ukb_brain.atomic import atomic_path

PEOPLE = (1_000, 4_000)
VOXELS, EDGES = (10, 12, 10), 300
# Scans are never kept, and the smallest networks do: no more epochs than needed to reach a peak.
PARAMS = {
    "preset": "test",
    "modelling.encoders.cache_gb": 0,
    "modelling.dedicated.cache_gb": 0,
    "modelling.encoders.loop.epochs": 1,
    "modelling.dedicated.loop.epochs": 1,
    "compute.workers": 2,
}
MOST_GROWTH = 0.10


def peak_of(people: int) -> Watched:
    """Run modelling on a random cohort, or read what was measured before.

    Parameters
    ----------
    people : int
        Of the cohort.

    Returns
    -------
    Watched
    """
    root = WORK / "memory" / str(people)
    saved = root / "peak.json"
    if not saved.exists():
        write_cohort(root, people, VOXELS, EDGES)
        for folder in ("06_models", "07_model_output"):
            shutil.rmtree(root / folder, ignore_errors=True)
        watched = watch(kedro("modelling", {"data_root": root} | PARAMS), root / "modelling.log")
        with atomic_path(saved) as part:
            part.write_text(json.dumps(vars(watched)))
    return Watched(**json.loads(saved.read_text()))


def measure() -> list[Figure]:
    """Compare the peaks of both sizes.

    Returns
    -------
    list of Figure
        Both peaks, and how much larger the second is.
    """
    table = Table(title="Memory of modelling, all processes together")
    for column in ("people", "peak, MB", "first process", "largest worker", "seconds"):
        table.add_column(column, justify="right")
    peaks, figures = {}, []
    for people in PEOPLE:
        print(f"{people} participants …", flush=True)
        peaks[people] = found = peak_of(people)
        numbers = (found.peak, found.first, found.largest, found.seconds)
        table.add_row(f"{people:,}", *(f"{number:.0f}" for number in numbers))
        more = {"first_process": round(found.first), "largest_worker": round(found.largest)}
        figures.append(Figure(f"memory, {people:,} people", found.peak, "MB", "", None, more))
    growth = peaks[PEOPLE[1]].peak / peaks[PEOPLE[0]].peak - 1
    Console().print(table)
    print(f"{PEOPLE[1]:,} people take {growth:+.1%} against {PEOPLE[0]:,}.")
    name = f"memory, growth from {PEOPLE[0]:,} to {PEOPLE[1]:,} people"
    figures.append(Figure(name, growth, "", f"≤ {MOST_GROWTH}", growth <= MOST_GROWTH))
    shutil.rmtree(WORK / "memory", ignore_errors=True)
    return figures
