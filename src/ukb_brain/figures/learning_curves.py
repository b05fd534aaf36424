"""What more training people would give: learning curves, and how far they are extrapolated."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ukb_brain.figures.forest import bare, entitle, head, in_order, legend, tiles
from ukb_brain.figures.stamp import DOMAIN_COLOURS, MUTED, Look, stamp
from ukb_brain.grid import Grid

LEGEND_COLUMNS = 4
LOOKS = ("o", "s", "^", "D", "v", "P")


def power_law_at(fit: pd.Series, people: np.ndarray) -> np.ndarray:
    """Read a fitted curve at numbers of training people, shape (k,): skill, NaN without a fit.

    The curve is that of `ukb_brain.statistics.limits.power_law.PowerLaw`, asymptote − drop ·
    (n / largest)^(−rate), with its drop solved from the value at ten times the largest size:
    ``fit`` holds ``asymptote, rate, at_10x, n_largest``. ``test_curve_is_the_fitted_power_law``
    compares both.
    """
    rate = fit["rate"] if pd.notna(fit["rate"]) else 0.0
    share: np.ndarray = (people / (10 * fit["n_largest"])) ** -rate
    return np.asarray(fit["asymptote"] - (fit["asymptote"] - fit["at_10x"]) * share, dtype=float)


def draw_learning_curves(
    learning_curves: pd.DataFrame, learning_curve_fits: pd.DataFrame, grid: Grid, source: str
) -> Figure | None:
    """Draw skill against training people, the curve through it, and what it says of ten times.

    The tables are those of the pipeline `evidence`. None where nothing was retrained, or for other
    targets only.
    """
    scored = _named(learning_curves.dropna(subset=["skill"]), grid)
    fits = _named(learning_curve_fits, grid)
    if scored.empty:
        return None
    # In the order of targets, so that colours do not depend on that of the table.
    looks = {
        line: (DOMAIN_COLOURS[at % len(DOMAIN_COLOURS)], LOOKS[at % len(LOOKS)])
        for at, line in enumerate(scored["line"].unique())
    }
    base = 0.8 + 0.22 * -(-len(looks) // LEGEND_COLUMNS)
    number = scored["target"].nunique()
    figure, every = tiles(number, 5, ("training people", "skill"), base)
    for axes, (key, mine) in zip(every, scored.groupby("target", sort=False), strict=True):
        entitle(axes, grid.targets[str(key)].name)
        for line, points in mine.groupby("line", sort=False):
            fitted = fits[(fits["target"] == key) & (fits["line"] == line)]
            _line(axes, points, fitted, *looks[str(line)])
        _finish(axes, mine)
    head(
        figure,
        "What would more people give?",
        "Skill (R², or 2·AUC − 1) on the same test people by number of training people, with 95 %"
        " intervals, and a power law through it. Dashed: extrapolation, with a 95 %\ninterval at"
        " ten times the largest number (the fan only joins intervals). Hollow: a scenario at a"
        " hundred times, which nothing measured stands behind.",
    )
    handles = [
        Line2D([], [], color=colour, marker=mark, mec="white", label=line)
        for line, (colour, mark) in looks.items()
    ]
    at = (0.015, 0.02 / figure.get_figheight())
    legend(figure, handles, at, ncols=min(LEGEND_COLUMNS, len(handles)))
    return stamp(figure, source)


def _named(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Name each cell's ``line`` by what it stands for, since inputs differ between domains."""
    table = in_order(table, grid)
    lines = [
        f"{_kind_of_inputs(target, inputs, grid)}, {strategy}"
        for target, inputs, strategy in table[["target", "inputs", "strategy"]].to_numpy()
    ]
    return table.assign(line=lines)


def _kind_of_inputs(target: str, inputs: str, grid: Grid) -> str:
    if inputs == grid.fullest(target).name:
        return "fullest inputs"
    if inputs == (alone := grid.imaging_alone(target)).name:
        return "imaging and the base block" if alone.blocks else "imaging alone"
    return inputs


def _line(axes: Axes, points: pd.DataFrame, fits: pd.DataFrame, colour: str, mark: str) -> None:
    dot: Look = {"color": colour, "ms": 4.5, "mec": "white", "mew": 0.6}
    low, high = points["skill_low"], points["skill_high"]
    axes.vlines(points["n_train"], low, high, color=colour, lw=1.4, alpha=0.6)
    axes.plot(points["n_train"], points["skill"], mark, **dot)
    if fits.empty or pd.isna(fits["at_10x"].iloc[0]):
        return
    fit = fits.iloc[0]
    largest = fit["n_largest"]
    inside = np.geomspace(points["n_train"].min(), largest, 40)
    beyond = np.geomspace(largest, 10 * largest, 40)
    axes.plot(inside, power_law_at(fit, inside), color=colour, lw=1.4)
    axes.plot(beyond, power_law_at(fit, beyond), color=colour, lw=1.2, ls=(0, (4, 2)))
    last = points.loc[points["n_train"] == points["n_train"].max(), ["skill_low", "skill_high"]]
    lower, upper = zip(last.mean(), fit[["at_10x_low", "at_10x_high"]], strict=True)
    axes.fill_between([largest, 10 * largest], lower, upper, color=colour, alpha=0.12, lw=0)
    axes.vlines(10 * largest, fit["at_10x_low"], fit["at_10x_high"], color=colour, lw=1.8)
    axes.plot(10 * largest, fit["at_10x"], mark, **dot)
    axes.plot(100 * largest, fit["at_100x_scenario"], mark, color=colour, mfc="white", ms=5)


def _finish(axes: Axes, points: pd.DataFrame) -> None:
    axes.set_xscale("log")
    bare(axes, zero="y", rules="both", which="both", labelsize=8, labelcolor=MUTED)
    largest = points["n_train"].max()
    axes.axvline(largest, color=MUTED, lw=0.8, ls=(0, (1, 2)), zorder=1)
    axes.set_xlim(points["n_train"].min() / 1.6, largest * 220)
    axes.set_ylim(min(-0.05, axes.get_ylim()[0]), min(1.05, axes.get_ylim()[1] + 0.03))
