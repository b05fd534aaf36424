"""Where figures of benchmarks are kept, and how they are shown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from ukb_brain.atomic import atomic_path
from ukb_brain.cluster import processors

RESULTS = Path(__file__).with_name("results.json")
WORK = Path(__file__).with_name("work")


@dataclass(frozen=True)
class Figure:
    """One measured figure; ``holds`` says whether the goal is reached, None without a goal."""

    name: str
    value: float
    unit: str = ""
    goal: str = ""
    holds: bool | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def at_most(
        cls, name: str, value: float, most: float, unit: str = "", more: dict | None = None
    ) -> Figure:
        """Hold a figure against an upper limit."""
        return cls(name, value, unit, f"≤ {most:g}", bool(value <= most), more or {})

    @classmethod
    def at_least(
        cls, name: str, value: float, least: float, unit: str = "", more: dict | None = None
    ) -> Figure:
        """Hold a figure against a lower limit."""
        return cls(name, value, unit, f"≥ {least:g}", bool(value >= least), more or {})


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """Read what was measured before, or measure it: a benchmark that was stopped goes on.

    As the path ends, a table is kept in Parquet or CSV, all else in JSON.
    """
    if not path.exists():
        made = make()
        with atomic_path(path) as part:
            if path.suffix == ".parquet":
                made.to_parquet(part)
            elif path.suffix == ".csv":
                made.to_csv(part, index=False)
            else:
                part.write_text(json.dumps(made, indent=1))
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path) if path.suffix == ".csv" else json.loads(path.read_text())


def show(title: str, heads: Iterable[str], rows: Iterable[Sequence[str]], width: int = 150) -> None:
    """Print a table."""
    table = Table(*heads, title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=width).print(table)


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write_section(page: Path, name: str, text: str) -> None:
    """Write a benchmark's own section, which two comments mark, of a page; the rest stays."""
    start, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->\n"
    there = page.read_text() if page.exists() else ""
    before, _, rest = there.partition(start)
    after = rest.partition(end)[2]
    gap = "\n" if before and not rest else ""
    with atomic_path(page) as part:
        part.write_text(f"{before}{gap}{start}{text}{end}{after}")


def machine() -> str:
    """Describe this machine in a few words."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.machine()}, {processors()} cores, {memory:.0f} GiB, {card}"


def record(figures: list[Figure], path: Path = RESULTS) -> None:
    """Write figures into results.json, or another such file; others that are there stay."""
    there = json.loads(path.read_text()) if path.exists() else {}
    for figure in figures:
        there[figure.name] = {
            "value": round(figure.value, 4) or float(f"{figure.value:.2g}"),
            "unit": figure.unit,
            "goal": figure.goal,
            "holds": figure.holds,
            "machine": machine(),
            "when": date.today().isoformat(),
        } | figure.more
    with atomic_path(path) as part:
        part.write_text(json.dumps(there, indent=1, sort_keys=True) + "\n")
