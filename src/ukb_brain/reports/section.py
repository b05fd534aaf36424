"""A section of the report: declared in a file of `sections`, filled from the tables at hand."""

from __future__ import annotations

import base64
import inspect
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ukb_brain.reports.columns import Table

NOT_TABLES = {"grid", "source", "suppress_below"}


@dataclass(frozen=True)
class Drawn:
    """A figure of the report, and what it shows in words, for those who do not see it."""

    draw: Callable[..., Figure | None]
    words: str


@dataclass(frozen=True)
class Picture:
    """A drawn figure as SVG, base64, and in words."""

    data: str
    words: str


Part = Drawn | Callable[..., Table | list[Table]]


@dataclass(frozen=True)
class Section:
    """A declared section.

    Attributes
    ----------
    key, title : str
        Anchor and heading.
    words, how : str
        What it is about, and how its numbers were obtained.
    parts : Part
        Figures and tables in their order. Each is a function that takes tables by their names in
        the catalog's layer of reporting, and may take ``grid``, ``source`` and ``suppress_below``.
        It is left out where a table that it cannot do without is empty or not there.
    missing : str
        What to run where no part is left.
    """

    key: str
    title: str
    words: str
    how: str
    parts: tuple[Part, ...]
    missing: str = "No table of this is at hand. It is made by kedro run --pipelines reporting."

    def tables(self) -> set[str]:
        """Name the tables that its parts take."""
        return {name for part in self.parts for name in _asked(part)} - NOT_TABLES

    def filled(self, given: Mapping[str, Any]) -> list[Picture | Table]:
        """Make its parts of what is given by name."""
        return [made for part in self.parts for made in _made(part, given)]


def _function(part: Part) -> Callable[..., Any]:
    return part.draw if isinstance(part, Drawn) else part


def _asked(part: Part) -> dict[str, bool]:
    """Name what a part takes, and whether it can do without."""
    asked = inspect.signature(_function(part)).parameters.values()
    return {one.name: one.default is not one.empty for one in asked}


def _made(part: Part, given: Mapping[str, Any]) -> list[Picture | Table]:
    asked = _asked(part)
    if not all(spared or name in given for name, spared in asked.items()):
        return []
    made = _function(part)(**{name: given[name] for name in asked if name in given})
    if isinstance(part, Drawn):
        return [] if made is None else [_picture(made, part.words)]
    return made if isinstance(made, list) else [made]


def _picture(figure: Figure, words: str) -> Picture:
    buffer = io.BytesIO()
    # The same figure gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return Picture(base64.b64encode(buffer.getvalue()).decode(), words)
