"""What figures share: a heading, bare axes, marks with intervals, a legend."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ukb_brain.figures.stamp import INK, MUTED, Look, colour_of
from ukb_brain.grid import Grid
from ukb_brain.words import bounded

RULE_COLOUR = "#e4e8ec"
QUIET: Look = {"labelsize": 8.5, "labelcolor": MUTED}
Row = Mapping[Hashable, Any] | pd.Series


@dataclass(frozen=True)
class Mark:
    """How an estimate looks, whatever its colour: matplotlib's marker, its size in points.

    ``filled`` None: hollow where the interval holds 0, or is not there.
    """

    shape: str = "o"
    filled: bool | None = True
    size: float = 6.0


def draw_mark(
    axes: Axes, row: Row, name: str, y: float, colour: str, mark: Mark, **look: Any
) -> None:
    """Draw an estimate and its interval along x; nothing where it is NaN."""
    value, low, high = bounded(row, name)
    if pd.isna(value):
        return
    if pd.notna(low) and pd.notna(high):
        axes.plot([low, high], [y, y], color=colour, lw=2, alpha=0.75)
    filled = (low > 0 or high < 0) if mark.filled is None else mark.filled
    look |= {"color": colour, "mfc": colour if filled else "white", "mec": colour, "mew": 1.3}
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


def tiles(
    number: int,
    columns: int,
    labels: tuple[str, str],
    base: float = 0.6,
    sides: tuple[float, float] = (0.055, 0.985),
    gaps: tuple[float, float] = (0.28, 0.48),
    **shared: Any,
) -> tuple[Figure, list[Axes]]:
    """Begin a figure of a ``number`` of panels in reading order, ``labels`` below and left of all.

    ``base`` is the margin below them in inches; ``sides`` and ``gaps`` are those of `panels`.
    """
    rows = max(1, -(-number // columns))
    figure = Figure(figsize=(12.5, 2.4 * rows + 1.5 + base))
    every = panels(figure, (rows, columns), (1.5, base), sides, gaps, **shared).ravel()
    for spare in every[number:]:
        spare.axis("off")
    across, upwards = labels
    figure.supxlabel(across, size=10, color=MUTED, y=(base - 0.5) / figure.get_figheight())
    figure.supylabel(upwards, size=10, color=MUTED, x=0.008)
    return figure, list(every[:number])


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
    axes.set_title(title, loc="left", size=size, weight="bold", color=INK, **more)


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
    at = (0.015, 0.06 / figure.get_figheight())
    legend(figure, handles, at, handletextpad=0.5, columnspacing=1.4)


def say(axes: Axes, words: str, **look: Any) -> None:
    """Say in the middle of axes why they are empty."""
    usual: Look = {"ha": "center", "va": "center", "color": MUTED, "style": "italic"}
    axes.text(0.5, 0.5, words, transform=axes.transAxes, **usual | look)


def say_in_row(axes: Axes, y: float, words: str) -> None:
    """Say in a row why it has no mark."""
    axes.text(0.01, y, words, va="center", size=8.5, color=MUTED, style="italic")


def nothing(figure: Figure, why: str) -> None:
    """Say on a figure why it is empty."""
    figure.text(0.5, 0.4, why, ha="center", va="center", color=MUTED, style="italic", size=11)


def row_a_target(
    table: pd.DataFrame,
    grid: Grid,
    row: float,
    titles: Sequence[str],
    sides: tuple[float, float] = (0.15, 0.97),
    **shared: Any,
) -> tuple[Figure, list[Axes]]:
    """Begin a figure with a panel a title and a row a target, ``row`` inches high.

    Targets are named in their domains' colours; the k-th of the table is at y = k from the top.
    """
    figure = Figure(figsize=(10.5, row * len(table) + 2.4))
    shape = (1, len(titles))
    every = panels(figure, shape, (1.3, 1.0), sides, (0.08, 0.2), sharey=True, **shared).ravel()
    for axes, title in zip(every, titles, strict=True):
        bare(axes, zero="x", **QUIET)
        entitle(axes, title, 11)
    targets = [grid.targets[t] for t in table["target"]]
    every[0].set_yticks(range(len(targets)), [target.name for target in targets], size=10)
    for label, target in zip(every[0].get_yticklabels(), targets, strict=True):
        label.set_color(colour_of(target.domain, grid))
    every[0].set_ylim(len(targets) - 0.35, -0.65)
    return figure, list(every)


def rows_of(table: pd.DataFrame, grid: Grid) -> Iterator[tuple[int, pd.Series, str]]:
    """Go through rows of targets: place, row, colour of the domain."""
    for y, (_, row) in enumerate(table.iterrows()):
        yield y, row, colour_of(grid.targets[row["target"]].domain, grid)


def in_order(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Put rows in the order of the grid's targets; those that the grid lacks are left out."""
    place = {key: at for at, key in enumerate(grid.targets)}
    known = table[table["target"].isin(list(place))]
    return known.sort_values("target", key=lambda t: t.map(place), kind="stable", ignore_index=True)
