"""Numbers and tables as readers see them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd


def number(value: float, digits: int = 2) -> str:
    """Write a number with a true minus and none before zero; a dash stands for NaN."""
    return "–" if pd.isna(value) else f"{value:z.{digits}f}".replace("-", "−")


def with_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """Write ``0.71 [0.60, 0.81]``, or ``0.71, no interval`` where a bound is NaN."""
    if pd.isna(value):
        return number(value)
    known = pd.notna(low) and pd.notna(high)
    ends = f" [{number(low, digits)}, {number(high, digits)}]" if known else ", no interval"
    return number(value, digits) + ends


def bounded(row: Mapping[Hashable, Any] | pd.Series, name: str) -> tuple[float, float, float]:
    """Take an estimate of a row with its bounds, ``name_low, name_high`` or else ``low, high``.

    NaN stands for what the row lacks.
    """
    ends = (row.get(f"{name}_{end}", row.get(end)) for end in ("low", "high"))
    value, low, high = (
        float("nan") if x is None or pd.isna(x) else float(x) for x in (row.get(name), *ends)
    )
    return value, low, high


def p_value(value: float) -> str:
    """Write a p value, none smaller than ``< .001``; a dash stands for NaN."""
    return "–" if pd.isna(value) else "< .001" if value < 0.001 else f"{value:.3f}"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a table as lines of Markdown."""
    lines = ["|".join(["", *(f" {cell} " if cell else " " for cell in row), ""]) for row in rows]
    return [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|", *lines]
