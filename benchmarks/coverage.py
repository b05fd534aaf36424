"""How often nominal 95 % intervals hold the truth, in samples small and large, easy and hard.

Each condition is kept when done. All of them are written to coverage.csv beside this file, and
what the recommended intervals cover to docs/coverage.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.record import WORK, Figure, kept
from benchmarks.simulated_coverage import simulate_binary, simulate_continuous
from ukb_brain.atomic import atomic_path
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.kinds import (
    BELOW_AUC,
    BINARY,
    CONTINUOUS,
    KINDS,
    LEAST_MISRANKED,
    LEAST_OF_CLASS,
    LEAST_PEOPLE,
)

REPLICATES, DRAWS = 2000, 1000
CLASSES = ((10, 10), (30, 30), (100, 100), (10, 90), (30, 270))
AREAS = (0.5, 0.7, 0.9, 0.96, 0.97, 0.99)
PEOPLE, CORRELATIONS = (20, 60, 200), (0.0, 0.3, 0.7, 0.95)
SAVED = WORK / "coverage"
TABLE = Path(__file__).with_name("coverage.csv")
PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
LOWEST, HIGHEST = 0.93, 0.97

INTRODUCTION = f"""# Coverage of the intervals

How often the report's 95 % intervals hold the truth, in {REPLICATES} simulated samples a row with
{DRAWS} bootstrap draws each; the median width is in brackets. Written by `benchmarks/coverage.py`;
`benchmarks/coverage.csv` has the other intervals too. The standard error of a coverage near 95 %
is half a point. Rows in italics are those whose intervals the report marks: fewer than
{LEAST_OF_CLASS} people in a class, an AUC of {BELOW_AUC:g} or more, so few people in the smaller
class that this number times the share of pairs ranked wrongly is below {LEAST_MISRANKED:g}, or
fewer than {LEAST_PEOPLE} people. In the others 93 to 97 % was held. People are unrelated, and
classes have the sizes that are given on average.
"""


def conditions() -> list[tuple[str, bool, dict[str, float], Callable[[], pd.DataFrame]]]:
    """List what is simulated.

    Kind, whether the report takes the interval for validated, settings, and the simulation.
    """
    found: list[tuple[str, bool, dict[str, float], Callable[[], pd.DataFrame]]] = []
    for n_pos, n_neg in CLASSES:
        for auc in AREAS:
            inside = BINARY.validated(min(n_pos, n_neg), auc)
            run = partial(simulate_binary, n_pos, n_neg, auc, REPLICATES, DRAWS, 1)
            found.append(("binary", inside, {"n_pos": n_pos, "n_neg": n_neg, "auc": auc}, run))
    for n in PEOPLE:
        for r in CORRELATIONS:
            run = partial(simulate_continuous, n, r, REPLICATES, DRAWS, 1)
            found.append(("continuous", CONTINUOUS.validated(n, r), {"n": n, "r": r}, run))
    return found


def measure() -> list[Figure]:
    """Simulate every condition, and write both tables.

    Lowest and highest coverage are of recommended intervals that the report does not mark: what it
    marks is not held to the goal, and nothing else is left out.
    """
    SAVED.mkdir(parents=True, exist_ok=True)
    parts, pages = [], {kind: [_header(kind)] for kind in KINDS}
    for kind, inside, settings, run in conditions():
        path = SAVED / f"{'_'.join(f'{name}{value:g}' for name, value in settings.items())}.csv"
        found = kept(path, run)
        parts.append(found.assign(kind=kind, inside=inside, **settings))
        pages[kind].append(_row(kind, settings, found))
        print(pages[kind][-1])
    every = pd.concat(parts, ignore_index=True)
    front = ["kind", "n_pos", "n_neg", "auc", "n", "r", "inside"]
    every = every[[*front, *(name for name in every if name not in front)]]
    with atomic_path(TABLE) as part:
        every.round(4).to_csv(part, index=False)
    tables = "\n".join("\n".join(rows) + "\n" for rows in pages.values())
    with atomic_path(PAGE) as part:
        part.write_text(f"{INTRODUCTION}\n{tables}")
    recommended = every[every["method"] == every["metric"].map(RECOMMENDED)]
    known = recommended.loc[recommended["inside"], "coverage"]
    goal = f"{LOWEST} to {HIGHEST}"
    holds = bool(known.between(LOWEST, HIGHEST).all())
    return [
        Figure("coverage: lowest of a recommended interval", known.min(), "", goal, holds),
        Figure("coverage: highest of a recommended interval", known.max(), "", goal, holds),
    ]


def _header(kind: str) -> str:
    settings = "positives | negatives | AUC" if kind == "binary" else "people | r"
    names = [f"{metric} ({RECOMMENDED[metric]})" for metric in KINDS[kind].metrics]
    row = f"| {settings} | {' | '.join(names)} |"
    return f"{row}\n|{' --- |' * (row.count('|') - 1)}"


def _row(kind: str, settings: dict[str, float], found: pd.DataFrame) -> str:
    by = found.set_index(["metric", "method"])
    cells = [f"{value:g}" for value in settings.values()]
    for metric in KINDS[kind].metrics:
        one = by.loc[(metric, RECOMMENDED[metric])]
        cells.append(f"{100 * one['coverage']:.1f} ({one['width']:.2f})")
    values = tuple(settings.values())
    known = (
        BINARY.validated(int(min(values[:2])), values[2])
        if kind == "binary"
        else CONTINUOUS.validated(int(values[0]), values[1])
    )
    return f"| {' | '.join(cell if known else f'*{cell}*' for cell in cells)} |"
