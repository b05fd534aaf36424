"""Tables of the report: declared columns, and what pointing at a number says.

Words may hold the names of a row's values in braces, as ``From {inputs}``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ukb_brain.figures.forest import in_order
from ukb_brain.figures.suppression import suppress_counts, without_small_counts
from ukb_brain.grid import Grid
from ukb_brain.statistics.kinds import LABELS
from ukb_brain.words import bounded, number, p_value, with_interval

NO_INTERVAL = "no interval: it is the same in every draw of people, or they are too few for one"

Row = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Entry:
    """What a field shows, what is said where one points at it, and whether it is a number."""

    text: str
    hover: str = ""
    number: bool = False


@dataclass(frozen=True)
class Column:
    """A heading, how what is below it was obtained, and what it shows of a row."""

    head: str
    how: str
    entry: Callable[[Row], Entry]


@dataclass(frozen=True)
class Table:
    """A table of the report; a row's first entry is its name."""

    caption: str
    heads: tuple[tuple[str, str], ...]
    rows: list[list[Entry]]


def table(caption: str, rows: Iterable[Row], *columns: Column) -> Table:
    """Fill declared columns with rows."""
    filled = [[column.entry(row) for column in columns] for row in rows]
    return Table(caption, tuple((column.head, column.how) for column in columns), filled)


def text(head: str, how: str, words: str, hover: str = "") -> Column:
    """Declare a column of words."""
    return Column(head, how, lambda row: Entry(words.format_map(row), hover.format_map(row)))


def numeral(head: str, how: str, words: str, hover: str = "") -> Column:
    """Declare a column of words that are set as numbers."""
    return Column(head, how, lambda row: Entry(words.format_map(row), hover, number=True))


def plain(head: str, how: str, name: str, hover: str = "") -> Column:
    """Declare a column of numbers of two digits."""
    return Column(head, how, lambda row: Entry(number(row[name]), hover, number=True))


def p(head: str, how: str, name: str, hover: str = "") -> Column:
    """Declare a column of p values."""
    return Column(
        head, how, lambda row: Entry(p_value(row.get(name, float("nan"))), hover, number=True)
    )


def measured(head: str, how: str, name: str, hover: str = "", digits: int = 2) -> Column:
    """Declare a column of estimates with intervals; see `estimate`."""
    return Column(head, how, lambda row: estimate(row, name, hover, digits))


def estimate(row: Row, name: str, hover: str = "", digits: int = 2) -> Entry:
    """Write an estimate with its interval; see `ukb_brain.words.bounded`."""
    value, low, high = bounded(row, name)
    if pd.isna(value):
        return Entry("–", "no estimate", number=True)
    known = pd.notna(low) and pd.notna(high)
    told = f"95 % interval {number(low, 4)} to {number(high, 4)}" if known else NO_INTERVAL
    how = f"{number(value, 4)}; {told}. {hover.format_map(row)}".strip()
    return Entry(with_interval(value, low, high, digits), how, number=True)


TARGET = text("Target", "Characteristic", "{name}")
TARGET_OF_CELL = text("Target", "Characteristic", "{name}", "{inputs}")
SCALE = text("Scale", "AUC of binary targets, R² of continuous ones", "{scale}")
STRATEGY = text("Strategy", "How cells are trained", "{strategy}")
REMARK = text("Remark", "Why a number is missing", "{remark}")


def rows_of(table: pd.DataFrame, grid: Grid, below: int | None = None) -> list[dict[Hashable, Any]]:
    """List rows in the order of the grid's targets; those that the grid lacks are left out.

    Each has its target's ``name``; its ``scale`` follows from a ``metric``. With ``below``, ``n``
    is text without smaller counts (a dash where it is missing), and ``remark`` is the ``status``
    unless that is ok, without small counts either.
    """
    table = in_order(table, grid)
    table = table.assign(name=[grid.targets[key].name for key in table["target"]])
    if "metric" in table:
        table["scale"] = table["metric"].map(LABELS)
    if below is not None:
        # A table in which no target has a number does not count anybody.
        n = table["n"] if "n" in table else pd.Series(float("nan"), table.index)
        counts = suppress_counts(pd.DataFrame({"n": n.fillna(0)}), ["n"], below)["n"]
        remarks = [
            "" if status == "ok" else without_small_counts(status, below)
            for status in table["status"]
        ]
        table = table.assign(n=counts.where(n.notna(), "–"), remark=remarks)
    return table.to_dict("records")
