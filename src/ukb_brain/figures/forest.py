"""What figures share: a heading, bare axes, marks with intervals, a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ukb_brain.figures.stamp import INK, MUTED, Look, colour_of
from ukb_brain.grid import Grid
from ukb_brain.statistics.kinds import Kind, by_kind
from ukb_brain.words import bounded

RULE_COLOUR = "#e4e8ec"
QUIET: Look = {"labelsize": 8.5, "labelcolor": MUTED}
CLOSE: Look = {"handletextpad": 0.5, "columnspacing": 1.4}


@dataclass(frozen=True)
class Mark:
    """How an estimate looks, whatever its colour: matplotlib's marker, its size in points.

    ``filled`` None: hollow where the interval holds 0, or is not there.
    """

    shape: str = "o"
    filled: bool | None = True
    size: float = 6.0


def draw_mark(
    axes: Axes, row: pd.Series, name: str, y: float, colour: str, mark: Mark, scale: float = 1.0
) -> None:
    """Draw an estimate and its interval along x, times ``scale``; nothing where it is NaN."""
    value, low, high = (scale * x for x in bounded(row, name))
    if pd.isna(value):
        return
    if pd.notna(low) and pd.notna(high):
        axes.plot([low, high], [y, y], color=colour, lw=2, alpha=0.75)
    filled = (low > 0 or high < 0) if mark.filled is None else mark.filled
    look: Look = {"color": colour, "mfc": colour if filled else "white", "mec": colour, "mew": 1.3}
    axes.plot(value, y, mark.shape, ms=mark.size, zorder=4, **look)


def panels(
    figure: Figure,
    shape: tuple[int, int],
    ends: tuple[float, float],
    sides: tuple[float, float],
    gaps: tuple[float, float] = (0.2, 0.2),
    **shared: Any,
) -> np.ndarray:
    """Make axes of a ``shape`` (rows, columns).

    ``ends`` are the margins at the top and at the bottom in inches, ``sides`` where axes begin and
    end as shares of the width, ``gaps`` those between columns and rows as shares of an axes' size.
    """
    high = figure.get_figheight()
    axes: np.ndarray = figure.subplots(*shape, squeeze=False, **shared)
    edges = {"left": sides[0], "right": sides[1]}
    edges |= {"top": 1 - ends[0] / high, "bottom": ends[1] / high}
    figure.subplots_adjust(**edges, wspace=gaps[0], hspace=gaps[1])
    return axes


def first(axes: np.ndarray, number: int) -> list[Axes]:
    """Keep the first axes, in reading order, and hide the others."""
    for spare in axes.ravel()[number:]:
        spare.axis("off")
    return list(axes.ravel()[:number])


def bare(axes: Axes, zero: str = "", rules: Literal["x", "y", "both"] = "x", **ticks: Any) -> None:
    """Leave of axes their numbers, faint ``rules`` and a line where ``zero``, x or y, is 0."""
    if zero:
        {"x": axes.axvline, "y": axes.axhline}[zero](0, color=MUTED, lw=1, zorder=1)
    axes.grid(axis=rules, color=RULE_COLOUR, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, **ticks)
    axes.spines[:].set_visible(False)


def entitle(axes: Axes, title: str, size: float = 10, **more: Any) -> None:
    """Write a bold title over the left end of axes."""
    axes.set_title(title, loc="left", size=size, weight="bold", **more)


def name_rows(axes: Axes, targets: Sequence[str], grid: Grid) -> None:
    """Write targets' names along y in their domains' colours, target k at y = k from the top."""
    axes.set_yticks(range(len(targets)), [grid.targets[t].name for t in targets], size=10)
    for label, target in zip(axes.get_yticklabels(), targets, strict=True):
        label.set_color(colour_of(grid.targets[target].domain, grid))
    axes.set_ylim(len(targets) - 0.35, -0.65)


def head(figure: Figure, title: str, words: str) -> None:
    """Write in the uppermost inch what a figure asks, and how to read it in up to three lines."""
    high = figure.get_figheight()
    corner: Look = {"va": "top", "x": 0.02}
    figure.text(y=1 - 0.2 / high, s=title, size=15, weight="bold", color=INK, **corner)
    look: Look = {"size": 9.5, "color": MUTED, "linespacing": 1.35}
    figure.text(y=1 - 0.56 / high, s=words, **look, **corner)


def legend(figure: Figure, handles: Sequence[Artist], at: tuple[float, float], **look: Any) -> None:
    """Explain marks at a place in shares of the figure, side by side unless said otherwise."""
    usual: Look = {"loc": "lower left", "ncols": len(handles), "fontsize": 9, "frameon": False}
    figure.legend(handles=handles, bbox_to_anchor=at, **usual | look)


def foot(figure: Figure, marks: Sequence[tuple[str, Mark]], grid: Grid | None = None) -> None:
    """Explain marks below the axes, and with a grid the colours of its domains too."""
    handles = [
        Line2D([], [], color=MUTED, marker=m.shape, mfc=MUTED if m.filled else "white", label=words)
        for words, m in marks
    ]
    if grid is not None:
        colours = {domain: colour_of(domain, grid) for domain in grid.domains}
        handles += [Line2D([], [], color=c, lw=4, label=domain) for domain, c in colours.items()]
    legend(figure, handles, (0.015, 0.06 / figure.get_figheight()), **CLOSE)


def say(axes: Axes, words: str, **look: Any) -> None:
    """Say in the middle of axes why they are empty."""
    usual: Look = {"ha": "center", "va": "center", "color": MUTED, "style": "italic"}
    axes.text(0.5, 0.5, words, transform=axes.transAxes, **usual | look)


def say_in_row(axes: Axes, y: float, words: str) -> None:
    """Say in a row why it has no mark."""
    axes.text(0.01, y, words, va="center", size=8.5, color=MUTED, style="italic")


def nothing(figure: Figure, why: str) -> None:
    """Say on an empty figure why it is empty."""
    figure.text(0.5, 0.4, why, ha="center", va="center", color=MUTED, style="italic", size=11)


def paired(
    table: pd.DataFrame, grid: Grid, row: float, titles: tuple[str, str], empty: str, **shared: Any
) -> tuple[Figure, Axes, Axes]:
    """Begin a figure of two panels with a row a target, ``row`` inches high."""
    figure = Figure(figsize=(10.5, row * len(table) + 2.4))
    both = panels(figure, (1, 2), (1.3, 1.0), (0.15, 0.97), (0.08, 0.2), sharey=True, **shared)
    for axes, title in zip(both.ravel(), titles, strict=True):
        bare(axes, zero="x", **QUIET)
        entitle(axes, title, 11)
    left, right = both.ravel()
    name_rows(left, list(table["target"]), grid)
    if table.empty:
        nothing(figure, empty)
    return figure, left, right


def rows_of(table: pd.DataFrame, grid: Grid) -> Iterator[tuple[int, pd.Series, str]]:
    """Go through rows of targets: place, row, colour of the domain."""
    for y, (_, row) in enumerate(table.iterrows()):
        yield y, row, colour_of(grid.targets[row["target"]].domain, grid)


def in_order(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Put rows in the order of the grid's targets; those that the grid lacks are left out."""
    place = {key: at for at, key in enumerate(grid.targets)}
    known = table[table["target"].isin(list(place))]
    return known.sort_values("target", key=lambda t: t.map(place), kind="stable", ignore_index=True)


def on_skill_scale(table: pd.DataFrame, names: Sequence[str], grid: Grid) -> pd.DataFrame:
    """Turn headline scores ``names`` and their bounds into skill; ``gain`` is a difference."""
    ends = [f"{n}{end}" for n in names for end in ("", "_low", "_high") if f"{n}{end}" in table]
    kinds = table["target"].map({key: target.kind for key, target in grid.targets.items()})

    def scaled(column: str, of: Kind) -> pd.Series:
        return (of.gain if column.startswith("gain") else of.skill)(table[column])

    return table.assign(**{c: by_kind(kinds, partial(scaled, c)) for c in ends})
