"""Score against compute: what each strategy's cells are worth, and what they cost."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from ukb_brain.figures.stamp import INK, MUTED, stamp
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
EDGES = ("_low", "_high")
EVERYWHERE = "all domains"


def score_and_cost(performance: pd.DataFrame, cell_fits: pd.DataFrame) -> pd.DataFrame:
    """Line up what each cell is worth with what it cost, for cells that every strategy has.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell, strategy, fold and seed.
    cell_fits : pandas.DataFrame
        The same rows, with ``flops`` where they were counted.

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
    skills = ["skill", *(f"skill{edge}" for edge in EDGES)]
    both = scored.groupby([*CELL, "domain", "strategy"], observed=True)[[*skills, *COSTS]].mean()
    both = both.dropna(subset=["skill"]).reset_index()
    strategies = performance["strategy"].nunique()
    return both[both.groupby(CELL)["strategy"].transform("nunique") == strategies]


def draw_compute(
    performance: pd.DataFrame, cell_fits: pd.DataFrame, grid: Grid, source: str
) -> Figure:
    """Draw skill against operations and against seconds, a row of panels for each domain.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell, strategy, fold and seed.
    cell_fits : pandas.DataFrame
        The same rows, with ``flops``.
    grid : Grid
        Gives the domains and their order.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure
    """
    both = score_and_cost(performance, cell_fits)
    rows = [*grid.domains, EVERYWHERE]
    figure = Figure(figsize=(10.5, 1.95 * len(rows) + 1.9))
    high = figure.get_figheight()
    panels = figure.subplots(len(rows), len(COSTS), sharex="col", sharey="row", squeeze=False)
    figure.subplots_adjust(
        left=0.09, right=0.97, top=1 - 1.45 / high, bottom=0.65 / high, wspace=0.08, hspace=0.38
    )
    for axes, row in zip(panels, rows, strict=True):
        mine = both if row == EVERYWHERE else both[both["domain"] == row]
        for one, cost in zip(axes, COSTS, strict=True):
            _panel(one, mine, cost)
        axes[0].set_title(row.capitalize(), loc="left", size=12, weight="bold", color=INK)
        number = mine[CELL].drop_duplicates().shape[0]
        axes[1].set_title(f"{number} cells", loc="right", size=9, color=MUTED)
        axes[0].set_ylabel("skill", size=10, color=MUTED)
        _limit(axes[0], mine)
    for one, cost in zip(panels[-1], COSTS, strict=True):
        one.set_xlabel(COSTS[cost], size=10, color=MUTED)
        if not (both[cost] > 0).any():
            one.set_xticks([])
    _words(figure, both, cell_fits)
    return stamp(figure, source)


def _panel(axes: Axes, cells: pd.DataFrame, cost: str) -> None:
    axes.axhline(0, color=MUTED, lw=1)
    axes.grid(color="#e4e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    shown = cells[cells[cost] > 0]
    if shown.empty:
        why = "no cell that every strategy has" if cells.empty else "not recorded"
        axes.text(
            *(0.5, 0.5, why), transform=axes.transAxes, ha="center", color=MUTED, style="italic"
        )
        return
    axes.set_xscale("log")
    # Labels of minor ticks would lie upon each other.
    axes.xaxis.set_minor_formatter(NullFormatter())
    for strategy, own in shown.groupby("strategy", observed=True):
        colour, marker = LOOKS[str(strategy)]
        axes.plot(own[cost], own["skill"], marker, ms=3, color=colour, alpha=0.22, mew=0)
        at = np.exp(np.log(own[cost]).mean())
        ends = [own[f"skill{edge}"].mean() for edge in EDGES]
        axes.plot([at, at], ends, color=colour, lw=2.4, solid_capstyle="butt", zorder=3)
        axes.plot(at, own["skill"].mean(), marker, ms=8.5, color=colour, mec="white", zorder=4)


def _limit(axes: Axes, cells: pd.DataFrame) -> None:
    """Show all means and nearly all cells; a few of far below 0 would flatten the rest."""
    if cells.empty:
        return
    ends = cells.groupby("strategy", observed=True)[[f"skill{edge}" for edge in EDGES]].mean()
    values = [*ends.to_numpy().ravel(), *np.quantile(cells["skill"], [0.02, 1.0]), 0.0]
    low, high = np.nanmin(values), np.nanmax(values)
    room = 0.08 * max(high - low, 0.05)
    axes.set_ylim(low - room, high + room)


def _words(figure: Figure, both: pd.DataFrame, cell_fits: pd.DataFrame) -> None:
    high = figure.get_figheight()
    devices = ""
    if "device" in cell_fits:
        used = sorted({d for each in cell_fits["device"].dropna() for d in each.split("+") if d})
        devices = f" Measured on {', '.join(used)}." if used else ""
    figure.text(
        *(0.02, 1 - 0.2 / high, "What does a better score cost?"),
        size=15, weight="bold", color=INK, va="top",
    )  # fmt: skip
    text = (
        "Skill is R², or 2·AUC − 1, on test people. Large: the mean over cells, at the geometric "
        "mean of their costs; its bar is the mean of the cells' 95 % intervals. Small: each cell. "
        f"A cell's cost holds its share of what cells train together.{devices}"
    )
    figure.text(
        *(0.02, 1 - 0.56 / high, textwrap.fill(text, 118)),
        size=9.5, color=MUTED, va="top", linespacing=1.3,
    )  # fmt: skip
    present = [name for name in LOOKS if name in set(both["strategy"])]
    handles = [
        Line2D([], [], ls="", color=LOOKS[name][0], marker=LOOKS[name][1], ms=8, label=name)
        for name in present
    ]
    if handles:
        figure.legend(
            handles=handles, loc="upper right", ncols=len(handles), frameon=False,
            bbox_to_anchor=(0.97, 1 - 0.95 / high), fontsize=10,
        )  # fmt: skip
