"""What a section of the report is made of: figures, and tables of declared columns.

A section is declared in a file of `sections` and filled from the tables at hand. Words of columns
may hold the names of a row's values in braces, as ``From {inputs}``.
"""

import base64
import io
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ukb_brain.figures.forest import in_order
from ukb_brain.figures.suppression import suppress_counts, without_small_counts
from ukb_brain.grid import Grid
from ukb_brain.statistics.kinds import LABELS
from ukb_brain.words import bounded, number, p_value, with_interval

NO_INTERVAL = "no interval: it is the same in every draw of people, or they are too few for one"
NOT_TABLES = {"grid", "source", "suppress_below"}

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Entry:
    """What a field shows, what is said where one points at it, and whether it is a number."""

    text: str
    hover: str = ""
    number: bool = False


class Column:
    """A heading, how what is below it was obtained, and what it shows of a row.

    The first two are declared together, as ``Heading: how``.
    """

    def __init__(self, words: str, entry: Callable[[Row], Entry]) -> None:
        self.head, _, self.how = words.partition(": ")
        self.entry = entry


class Table:
    """A table of the report: declared columns filled with rows, whose first entry is their name."""

    def __init__(self, caption: str, rows: Iterable[Row], *columns: Column) -> None:
        self.caption = caption
        self.heads = [(column.head, column.how) for column in columns]
        self.rows = [[column.entry(row) for column in columns] for row in rows]


@dataclass(frozen=True)
class Picture:
    """A drawn figure, base64 of an SVG or a PNG, and in words for those who do not see it."""

    data: str
    words: str
    kind: str = "svg+xml"
    size: str = "whole"


Maker = Callable[..., Figure | Table | list[Table] | None]


@dataclass(frozen=True)
class Section:
    """A section: what it is about in ``words``, and ``how`` its numbers were obtained.

    Attributes
    ----------
    parts : dict of callable to str
        Each makes a figure or tables; the word says what a figure shows. They take tables by their
        names in the catalog's layer of reporting, and may take ``grid``, ``source`` and
        ``suppress_below``.
    missing : str
        What to run where no part can be made.
    """

    title: str
    words: str
    how: str
    parts: Mapping[Maker, str]
    missing: str = "No table of this is at hand. It is made by kedro run --pipelines reporting."

    def tables(self) -> set[str]:
        """Name the tables that its parts take."""
        return {name for make in self.parts for name in signature(make).parameters} - NOT_TABLES

    def made(self, given: Mapping[str, Any]) -> list[Picture | Table]:
        """Make of what is given by name each part that has all the tables it needs."""
        every: list[Picture | Table] = []
        for make, words in self.parts.items():
            takes = signature(make).parameters
            if any(one.default is one.empty and one.name not in given for one in takes.values()):
                continue
            made = make(**{name: given[name] for name in takes if name in given})
            shown = picture(made, words) if isinstance(made, Figure) else made
            every += shown if isinstance(shown, list) else [shown] if shown else []
        return every


def picture(figure: Figure, words: str) -> Picture:
    """Draw a figure, with what it shows in words."""
    buffer = io.BytesIO()
    # The same figure gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return Picture(base64.b64encode(buffer.getvalue()).decode(), words)


def text(head: str, words: str, hover: str = "", number: bool = False) -> Column:
    """Declare a column of words, which may be set as numbers."""
    return Column(head, lambda row: Entry(words.format_map(row), hover.format_map(row), number))


def numeral(head: str, words: str, hover: str = "") -> Column:
    """Declare a column of words that are set as numbers."""
    return text(head, words, hover, number=True)


def plain(head: str, name: str, hover: str = "") -> Column:
    """Declare a column of numbers of two digits."""
    return Column(head, lambda row: Entry(number(row[name]), hover, number=True))


def p(head: str, name: str, hover: str = "") -> Column:
    """Declare a column of p values, NaN where a row has none."""
    return Column(head, lambda row: Entry(p_value(row.get(name, np.nan)), hover, number=True))


def measured(head: str, name: str, hover: str = "", digits: int = 2) -> Column:
    """Declare a column of estimates with intervals; see `estimate`."""
    return Column(head, lambda row: estimate(row, name, hover, digits))


def estimate(row: Row, name: str, hover: str = "", digits: int = 2) -> Entry:
    """Write an estimate with its interval; see `ukb_brain.words.bounded`."""
    value, low, high = bounded(row, name)
    if pd.isna(value):
        return Entry("–", "no estimate", number=True)
    known = pd.notna(low) and pd.notna(high)
    told = f"95 % interval {number(low, 4)} to {number(high, 4)}" if known else NO_INTERVAL
    how = f"{number(value, 4)}; {told}. {hover.format_map(row)}".strip()
    return Entry(with_interval(value, low, high, digits), how, number=True)


TARGET = text("Target: Characteristic", "{name}")
TARGET_OF_CELL = text("Target: Characteristic", "{name}", "{inputs}")
SCALE = text("Scale: AUC of binary targets, R² of continuous ones", "{scale}")
STRATEGY = text("Strategy: How cells are trained", "{strategy}")
REMARK = text("Remark: Why a number is missing", "{remark}")


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
