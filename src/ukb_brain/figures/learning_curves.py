"""What more training people would give: learning curves, and how far they are extrapolated."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ukb_brain.figures.forest import RULE_COLOUR, head
from ukb_brain.figures.stamp import DOMAIN_COLOURS, INK, MUTED, stamp
from ukb_brain.grid import Grid

COLUMNS = 5
LEGEND_COLUMNS = 4
LOOKS = ("o", "s", "^", "D", "v", "P")
CELL = ["inputs", "strategy"]


def power_law_at(fit: pd.Series, people: np.ndarray) -> np.ndarray:
    """Read a fitted curve.

    Parameters
    ----------
    fit : pandas.Series
        ``asymptote, rate, at_10x, n_largest``; the drop follows from them.
    people : ndarray, shape (k,)
        Training people.

    Returns
    -------
    ndarray, shape (k,)
        Skill; NaN without a fit.

    Notes
    -----
    The curve is that of `ukb_brain.statistics.limits.power_law.PowerLaw`, asymptote − drop ·
    (n / largest)^(−rate), with its drop solved from the value at ten times the largest size;
    ``test_curve_is_the_fitted_power_law`` compares both.
    """
    rate = fit["rate"] if pd.notna(fit["rate"]) else 0.0
    at_tenfold = fit["asymptote"] - fit["at_10x"]
    share: np.ndarray = (people / (10 * fit["n_largest"])) ** -rate
    return np.asarray(fit["asymptote"] - at_tenfold * share, dtype=float)


def draw_learning_curves(
    learning_curves: pd.DataFrame, fits: pd.DataFrame, grid: Grid, source: str
) -> Figure | None:
    """Draw skill against training people, the curve through it, and what it says of ten times.

    Parameters
    ----------
    learning_curves : pandas.DataFrame
        ``target, inputs, strategy, n_train, skill, skill_low, skill_high``; see
        `ukb_brain.tables.reported.learning_curves`.
    fits : pandas.DataFrame
        ``target, inputs, strategy, shape, n_largest, asymptote, rate, at_10x, at_10x_low,
        at_10x_high, at_100x_scenario``; see `LearningCurveFits` there.
    grid : Grid
        Gives names and domains.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure or None
        None where nothing was retrained, or for other targets only.
    """
    scored = learning_curves.dropna(subset=["skill"])
    targets = [t for t in grid.targets if (scored["target"] == t).any()]
    if not targets:
        return None
    looks = _looks(scored, targets, grid)
    rows = -(-len(targets) // COLUMNS)
    names = sorted({line for of_target in looks.values() for line, _ in of_target.values()})
    base = 0.8 + 0.22 * -(-len(names) // LEGEND_COLUMNS)
    figure = Figure(figsize=(13, 2.5 * rows + 1.3 + base))
    high = figure.get_figheight()
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    figure.subplots_adjust(
        left=0.055, right=0.985, top=1 - 1.5 / high, bottom=base / high, wspace=0.25, hspace=0.45
    )
    for axes, key in zip(panels, targets, strict=False):
        axes.set_title(grid.targets[key].name, loc="left", size=10, weight="bold", color=INK)
        mine = scored[scored["target"] == key]
        for cell, look in looks[key].items():
            of_cell = (fits["target"] == key) & (fits[CELL] == list(cell)).all(axis=1)
            points = mine[(mine[CELL] == list(cell)).all(axis=1)]
            _line(axes, points, fits[of_cell], look)
        _finish(axes, mine)
    for axes in panels[len(targets) :]:
        axes.axis("off")
    figure.supxlabel("training people", size=10, color=MUTED, y=(base - 0.52) / high)
    figure.supylabel("skill", size=10, color=MUTED, x=0.008)
    head(
        figure,
        "What would more people give?",
        "Skill (R², or 2·AUC − 1) on the same test people by number of training people, with 95 %"
        " intervals, and a power law through it. Dashed: extrapolation, with a 95 %\ninterval at"
        " ten times the largest number (the fan only joins intervals). Hollow: a scenario at a"
        " hundred times, which nothing measured stands behind.",
    )
    _legend(figure, looks)
    return stamp(figure, source)


Look = tuple[str, tuple[str, str]]


def _looks(
    scored: pd.DataFrame, targets: list[str], grid: Grid
) -> dict[str, dict[tuple[str, str], Look]]:
    """Name each cell by what it stands for, since inputs differ between domains."""
    every, colours = [], {}
    for key in targets:
        for inputs, strategy in dict.fromkeys(
            scored.loc[scored["target"] == key, CELL].itertuples(index=False, name=None)
        ):
            every.append((key, inputs, strategy, _kind_of_inputs(key, inputs, grid)))
    lines = list(dict.fromkeys(f"{kind}, {strategy}" for _, _, strategy, kind in every))
    for at, line in enumerate(lines):
        colours[line] = (DOMAIN_COLOURS[at % len(DOMAIN_COLOURS)], LOOKS[at % len(LOOKS)])
    found: dict[str, dict[tuple[str, str], Look]] = {key: {} for key in targets}
    for key, inputs, strategy, kind in every:
        line = f"{kind}, {strategy}"
        found[key][(inputs, strategy)] = (line, colours[line])
    return found


def _kind_of_inputs(target: str, inputs: str, grid: Grid) -> str:
    if inputs == grid.fullest(target).name:
        return "fullest inputs"
    if inputs == (alone := grid.imaging_alone(target)).name:
        return "imaging and the base block" if alone.blocks else "imaging alone"
    return inputs


def _line(axes: Axes, points: pd.DataFrame, fits: pd.DataFrame, look: Look) -> None:
    colour, mark = look[1]
    low, high = points["skill_low"], points["skill_high"]
    axes.vlines(points["n_train"], low, high, color=colour, lw=1.4, alpha=0.6)
    axes.plot(points["n_train"], points["skill"], mark, color=colour, ms=4.5, mec="white", mew=0.6)
    if fits.empty or pd.isna(fits["at_10x"].iloc[0]):
        return
    fit = fits.iloc[0]
    largest = fit["n_largest"]
    inside = np.geomspace(points["n_train"].min(), largest, 40)
    beyond = np.geomspace(largest, 10 * largest, 40)
    axes.plot(inside, power_law_at(fit, inside), color=colour, lw=1.4)
    axes.plot(beyond, power_law_at(fit, beyond), color=colour, lw=1.2, ls=(0, (4, 2)))
    tenfold = fit["at_10x_low"], fit["at_10x_high"]
    last = points[points["n_train"] == points["n_train"].max()]
    axes.fill_between(
        [largest, 10 * largest],
        [last["skill_low"].mean(), tenfold[0]],
        [last["skill_high"].mean(), tenfold[1]],
        color=colour,
        alpha=0.12,
        lw=0,
    )
    axes.vlines(10 * largest, *tenfold, color=colour, lw=1.8)
    axes.plot(10 * largest, fit["at_10x"], mark, color=colour, ms=4.5, mec="white", mew=0.6)
    axes.plot(100 * largest, fit["at_100x_scenario"], mark, color=colour, mfc="white", ms=5)


def _finish(axes: Axes, points: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.axhline(0, color=MUTED, lw=1, zorder=1)
    largest = points["n_train"].max()
    axes.axvline(largest, color=MUTED, lw=0.8, ls=(0, (1, 2)), zorder=1)
    axes.set_xlim(points["n_train"].min() / 1.6, largest * 220)
    axes.set_ylim(min(-0.05, axes.get_ylim()[0]), min(1.05, axes.get_ylim()[1] + 0.03))
    axes.grid(color=RULE_COLOUR, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, which="both", labelsize=8, labelcolor=MUTED)
    axes.spines[:].set_visible(False)


def _legend(figure: Figure, looks: dict[str, dict[tuple[str, str], Look]]) -> None:
    lines = {line: look for of_target in looks.values() for line, look in of_target.values()}
    figure.legend(
        handles=[
            Line2D([], [], color=colour, marker=mark, mec="white", label=line)
            for line, (colour, mark) in lines.items()
        ],
        loc="lower left",
        bbox_to_anchor=(0.015, 0.02 / figure.get_figheight()),
        ncols=min(LEGEND_COLUMNS, len(lines)),
        frameon=False,
        fontsize=9,
    )
