"""Whether images tell more than site, sex, age, head size and motion, and within sites."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
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

# From the top of a row: how far below its middle, which score, and how it looks.
SCORES = (
    (-0.24, "score", "imaging cell", Mark("o", True, 5.5)),
    (0.0, "within_site", "the same within sites", Mark("s", False, 5)),
    (0.24, "confounds", "confounds alone", Mark("X", True, 5.5)),
)
GAIN = Mark("o", True, 5.5)
UNSURE = Mark("o", False, 5.5)


def draw_confounds(confounds: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw each target's imaging cell, the same within sites, and confounds alone.

    Parameters
    ----------
    confounds : pandas.DataFrame
        One row a target: ``target, metric, status`` and ``score, within_site, confounds, gain``
        with ``_low`` and ``_high``; see `ukb_brain.statistics.limits.limit_tables.confound_table`.
    grid : Grid
        Gives names and domains.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure
        Everything is on the scale of skill, R² or 2·AUC − 1; a gain in area counts twice.
    """
    table = in_order(confounds, grid)
    table = on_skill_scale(table, [*(name for _, name, _, _ in SCORES), "gain"], grid)
    figure = Figure(figsize=(10.5, 0.36 * len(table) + 2.4))
    high = figure.get_figheight()
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.7, 1])
    figure.subplots_adjust(
        left=0.15, right=0.97, bottom=1.0 / high, top=1 - 1.3 / high, wspace=0.08
    )
    domains = tuple(grid.domains)
    for y, (_, row) in enumerate(table.iterrows()):
        _row(left, right, y, row, colour_of(grid.targets[row["target"]].domain, domains))
    bare(left)
    bare(right)
    left.set_title("Skill", loc="left", size=11, weight="bold")
    right.set_title("Added by images to confounds", loc="left", size=11, weight="bold")
    name_rows(left, list(table["target"]), grid)
    head(
        figure,
        "Do images tell more than confounds?",
        "Skill (R², or 2·AUC − 1) from all imaging and as few blocks as may be. Confounds: site, "
        "sex, age, head size, head motion,\nas far as known, less the target itself. Right: "
        "confounds, block and images together, less the first two; hollow where the 95 % "
        "interval holds 0.",
    )
    if table.empty:
        nothing(figure, "no imaging cell has scores")
    foot(figure, [(words, mark) for _, _, words, mark in SCORES], grid)
    return stamp(figure, source)


def _row(left: Axes, right: Axes, y: int, row: pd.Series, colour: str) -> None:
    if y % 2:
        for axes in (left, right):
            axes.axhspan(y - 0.5, y + 0.5, color="#f5f7f9", zorder=0)
    for below, name, _, mark in SCORES:
        shade = MUTED if name == "confounds" else colour
        draw_mark(left, row, name, y + below, shade, mark)
    low, up = row.get("gain_low"), row.get("gain_high")
    clear = low is not None and up is not None and bool(low > 0 or up < 0)
    draw_mark(right, row, "gain", y, colour, GAIN if clear else UNSURE)
    if pd.isna(row.get("score")):
        left.text(0.01, y, "no scores", va="center", size=8.5, color=MUTED, style="italic")
