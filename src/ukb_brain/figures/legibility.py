"""How well each target is read at best knowledge: a forest plot of its fullest inputs."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ukb_brain.figures import forest
from ukb_brain.figures.forest import Mark
from ukb_brain.figures.stamp import INK, MUTED, stamp
from ukb_brain.grid import Grid
from ukb_brain.statistics.scores import skill
from ukb_brain.words import with_interval

# Skill below this is off the axis: an arrow and the number stand for it.
LEAST_SHOWN = -0.6
ALONE = Mark("o", False, 7)
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
    full = full.assign(alone=full["target"].map(bare_cells))[::-1]
    rough = _rough(intervals)
    missing = {why for why in map(skill.why_no_interval, full.to_dict("records")) if why}
    lowest = min([-0.1, *full[["skill_low", "alone"]].min().dropna()])
    left = max(lowest, LEAST_SHOWN) - 0.03
    figure, (axes,) = forest.row_a_target(full, grid, 0.3, [""], (0.16, 0.76))
    for y, cell, colour in forest.rows_of(full, grid):
        if pd.isna(cell["skill"]):
            forest.say_in_row(axes, y, cell["status"])
            continue
        forest.draw_mark(axes, cell, "alone", y, colour, ALONE)
        outside = cell["skill"] < left
        seen = cell.to_dict() | {"skill": max(cell["skill"], left)}
        mark = Mark("<" if outside else "o", True, 7.5)
        forest.draw_mark(axes, seen, "skill", y, colour, mark, clip_on=False)
        words = in_words(cell) + (" °" if (cell["target"], cell["inputs"]) in rough else "")
        axes.text(1.03, y, words, va="center", size=9, color=INK, clip_on=False)
    axes.set_xlim(left, 1.0)
    axes.set_xlabel("skill: R², or 2·AUC − 1  (0 nothing is read, 1 everything)", color=MUTED)
    forest.foot(figure, [("same blocks, no imaging", ALONE)], grid)
    forest.head(
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
