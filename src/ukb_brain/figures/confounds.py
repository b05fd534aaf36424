"""Whether images tell more than site, sex, age, head size and motion, and within sites."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ukb_brain.figures import forest
from ukb_brain.figures.forest import Mark, draw_mark
from ukb_brain.figures.stamp import MUTED, stamp
from ukb_brain.grid import Grid

# From the top of a row: how far below its middle, which score, and how it looks.
SCORES = (
    (-0.24, "score", "imaging cell", Mark("o", True, 5.5)),
    (0.0, "within_site", "the same within sites", Mark("s", False, 5)),
    (0.24, "confounds", "confounds alone", Mark("X", True, 5.5)),
)


def draw_confounds(confounds: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw each target's imaging cell, the same within sites, and confounds alone.

    ``confounds`` is from `ukb_brain.statistics.limits.confound_table.confound_table`: one row a
    target, ``target, score, within_site, confounds, gain`` with ``_low`` and ``_high``. Everything
    is drawn on the scale of skill, R² or 2·AUC − 1; a gain in area counts twice.
    """
    scores = [*(name for _, name, _, _ in SCORES), "gain"]
    table = forest.on_skill_scale(forest.in_order(confounds, grid), scores, grid)
    titles, empty = ("Skill", "Added by images to confounds"), "no imaging cell has scores"
    figure, left, right = forest.paired(table, grid, 0.36, titles, empty, width_ratios=[1.7, 1])
    for y, row, colour in forest.rows_of(table, grid):
        for axes in (left, right) if y % 2 else ():
            axes.axhspan(y - 0.5, y + 0.5, color="#f5f7f9", zorder=0)
        for below, name, _, mark in SCORES:
            draw_mark(left, row, name, y + below, MUTED if name == "confounds" else colour, mark)
        draw_mark(right, row, "gain", y, colour, Mark("o", None, 5.5))
        if pd.isna(row.get("score")):
            forest.say_in_row(left, y, "no scores")
    forest.head(
        figure,
        "Do images tell more than confounds?",
        "Skill (R², or 2·AUC − 1) from all imaging and as few blocks as may be. Confounds: site, "
        "sex, age, head size, head motion,\nas far as known, less the target itself. Right: "
        "confounds, block and images together, less the first two; hollow where the 95 % "
        "interval holds 0.",
    )
    forest.foot(figure, [(words, mark) for _, _, words, mark in SCORES], grid)
    return stamp(figure, source)
