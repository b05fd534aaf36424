"""What each imaging group and block contributes to each target: Shapley values."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures import forest
from ukb_brain.figures.forest import Mark
from ukb_brain.figures.stamp import INK, MUTED, Look, colour_of, stamp
from ukb_brain.grid import Grid

BASELINE, FULLEST = "baseline", "fullest"
TITLES = {BASELINE: "Baseline", FULLEST: "All together"}


def draw_contributions(contributions: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw what each part contributes to each target and, on average, to each domain.

    A row of panels a domain, a column a part: first the skill without any of the parts, last that
    of all, between them what shares out the difference. ``contributions`` is from
    `ukb_brain.statistics.inputs.contributions`: ``domain, target, measure, part, estimate, low,
    high``; rows of a domain's mean have no target.
    """
    rows = contributions[contributions["measure"] != "interaction"]
    rows = rows.assign(
        column=rows["part"].where(rows["measure"] == "contribution", rows["measure"])
    )
    parts = [*grid.imaging, *(d for d in grid.domains if d != grid.base_domain)]
    columns = [BASELINE, *parts, FULLEST]
    listed = {
        domain: [*(t for t in grid.targets_of(domain) if (rows["target"] == t).any()), ""]
        for domain in grid.domains
        if (rows["domain"] == domain).any()
    }
    lines = sum(len(targets) for targets in listed.values())
    figure = Figure(figsize=(13.5, 0.25 * lines + 0.6 * len(listed) + 2.2))
    forest.head(
        figure,
        "What does each input contribute?",
        "Skill (R², or 2·AUC − 1) without imaging and optional blocks, what each of them "
        "contributes (Shapley values), and the skill of all together: baseline + parts = all.\n"
        "Lines are 95 % intervals over people, hollow where they hold 0, none where all draws "
        "agree. A domain's parts share one scale. A target's own domain is never an input.",
    )
    marks = {
        "target": Mark(),
        "mean of the domain": Mark("D"),
        "interval holds 0": Mark("o", False),
    }
    forest.foot(figure, list(marks.items()), grid)
    if not listed:
        forest.nothing(figure, "no target has a score from every input")
        return stamp(figure, source)
    shape, sides = (len(listed), len(columns)), (0.125, 0.985)
    heights = [len(targets) + 0.3 for targets in listed.values()]
    every = forest.panels(figure, shape, (1.45, 0.75), sides, (0.12, 0.3), height_ratios=heights)
    for of_domain, (domain, targets) in zip(every, listed.items(), strict=True):
        mine = rows[rows["domain"] == domain]
        colour = colour_of(domain, grid)
        for axes, column in zip(of_domain, columns, strict=True):
            of_column = mine[mine["column"] == column].set_index("target")
            _panel(axes, of_column, targets, colour)
        _label(of_domain[0], domain, targets, grid, colour)
        _share_scale(of_domain[1:-1])
        _share_scale(of_domain[[0, -1]])
    for axes, column in zip(every[0], columns, strict=True):
        forest.entitle(axes, TITLES.get(column, column.capitalize()), pad=20)
    return stamp(figure, source)


def _panel(axes: Axes, rows: pd.DataFrame, targets: list[str], colour: str) -> None:
    forest.bare(axes, zero="x", **forest.QUIET)
    axes.set_yticks([])
    axes.set_ylim(len(targets) - 0.4, -0.6)
    axes.axhline(len(targets) - 1.5, color=MUTED, lw=0.6)
    if rows.empty:
        axes.set_xticks([])
        forest.say(axes, "not an input", size=8.5)
    for target, row in rows.iterrows():
        y = targets.index(str(target))
        look = (colour, Mark("o", None, 5.5)) if target else (INK, Mark("D", None, 6))
        forest.draw_mark(axes, row, "estimate", y, *look)


def _label(axes: Axes, domain: str, targets: list[str], grid: Grid, colour: str) -> None:
    names = [grid.targets[t].name if t else "mean" for t in targets]
    axes.set_yticks(range(len(targets)), names, size=9.5)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    place: Look = {"xytext": (-104, 5), "textcoords": "offset points", "weight": "bold"}
    words = domain.capitalize()
    axes.annotate(words, (0, 1), xycoords="axes fraction", size=11, color=colour, **place)


def _share_scale(panels: list[Axes]) -> None:
    drawn = [axes for axes in panels if len(axes.lines) > 2]
    ends = [axes.get_xlim() for axes in drawn]
    for axes in drawn:
        axes.set_xlim(min(low for low, _ in ends), max(up for _, up in ends))
        axes.locator_params(axis="x", nbins=3)
