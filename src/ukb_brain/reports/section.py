"""A section of the report: declared in a file of `sections`, filled from the tables at hand."""

from __future__ import annotations

import base64
import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ukb_brain.reports.columns import Table

NOT_TABLES = {"grid", "source", "suppress_below"}


@dataclass(frozen=True)
class Picture:
    """A drawn figure as SVG, base64, and in words for those who do not see it."""

    data: str
    words: str


@dataclass(frozen=True)
class Part:
    """A figure or tables of a section.

    Attributes
    ----------
    make : callable
        Takes tables by their names in the catalog's layer of reporting, and may take ``grid``,
        ``source`` and ``suppress_below``.
    words : str
        What a figure shows.
    """

    make: Callable[..., Figure | Table | list[Table] | None]
    words: str = ""

    def takes(self) -> dict[str, bool]:
        """Name what it takes, and whether it cannot do without."""
        asked = inspect.signature(self.make).parameters.values()
        return {one.name: one.default is one.empty for one in asked}

    def made(self, given: Mapping[str, Any]) -> Sequence[Picture | Table]:
        """Make it; nothing where one of the tables that it needs is not given."""
        if any(needed and name not in given for name, needed in self.takes().items()):
            return []
        made = self.make(**{name: given[name] for name in self.takes() if name in given})
        if isinstance(made, Figure):
            return [_picture(made, self.words)]
        return made if isinstance(made, list) else [made] if made else []


@dataclass(frozen=True)
class Section:
    """A section: what it is about in ``words``, and ``how`` its numbers were obtained.

    Where no part of it can be made, ``missing`` says what to run.
    """

    title: str
    words: str
    how: str
    parts: tuple[Part, ...]
    missing: str = "No table of this is at hand. It is made by kedro run --pipelines reporting."

    def tables(self) -> set[str]:
        """Name the tables that its parts take."""
        return {name for part in self.parts for name in part.takes()} - NOT_TABLES

    def made(self, given: Mapping[str, Any]) -> list[Picture | Table]:
        """Make its parts of what is given by name."""
        return [made for part in self.parts for made in part.made(given)]


def _picture(figure: Figure, words: str) -> Picture:
    buffer = io.BytesIO()
    # The same figure gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return Picture(base64.b64encode(buffer.getvalue()).decode(), words)
