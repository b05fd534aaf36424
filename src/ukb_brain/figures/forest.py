"""What figures of many targets share: marks with intervals, bare axes, a heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ukb_brain.figures.stamp import INK, MUTED, colour_of
from ukb_brain.grid import Grid
from ukb_brain.statistics.kinds import Kind, by_kind

RULE_COLOUR = "#e4e8ec"


@dataclass(frozen=True)
class Mark:
    """How an estimate looks, whatever its colour.

    Attributes
    ----------
    shape : str
        Marker of matplotlib.
    filled : bool
        Or hollow.
    size : float
        In points.
    """

    shape: str = "o"
    filled: bool = True
    size: float = 6.0


def draw_mark(
    axes: Axes, row: pd.Series, name: str, y: float, colour: str, mark: Mark, scale: float = 1.0
) -> None:
    """Draw an estimate and its interval along x; an estimate that is not there draws nothing.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Drawn on.
    row : pandas.Series
        Holds ``name``, and its bounds as ``name_low, name_high``.
    name : str
        Of the estimate.
    y : float
        Place of the row.
    colour, mark : str, Mark
        How it looks.
    scale : float
        Factor of the numbers.
    """
    value, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if pd.isna(value):
        return
    if pd.notna(low) and pd.notna(high):
        axes.plot([low * scale, high * scale], [y, y], color=colour, lw=2, alpha=0.75)
    face = colour if mark.filled else "white"
    axes.plot(
        *(value * scale, y, mark.shape),
        color=colour,
        mfc=face,
        mec=colour,
        mew=1.3,
        ms=mark.size,
        zorder=4,
    )


def bare(axes: Axes, zero: bool = True) -> None:
    """Leave of an axis its numbers, faint lines and, where it matters, a line at zero.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Changed in place.
    zero : bool
        Whether to draw a line at x = 0.
    """
    if zero:
        axes.axvline(0, color=MUTED, lw=1, zorder=1)
    axes.grid(axis="x", color=RULE_COLOUR, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=MUTED)
    axes.spines[:].set_visible(False)


def name_rows(axes: Axes, targets: Sequence[str], grid: Grid) -> None:
    """Write targets' names along y, the first at the top, in their domains' colours.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Changed in place; target k is at y = k.
    targets : sequence of str
        Keys.
    grid : Grid
        Gives names and domains.
    """
    domains = tuple(grid.domains)
    axes.set_yticks(range(len(targets)), [grid.targets[t].name for t in targets], size=10)
    for label, target in zip(axes.get_yticklabels(), targets, strict=True):
        label.set_color(colour_of(grid.targets[target].domain, domains))
    axes.set_ylim(len(targets) - 0.35, -0.65)


def head(figure: Figure, title: str, words: str) -> None:
    """Write what a figure asks, and how to read it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Changed in place; the uppermost inch is the heading's.
    title, words : str
        A question, and up to three lines.
    """
    high = figure.get_figheight()
    figure.text(*(0.02, 1 - 0.2 / high, title), size=15, weight="bold", color=INK, va="top")
    figure.text(*(0.02, 1 - 0.56 / high, words), size=9.5, color=MUTED, va="top", linespacing=1.35)


def foot(figure: Figure, marks: Sequence[tuple[str, Mark]], grid: Grid | None = None) -> None:
    """Explain marks, and the domains' colours, below the axes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Changed in place.
    marks : sequence of (str, Mark)
        Words and looks.
    grid : Grid, optional
        Where given, the colours of its domains are explained too.
    """
    handles = [
        Line2D([], [], color=MUTED, marker=m.shape, mfc=MUTED if m.filled else "white", label=words)
        for words, m in marks
    ]
    if grid is not None:
        domains = tuple(grid.domains)
        handles += [Line2D([], [], color=colour_of(d, domains), lw=4, label=d) for d in domains]
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.015, 0.06 / figure.get_figheight()),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def nothing(figure: Figure, why: str) -> None:
    """Say on an empty figure why it is empty.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Changed in place.
    why : str
        In a line.
    """
    figure.text(0.5, 0.4, why, ha="center", va="center", color=MUTED, style="italic", size=11)


def in_order(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Put rows in the order of the grid's targets.

    Parameters
    ----------
    table : pandas.DataFrame
        With a column ``target``; targets that the grid lacks are left out.
    grid : Grid
        Gives the order.

    Returns
    -------
    pandas.DataFrame
        Index from 0.
    """
    place = {key: at for at, key in enumerate(grid.targets)}
    known = table[table["target"].isin(list(place))]
    return known.sort_values("target", key=lambda t: t.map(place), kind="stable", ignore_index=True)


def on_skill_scale(table: pd.DataFrame, names: Sequence[str], grid: Grid) -> pd.DataFrame:
    """Turn headline scores into skill, and gains in them into gains of skill.

    Parameters
    ----------
    table : pandas.DataFrame
        ``target``, the scores and their bounds.
    names : sequence of str
        Of the scores, and ``gain`` of a difference; each may have ``_low`` and ``_high``.
    grid : Grid
        Gives the kinds.

    Returns
    -------
    pandas.DataFrame
        With the columns replaced.
    """
    ends = [f"{n}{end}" for n in names for end in ("", "_low", "_high") if f"{n}{end}" in table]
    kinds = table["target"].map({key: target.kind for key, target in grid.targets.items()})

    def scaled(column: str, of: Kind) -> pd.Series:
        return (of.gain if column.startswith("gain") else of.skill)(table[column])

    return table.assign(**{c: by_kind(kinds, partial(scaled, c)) for c in ends})
