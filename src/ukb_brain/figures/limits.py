"""What limits legibility: confounds, and how well each target was measured."""

from operator import methodcaller

import pandas as pd
from matplotlib.figure import Figure

from ukb_brain.figures import forest
from ukb_brain.figures.forest import Mark, draw_mark
from ukb_brain.figures.stamp import MUTED, stamp
from ukb_brain.grid import Grid
from ukb_brain.statistics.kinds import by_kind

CEILING, SHARE = Mark("D", False, 6), Mark("o", True, 6.5)
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
    table = on_skill_scale(confounds, [*(name for _, name, _, _ in SCORES), "gain"], grid)
    titles, widths = ("Skill", "Added by images to confounds"), [1.7, 1]
    figure, (left, right) = forest.row_a_target(table, grid, 0.36, titles, width_ratios=widths)
    for y, row, colour in forest.rows_of(table, grid):
        for axes in (left, right) if y % 2 else ():
            axes.axhspan(y - 0.5, y + 0.5, color="#f5f7f9", zorder=0)
        for below, name, _, mark in SCORES:
            draw_mark(left, row, name, y + below, MUTED if name == "confounds" else colour, mark)
        draw_mark(right, row, "gain", y, colour, Mark("o", None, 5.5))
        if pd.isna(row.get("score")):
            forest.say_in_row(left, y, "no scores")
    if table.empty:
        forest.nothing(figure, "no imaging cell has scores")
    forest.head(
        figure,
        "Do images tell more than confounds?",
        "Skill (R², or 2·AUC − 1) from all imaging and as few blocks as may be. Confounds: site, "
        "date, sex, age, head size, head motion,\nas far as known, less the target itself. Right: "
        "confounds, block and images together, less the first two; hollow where the 95 % "
        "interval holds 0.",
    )
    forest.foot(figure, [(words, mark) for _, _, words, mark in SCORES], grid)
    return stamp(figure, source)


def draw_ceilings(reliability: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw each target's test-retest ceiling as skill, and the share that its fullest cell reaches.

    ``reliability`` is from `ukb_brain.statistics.limits.retest_table.retest_table`: one row a
    target, ``target, ceiling, share`` with ``_low`` and ``_high``.
    """
    table = on_skill_scale(reliability, ["ceiling"], grid)
    titles = ("Ceiling, as skill", "Share of the ceiling reached")
    figure, (left, right) = forest.row_a_target(table, grid, 0.29, titles)
    for y, row, colour in forest.rows_of(table, grid):
        draw_mark(left, row, "ceiling", y, colour, CEILING)
        draw_mark(right, row, "share", y, colour, SHARE)
        if pd.isna(row.get("ceiling")):
            forest.say_in_row(left, y, "no ceiling")
    for axes in (left, right):
        axes.set_xlim(min(-0.03, axes.get_xlim()[0]), 1.03)
    right.axvline(1, color=MUTED, lw=1, ls=(0, (4, 3)))
    if table.empty:
        forest.nothing(figure, "no target was measured twice")
    forest.head(
        figure,
        "How much of what can be read is read?",
        "Ceiling: the skill that a perfect reader of the true characteristic could have, given that"
        " two measurements of it\ndisagree. Share: skill of the fullest inputs over that ceiling. "
        "Lines: 95 % intervals. A ceiling of 1: both visits hold the same values.",
    )
    forest.foot(figure, [("ceiling", CEILING), ("share reached", SHARE)], grid)
    return stamp(figure, source)


def on_skill_scale(table: pd.DataFrame, names: list[str], grid: Grid) -> pd.DataFrame:
    """Turn headline scores ``names`` and their bounds into skill; ``gain`` is a difference.

    Rows are in the order of the grid's targets.
    """
    table = forest.in_order(table, grid)
    kinds = table["target"].map({key: target.kind for key, target in grid.targets.items()})
    ends = [f"{n}{end}" for n in names for end in ("", "_low", "_high") if f"{n}{end}" in table]
    return table.assign(
        **{
            c: by_kind(kinds, methodcaller("gain" if c.startswith("gain") else "skill", table[c]))
            for c in ends
        }
    )
