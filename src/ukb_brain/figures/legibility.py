"""How well each target is read at best knowledge: a forest plot of its fullest inputs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ukb_brain.figures.stamp import INK, MUTED, colour_of, stamp
from ukb_brain.grid import Grid
from ukb_brain.statistics.scores.skill import (
    fullest_cells,
    headline_intervals,
    why_no_interval,
    with_skill,
    without_imaging,
)

# Skill below this is off the axis: an arrow and the number stand for it.
LEAST_SHOWN = -0.6
RULE = "all imaging groups, and every block that the target may have"


def in_words(score: float, low: float, high: float, metric: str) -> str:
    """Write a score with its interval.

    Parameters
    ----------
    score, low, high : float
        Of NaN bounds it is said that there is no interval.
    metric : str
        Its name.

    Returns
    -------
    str
        Such as ``AUC 0.71 [0.60, 0.81]``.
    """
    if pd.isna(score):
        return "no result"
    known = pd.notna(low) and pd.notna(high)
    interval = f" [{low:z.2f}, {high:z.2f}]" if known else ", no interval"
    return f"{metric} {score:z.2f}{interval}".replace("-", "−")


def _row(axes: Axes, y: int, cell: pd.Series, colour: str, left: float, rough: bool) -> None:
    if pd.isna(cell["skill"]):
        axes.text(0.01, y, cell["status"], va="center", size=8.5, color=MUTED, style="italic")
        return
    if pd.notna(cell["skill_low"]):
        axes.plot([cell["skill_low"], cell["skill_high"]], [y, y], color=colour, lw=2.4, alpha=0.75)
    mark, x = ("<", left) if cell["skill"] < left else ("o", cell["skill"])
    axes.plot(x, y, mark, color=colour, ms=7.5, mec="white", mew=0.8, zorder=4, clip_on=False)
    words = in_words(cell["score"], cell["score_low"], cell["score_high"], cell["metric"])
    words += " °" if rough else ""
    axes.text(1.03, y, words, va="center", size=9, color=INK, clip_on=False)


def draw_legibility(
    performance: pd.DataFrame, grid: Grid, source: str, intervals: pd.DataFrame | None = None
) -> Figure:
    """Draw each target's skill from its fullest inputs, with intervals, best read at the top.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    grid : Grid
        Gives names and domains.
    source : str
        ``synthetic`` is stamped.
    intervals : pandas.DataFrame, optional
        ``target, inputs, metric, validated``: intervals outside the region of known coverage are
        marked.

    Returns
    -------
    matplotlib.figure.Figure
        The cell of a target is chosen by its inputs, never by its score. A hollow mark shows the
        same blocks without imaging, where the grid has that cell.
    """
    table = with_skill(performance)
    full = fullest_cells(table, grid).sort_values("skill", na_position="first", kind="stable")
    bare = without_imaging(table, grid).set_index("target")["skill"]
    rough = _rough(intervals)
    missing = {why for why in (why_no_interval(row) for row in full.to_dict("records")) if why}
    figure = Figure(figsize=(10.5, 0.3 * len(full) + 2.6))
    bottom = 1.25 / figure.get_figheight()
    axes = figure.add_axes((0.16, bottom, 0.6, 1 - bottom - 1.0 / figure.get_figheight()))
    lowest = pd.concat([full["skill_low"], bare, pd.Series([-0.1])]).min()
    left = max(lowest, LEAST_SHOWN) - 0.03
    for y, (_, cell) in enumerate(full.iterrows()):
        colour = colour_of(cell["domain"], tuple(grid.domains))
        _row(axes, y, cell, colour, left, (cell["target"], cell["inputs"]) in rough)
        alone = bare.get(cell["target"])
        if alone is not None and pd.notna(alone) and pd.notna(cell["skill"]):
            axes.plot(alone, y, "o", ms=7, mfc="white", mec=colour, mew=1.4, zorder=3)
    axes.set_yticks(range(len(full)), [grid.targets[t].name for t in full["target"]], size=10)
    axes.set_ylim(-0.7, len(full) - 0.3)
    axes.set_xlim(left, 1.0)
    axes.axvline(0, color=MUTED, lw=1)
    axes.grid(axis="x", color="#e4e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("skill: R², or 2·AUC − 1  (0 nothing is read, 1 everything)", color=MUTED)
    _legend(figure, grid)
    figure.text(
        *(0.02, 1 - 0.2 / figure.get_figheight(), "How well is each characteristic read?"),
        size=15,
        weight="bold",
        color=INK,
        va="top",
    )
    figure.text(
        *(0.02, 1 - 0.56 / figure.get_figheight()),
        f"From {RULE}; held-out test people, 95 % intervals"
        + (" (° a rough guide: few people carry it)." if rough else ".")
        + "".join(f"\nNo interval: {why}." for why in sorted(missing)),
        size=9.5,
        color=MUTED,
        va="top",
    )
    return stamp(figure, source)


def _rough(intervals: pd.DataFrame | None) -> set[tuple[str, str]]:
    """Cells whose headline interval is of a size of sample in which none held its coverage."""
    if intervals is None or "validated" not in intervals:
        return set()
    rows = headline_intervals(intervals).query("not validated")
    return set(zip(rows["target"], rows["inputs"], strict=True))


def _legend(figure: Figure, grid: Grid) -> None:
    domains = tuple(grid.domains)
    marks = [
        Line2D([], [], color=colour_of(d, domains), marker="o", lw=2.4, label=d) for d in domains
    ]
    marks.append(
        Line2D([], [], color=MUTED, marker="o", mfc="white", lw=0, label="same blocks, no imaging")
    )
    figure.legend(
        handles=marks,
        loc="lower left",
        bbox_to_anchor=(0.14, 0.1 / figure.get_figheight()),
        ncols=len(marks),
        frameon=False,
        fontsize=9,
        handletextpad=0.5,
        columnspacing=1.4,
    )
