"""What each target's own measurement allows, and how much of that is reached."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ukb_brain.figures import forest
from ukb_brain.figures.forest import Mark, draw_mark
from ukb_brain.figures.stamp import MUTED, stamp
from ukb_brain.grid import Grid

CEILING = Mark("D", False, 6)
SHARE = Mark("o", True, 6.5)


def draw_ceilings(reliability: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw each target's test-retest ceiling as skill, and the share that its fullest cell reaches.

    ``reliability`` is from `ukb_brain.statistics.limits.retest_table.retest_table`: one row a
    target, ``target, ceiling, share`` with ``_low`` and ``_high``.
    """
    table = forest.on_skill_scale(forest.in_order(reliability, grid), ["ceiling"], grid)
    titles = ("Ceiling, as skill", "Share of the ceiling reached")
    figure, left, right = forest.paired(table, grid, 0.29, titles, "no target was measured twice")
    for y, row, colour in forest.rows_of(table, grid):
        draw_mark(left, row, "ceiling", y, colour, CEILING)
        draw_mark(right, row, "share", y, colour, SHARE)
        if pd.isna(row.get("ceiling")):
            forest.say_in_row(left, y, "no ceiling")
    for axes in (left, right):
        axes.set_xlim(min(-0.03, axes.get_xlim()[0]), 1.03)
    right.axvline(1, color=MUTED, lw=1, ls=(0, (4, 3)))
    forest.head(
        figure,
        "How much of what can be read is read?",
        "Ceiling: the skill that a perfect reader of the true characteristic could have, given that"
        " two measurements of it\ndisagree. Share: skill of the fullest inputs over that ceiling. "
        "Lines: 95 % intervals. A ceiling of 1: both visits hold the same values.",
    )
    forest.foot(figure, [("ceiling", CEILING), ("share reached", SHARE)], grid)
    return stamp(figure, source)
