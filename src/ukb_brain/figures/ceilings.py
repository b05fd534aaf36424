"""What each target's own measurement allows, and how much of that is reached."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ukb_brain.figures.forest import (
    Mark,
    bare,
    draw_mark,
    foot,
    head,
    in_order,
    name_rows,
    nothing,
    on_skill_scale,
)
from ukb_brain.figures.stamp import MUTED, colour_of, stamp
from ukb_brain.grid import Grid

CEILING = Mark("D", False, 6)
SHARE = Mark("o", True, 6.5)


def draw_ceilings(reliability: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw each target's test-retest ceiling, and the share of it that the fullest cell reaches.

    Parameters
    ----------
    reliability : pandas.DataFrame
        One row a target: ``target, status, ceiling, share`` with ``_low`` and ``_high``; see
        `ukb_brain.statistics.limits.retest_table.retest_table`.
    grid : Grid
        Gives names and domains.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure
        Ceilings are drawn as skill: R², or 2·AUC − 1.
    """
    table = in_order(reliability, grid)
    table = on_skill_scale(table, ["ceiling"], grid)
    figure = Figure(figsize=(10.5, 0.29 * len(table) + 2.4))
    high = figure.get_figheight()
    left, right = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(
        left=0.15, right=0.97, bottom=1.0 / high, top=1 - 1.3 / high, wspace=0.08
    )
    domains = tuple(grid.domains)
    for y, (_, row) in enumerate(table.iterrows()):
        colour = colour_of(grid.targets[row["target"]].domain, domains)
        draw_mark(left, row, "ceiling", y, colour, CEILING)
        draw_mark(right, row, "share", y, colour, SHARE)
        if pd.isna(row.get("ceiling")):
            left.text(0.01, y, "no ceiling", va="center", size=8.5, color=MUTED, style="italic")
    for axes, title in ((left, "Ceiling, as skill"), (right, "Share of the ceiling reached")):
        bare(axes)
        axes.set_title(title, loc="left", size=11, weight="bold")
        axes.set_xlim(min(-0.03, axes.get_xlim()[0]), 1.03)
    right.axvline(1, color=MUTED, lw=1, ls=(0, (4, 3)))
    name_rows(left, list(table["target"]), grid)
    head(
        figure,
        "How much of what can be read is read?",
        "Ceiling: the skill that a perfect reader of the true characteristic could have, given that"
        " two measurements of it\ndisagree. Share: skill of the fullest inputs over that ceiling. "
        "Lines: 95 % intervals. A ceiling of 1: both visits hold the same values.",
    )
    if table.empty:
        nothing(figure, "no target was measured twice")
    foot(figure, [("ceiling", CEILING), ("share reached", SHARE)], grid)
    return stamp(figure, source)
