"""The memory benchmark: modelling at 1,000 and at 4,000 participants.

Small images of random numbers, read anew in each epoch, so that nothing may grow with the cohort
but what must: tables of traits, the columns of a target's regressions, and predictions.
"""

from __future__ import annotations

import shutil

from benchmarks.random_cohort import write_cohort
from benchmarks.record import WORK, Figure, kept, show
from benchmarks.watch import Watched, watch_modelling

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


def _peak_of(people: int) -> dict[str, float]:
    root = WORK / "memory" / str(people)
    write_cohort(root, people, VOXELS, EDGES)
    return vars(watch_modelling(root, PARAMS))


def measure() -> list[Figure]:
    """Compare the peaks of both sizes."""
    peaks, figures, rows = [], [], []
    for people in PEOPLE:
        print(f"{people} participants …", flush=True)
        saved = WORK / "memory" / f"{people}.json"
        found = Watched(**kept(saved, lambda people=people: _peak_of(people)))
        peaks.append(found.peak)
        numbers = (found.peak, found.first, found.largest, found.seconds)
        rows.append([f"{people:,}", *(f"{number:.0f}" for number in numbers)])
        more = {"first_process": round(found.first), "largest_worker": round(found.largest)}
        figures.append(Figure(f"memory, {people:,} people", found.peak, "MB", more=more))
    growth = peaks[1] / peaks[0] - 1
    heads = ("people", "peak, MB", "first process", "largest worker", "seconds")
    show("Memory of modelling, all processes together", heads, rows)
    print(f"{PEOPLE[1]:,} people take {growth:+.1%} against {PEOPLE[0]:,}.")
    name = f"memory, growth from {PEOPLE[0]:,} to {PEOPLE[1]:,} people"
    shutil.rmtree(WORK / "memory", ignore_errors=True)
    return [*figures, Figure.at_most(name, growth, MOST_GROWTH)]
