"""Where figures of benchmarks are kept."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ukb_brain.atomic import atomic_path
from ukb_brain.cluster import processors

RESULTS = Path(__file__).with_name("results.json")
WORK = Path(__file__).with_name("work")


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes
    ----------
    name : str
        What was measured.
    value : float
        Of it.
    unit, goal : str
        Empty where there is none.
    holds : bool or None
        Whether the goal is reached; None without a goal.
    more : dict
        Further entries, such as a standard error.
    """

    name: str
    value: float
    unit: str
    goal: str
    holds: bool | None
    more: dict[str, Any] = field(default_factory=dict)


def write_section(page: Path, name: str, text: str) -> None:
    """Write a benchmark's own section of a page; what else the page holds stays.

    Parameters
    ----------
    page : Path
        In Markdown.
    name : str
        Of the section, which two comments mark.
    text : str
        Of the section.
    """
    start, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->\n"
    there = page.read_text() if page.exists() else ""
    before, _, rest = there.partition(start)
    after = rest.partition(end)[2]
    gap = "\n" if before and not rest else ""
    with atomic_path(page) as part:
        part.write_text(f"{before}{gap}{start}{text}{end}{after}")


def machine() -> str:
    """Describe this machine in a few words.

    Returns
    -------
    str
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.machine()}, {processors()} cores, {memory:.0f} GiB, no GPU"


def record(figures: list[Figure]) -> None:
    """Write figures into results.json; others that are there stay.

    Parameters
    ----------
    figures : list of Figure
        As measured.
    """
    there = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for figure in figures:
        there[figure.name] = {
            "value": round(figure.value, 4),
            "unit": figure.unit,
            "goal": figure.goal,
            "holds": figure.holds,
            "machine": machine(),
            "when": date.today().isoformat(),
        } | figure.more
    with atomic_path(RESULTS) as part:
        part.write_text(json.dumps(there, indent=1, sort_keys=True) + "\n")
