"""Score against compute: what each strategy's cells are worth, and what they cost."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from ukb_brain.figures.forest import bare, entitle, head, legend, panels, say
from ukb_brain.figures.stamp import MUTED, Look, stamp
from ukb_brain.grid import Grid
from ukb_brain.statistics.scores.skill import with_skill

# Told apart by shape as well as by colour (Paul Tol's "bright").
LOOKS = {
    "linear": ("#66ccee", "s"),
    "kernels": ("#228833", "D"),
    "amortised": ("#4477aa", "o"),
    "dedicated": ("#ee6677", "^"),
}
COSTS = {"flops": "Floating-point operations a cell", "train_seconds": "Seconds a cell"}
CELL = ["target", "inputs"]
ENDS = ["skill_low", "skill_high"]


def score_and_cost(performance: pd.DataFrame, cell_fits: pd.DataFrame) -> pd.DataFrame:
    """Line up what each cell is worth with what it cost, for cells that every strategy has.

    Parameters
    ----------
    performance, cell_fits : pandas.DataFrame
        One row a cell, strategy, fold and seed; the latter with ``flops`` where they were counted.

    Returns
    -------
    pandas.DataFrame
        One row a cell and strategy: ``skill, skill_low, skill_high`` and the costs, each the mean
        over folds and seeds. A cell that one of the strategies lacks is in none: means over
        different cells could not be compared.
    """
    keys = [*CELL, "strategy", "fold", "seed"]
    flops = cell_fits.reindex(columns=[*keys, "flops"])
    scored = with_skill(performance).merge(flops, on=keys, how="left")
    by_cell = scored.groupby([*CELL, "domain", "strategy"], observed=True)
    both = by_cell[["skill", *ENDS, *COSTS]].mean().dropna(subset=["skill"]).reset_index()
    strategies = performance["strategy"].nunique()
    return both[both.groupby(CELL)["strategy"].transform("nunique") == strategies]


def draw_compute(
    performance: pd.DataFrame, cell_fits: pd.DataFrame, grid: Grid, source: str
) -> Figure:
    """Draw skill against operations and against seconds, a row of panels for each domain.

    The tables are those of `score_and_cost`; a ``device`` of the fits is told.
    """
    both = score_and_cost(performance, cell_fits)
    rows = {d: both[both["domain"] == d] for d in grid.domains} | {"all domains": both}
    figure = Figure(figsize=(10.5, 1.95 * len(rows) + 1.9))
    shape, sides = (len(rows), len(COSTS)), (0.09, 0.97)
    shared = {"sharex": "col", "sharey": "row"}
    every = panels(figure, shape, (1.45, 0.65), sides, (0.08, 0.38), **shared)
    for axes, (row, mine) in zip(every, rows.items(), strict=True):
        for one, cost in zip(axes, COSTS, strict=True):
            _panel(one, mine, cost)
        entitle(axes[0], row.capitalize(), 12)
        number = mine.groupby(CELL).ngroups
        axes[1].set_title(f"{number} cells", loc="right", size=9, color=MUTED)
        axes[0].set_ylabel("skill", size=10, color=MUTED)
        _limit(axes[0], mine)
    for one, (cost, words) in zip(every[-1], COSTS.items(), strict=True):
        one.set_xlabel(words, size=10, color=MUTED)
        if not (both[cost] > 0).any():
            one.set_xticks([])
    known = cell_fits["device"].dropna() if "device" in cell_fits else ()
    used = sorted({device for each in known for device in each.split("+") if device})
    text = (
        "Skill is R², or 2·AUC − 1, on test people. Large: the mean over cells, at the geometric "
        "mean of their costs; its bar is the mean of the cells' 95 % intervals. Small: each cell. "
        "A cell's cost holds its share of what cells train together."
        + (f" Measured on {', '.join(used)}." if used else "")
    )
    head(figure, "What does a better score cost?", textwrap.fill(text, 118))
    handles = [
        Line2D([], [], ls="", color=colour, marker=marker, ms=8, label=name)
        for name, (colour, marker) in LOOKS.items()
        if (both["strategy"] == name).any()
    ]
    if handles:
        place = (0.97, 1 - 0.95 / figure.get_figheight())
        legend(figure, handles, place, loc="upper right", fontsize=10)
    return stamp(figure, source)


def _panel(axes: Axes, cells: pd.DataFrame, cost: str) -> None:
    bare(axes, zero="y", rules="both", which="both", labelsize=9)
    shown = cells[cells[cost] > 0]
    if shown.empty:
        why = "no cell that every strategy has" if cells.empty else "not recorded"
        say(axes, why, va="baseline")
        return
    axes.set_xscale("log")
    # Labels of minor ticks would lie upon each other.
    axes.xaxis.set_minor_formatter(NullFormatter())
    for strategy, own in shown.groupby("strategy", observed=True):
        colour, marker = LOOKS[str(strategy)]
        axes.plot(own[cost], own["skill"], marker, ms=3, color=colour, alpha=0.22, mew=0)
        at = np.exp(np.log(own[cost]).mean())
        bar: Look = {"color": colour, "lw": 2.4, "solid_capstyle": "butt", "zorder": 3}
        axes.plot([at, at], own[ENDS].mean(), **bar)
        axes.plot(at, own["skill"].mean(), marker, ms=8.5, color=colour, mec="white", zorder=4)


def _limit(axes: Axes, cells: pd.DataFrame) -> None:
    """Show all means and nearly all cells; a few of far below 0 would flatten the rest."""
    if cells.empty:
        return
    ends = cells.groupby("strategy", observed=True)[ENDS].mean()
    values = [*ends.to_numpy().ravel(), *np.quantile(cells["skill"], [0.02, 1.0]), 0.0]
    low, high = np.nanmin(values), np.nanmax(values)
    room = 0.08 * max(high - low, 0.05)
    axes.set_ylim(low - room, high + room)
