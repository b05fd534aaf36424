"""How well each target is read at best knowledge: a forest plot of its fullest inputs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ukb_brain.figures.forest import CLOSE, bare, head, legend, say_in_row
from ukb_brain.figures.stamp import INK, MUTED, Look, colour_of, stamp
from ukb_brain.grid import Grid
from ukb_brain.statistics.scores import skill
from ukb_brain.words import with_interval

# Skill below this is off the axis: an arrow and the number stand for it.
LEAST_SHOWN = -0.6
RULE = "all imaging groups, and every block that the target may have"


def in_words(cell: Mapping[Hashable, Any] | pd.Series) -> str:
    """Write the score of a row of `with_skill`, as ``AUC 0.71 [0.60, 0.81]``."""
    if pd.isna(cell["score"]):
        return "no result"
    written = with_interval(cell["score"], cell["score_low"], cell["score_high"])
    return f"{cell['metric']} {written}"


def in_full(cell: Mapping[Hashable, Any]) -> str:
    """Write the score, and where it has no interval why."""
    why = skill.why_no_interval(cell)
    return in_words(cell) + (f": {why}" if why else "")


def _row(axes: Axes, y: int, cell: pd.Series, colour: str, left: float, rough: bool) -> None:
    if pd.isna(cell["skill"]):
        say_in_row(axes, y, cell["status"])
        return
    if pd.notna(cell["skill_low"]):
        axes.plot([cell["skill_low"], cell["skill_high"]], [y, y], color=colour, lw=2.4, alpha=0.75)
    mark, x = ("<", left) if cell["skill"] < left else ("o", cell["skill"])
    axes.plot(x, y, mark, color=colour, ms=7.5, mec="white", mew=0.8, zorder=4, clip_on=False)
    if pd.notna(cell["alone"]):
        axes.plot(cell["alone"], y, "o", ms=7, mfc="white", mec=colour, mew=1.4, zorder=3)
    words = in_words(cell) + (" °" if rough else "")
    axes.text(1.03, y, words, va="center", size=9, color=INK, clip_on=False)


def draw_legibility(
    performance: pd.DataFrame, grid: Grid, source: str, intervals: pd.DataFrame | None = None
) -> Figure:
    """Draw each target's skill from its fullest inputs, with intervals, best read at the top.

    The cell of a target is chosen by its inputs, never by its score. A hollow mark shows the same
    blocks without imaging, where the grid has that cell. Of ``intervals``, ``target, inputs,
    metric, validated``, those outside the region of known coverage are marked.
    """
    table = skill.with_skill(performance)
    full = skill.fullest_cells(table, grid).sort_values("skill", na_position="first", kind="stable")
    bare_cells = skill.without_imaging(table, grid).set_index("target")["skill"]
    full["alone"] = full["target"].map(bare_cells)
    rough = _rough(intervals)
    missing = {why for why in map(skill.why_no_interval, full.to_dict("records")) if why}
    figure = Figure(figsize=(10.5, 0.3 * len(full) + 2.6))
    high = figure.get_figheight()
    axes = figure.add_axes((0.16, 1.25 / high, 0.6, 1 - 2.25 / high))
    lowest = min([-0.1, *full[["skill_low", "alone"]].min().dropna()])
    left = max(lowest, LEAST_SHOWN) - 0.03
    for y, (_, cell) in enumerate(full.iterrows()):
        colour = colour_of(cell["domain"], grid)
        _row(axes, y, cell, colour, left, (cell["target"], cell["inputs"]) in rough)
    axes.set_yticks(range(len(full)), [grid.targets[t].name for t in full["target"]], size=10)
    axes.set(ylim=(-0.7, len(full) - 0.3), xlim=(left, 1.0))
    axes.axvline(0, color=MUTED, lw=1)
    bare(axes)
    axes.set_xlabel("skill: R², or 2·AUC − 1  (0 nothing is read, 1 everything)", color=MUTED)
    handles = [
        Line2D([], [], color=colour_of(d, grid), marker="o", lw=2.4, label=d) for d in grid.domains
    ]
    alone: Look = {"marker": "o", "mfc": "white", "lw": 0, "label": "same blocks, no imaging"}
    legend(figure, [*handles, Line2D([], [], color=MUTED, **alone)], (0.14, 0.1 / high), **CLOSE)
    head(
        figure,
        "How well is each characteristic read?",
        f"From {RULE}; held-out test people, 95 % intervals"
        + (" (° a rough guide: few people carry it)." if rough else ".")
        + "".join(f"\nNo interval: {why}." for why in sorted(missing)),
    )
    return stamp(figure, source)


def _rough(intervals: pd.DataFrame | None) -> set[tuple[str, str]]:
    """Cells whose headline interval is of a size of sample in which none held its coverage."""
    if intervals is None or "validated" not in intervals:
        return set()
    rows = skill.headline_intervals(intervals).query("not validated")
    return set(zip(rows["target"], rows["inputs"], strict=True))
