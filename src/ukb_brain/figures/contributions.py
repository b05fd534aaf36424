"""What each imaging group and block contributes to each target: Shapley values."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.forest import Mark, bare, draw_mark, foot, head, nothing
from ukb_brain.figures.stamp import INK, MUTED, colour_of, stamp
from ukb_brain.grid import Grid

MEAN = "mean of the domain"
CLEAR = Mark("o", True, 5.5)
UNSURE = Mark("o", False, 5.5)
CLEAR_MEAN = Mark("D", True, 6)
UNSURE_MEAN = Mark("D", False, 6)
BASELINE, FULLEST = "baseline", "fullest"


def draw_contributions(contributions: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw what each part contributes to each target and, on average, to each domain.

    Parameters
    ----------
    contributions : pandas.DataFrame
        ``domain, target, measure, part, estimate, low, high``; rows of a domain's mean have no
        target. See `ukb_brain.statistics.inputs.contributions`.
    grid : Grid
        Gives names, domains and parts, in their order.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure
        A row of panels a domain, a column a part: first the skill without any of the parts, last
        that of all, between them what shares out the difference.
    """
    rows = contributions[contributions["measure"] != "interaction"]
    rows = rows.rename(columns={"estimate": "skill", "low": "skill_low", "high": "skill_high"})
    shown = [d for d in grid.domains if (rows["domain"] == d).any()]
    parts = [*grid.imaging, *(d for d in grid.domains if d != grid.base_domain)]
    columns = [BASELINE, *parts, FULLEST]
    listed = {d: [*_targets(rows, d, grid), ""] for d in shown}
    lines = sum(len(targets) for targets in listed.values())
    figure = Figure(figsize=(13.5, 0.25 * lines + 0.6 * len(shown) + 2.2))
    high = figure.get_figheight()
    head(
        figure,
        "What does each input contribute?",
        "Skill (R², or 2·AUC − 1) without imaging and optional blocks, what each of them "
        "contributes (Shapley values), and the skill of all together: baseline + parts = all.\n"
        "Lines are 95 % intervals over people, hollow where they hold 0, none where all draws "
        "agree. A domain's parts share one scale. A target's own domain is never an input.",
    )
    foot(figure, [("target", CLEAR), (MEAN, CLEAR_MEAN), ("interval holds 0", UNSURE)], grid)
    if not shown:
        nothing(figure, "no target has a score from every input")
        return stamp(figure, source)
    panels = figure.subplots(
        *(len(shown), len(columns)),
        squeeze=False,
        height_ratios=[len(targets) + 0.3 for targets in listed.values()],
    )
    figure.subplots_adjust(
        left=0.125, right=0.985, top=1 - 1.45 / high, bottom=0.75 / high, wspace=0.12, hspace=0.3
    )
    for panel_row, domain in zip(panels, shown, strict=True):
        mine = rows[rows["domain"] == domain]
        colour = colour_of(domain, tuple(grid.domains))
        for axes, column in zip(panel_row, columns, strict=True):
            _panel(axes, _of_column(mine, column), listed[domain], colour)
        _label(panel_row[0], domain, listed[domain], grid, colour)
        _share_scale(panel_row[1:-1])
        _share_scale(panel_row[[0, -1]])
    for axes, column in zip(panels[0], columns, strict=True):
        axes.set_title(_title(column), size=10, weight="bold", color=INK, loc="left", pad=20)
    return stamp(figure, source)


def _targets(rows: pd.DataFrame, domain: str, grid: Grid) -> list[str]:
    return [t for t in grid.targets_of(domain) if (rows["target"] == t).any()]


def _of_column(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    if column in (BASELINE, FULLEST):
        return rows[rows["measure"] == column].set_index("target")
    return rows[(rows["measure"] == "contribution") & (rows["part"] == column)].set_index("target")


def _title(column: str) -> str:
    return {BASELINE: "Baseline", FULLEST: "All together"}.get(column, column.capitalize())


def _panel(axes: Axes, rows: pd.DataFrame, targets: list[str], colour: str) -> None:
    bare(axes)
    axes.set_yticks([])
    axes.set_ylim(len(targets) - 0.4, -0.6)
    axes.axhline(len(targets) - 1.5, color=MUTED, lw=0.6)
    if rows.empty:
        axes.set_xticks([])
        axes.text(
            *(0.5, 0.5, "not an input"),
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=MUTED,
            style="italic",
            size=8.5,
        )
        return
    places = {target: y for y, target in enumerate(targets)}
    for target, row in rows.iterrows():
        y = places[str(target)]
        clear = row["skill_low"] > 0 or row["skill_high"] < 0
        if target:
            draw_mark(axes, row, "skill", y, colour, CLEAR if clear else UNSURE)
        else:
            draw_mark(axes, row, "skill", y, INK, CLEAR_MEAN if clear else UNSURE_MEAN)


def _label(axes: Axes, domain: str, targets: list[str], grid: Grid, colour: str) -> None:
    names = [grid.targets[t].name if t else "mean" for t in targets]
    axes.set_yticks(range(len(targets)), names, size=9.5)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.annotate(
        domain.capitalize(),
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(-104, 5),
        textcoords="offset points",
        size=11,
        weight="bold",
        color=colour,
    )


def _share_scale(panels: list[Axes]) -> None:
    drawn = [axes for axes in panels if axes.lines and len(axes.lines) > 2]
    if not drawn:
        return
    ends = [axes.get_xlim() for axes in drawn]
    for axes in drawn:
        axes.set_xlim(min(low for low, _ in ends), max(up for _, up in ends))
        axes.locator_params(axis="x", nbins=3)
