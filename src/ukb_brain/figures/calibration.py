"""Whether predictions are of the right size: reliability curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.forest import RULE_COLOUR, head, nothing
from ukb_brain.figures.stamp import INK, MUTED, colour_of, stamp
from ukb_brain.grid import Grid, Target

COLUMNS = 5


def showable(curves: pd.DataFrame, below: int) -> pd.DataFrame:
    """Keep the bins of which no count is small.

    Parameters
    ----------
    curves : pandas.DataFrame
        ``n, events`` a bin; events only of binary targets.
    below : int
        The smallest count of people that may be shown: of a bin, and of either class in it.

    Returns
    -------
    pandas.DataFrame
        Fewer rows.
    """
    yes = curves["events"].astype("Float64")
    no = curves["n"] - yes
    few = (curves["n"] < below) | (yes < below).fillna(False) | (no < below).fillna(False)
    return curves[~few.to_numpy(bool)]


def draw_calibration(
    curves: pd.DataFrame, grid: Grid, source: str, suppress_below: int = 10
) -> Figure:
    """Draw what was observed where people were predicted alike, a panel a target.

    Parameters
    ----------
    curves : pandas.DataFrame
        One row a target and bin: ``target, bin, n, events, predicted, observed, low, high``; see
        `ukb_brain.statistics.people.calibration_curve.reliability_curve`.
    grid : Grid
        Gives names, units and domains.
    source : str
        ``synthetic`` is stamped.
    suppress_below : int
        Bins with fewer people, or with fewer in a class, are left out, and their number is said.

    Returns
    -------
    matplotlib.figure.Figure
    """
    targets = [t for t in grid.targets if (curves["target"] == t).any()]
    rows = max(1, -(-len(targets) // COLUMNS))
    figure = Figure(figsize=(12.5, 2.35 * rows + 1.9))
    high = figure.get_figheight()
    head(
        figure,
        "Are predictions of the right size?",
        "Test people in bins of like predictions (fullest inputs): mean prediction across, what was"
        " observed upwards. On the dashed line both agree. Bars are 95 % intervals.\nFlatter than "
        "the line: predictions are too extreme. Steeper: too timid. Bins with fewer than "
        f"{suppress_below} people, or fewer than that in a class, are not shown.",
    )
    if not targets:
        nothing(figure, "no target has a calibration curve")
        return stamp(figure, source)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    figure.subplots_adjust(
        left=0.055, right=0.985, top=1 - 1.5 / high, bottom=0.6 / high, wspace=0.3, hspace=0.5
    )
    kept = showable(curves, suppress_below)
    for axes, key in zip(panels, targets, strict=False):
        colour = colour_of(grid.targets[key].domain, tuple(grid.domains))
        whole = int((curves["target"] == key).sum())
        _panel(axes, kept[kept["target"] == key], whole, grid.targets[key], colour)
    for axes in panels[len(targets) :]:
        axes.axis("off")
    figure.supxlabel("mean prediction", size=10, color=MUTED, y=0.1 / high)
    figure.supylabel("mean observed", size=10, color=MUTED, x=0.008)
    return stamp(figure, source)


def _panel(axes: Axes, rows: pd.DataFrame, whole: int, target: Target, colour: str) -> None:
    unit = f" ({target.unit})" if target.kind == "continuous" and target.unit else ""
    axes.set_title(target.name + unit, loc="left", size=10, weight="bold", color=INK)
    axes.grid(color=RULE_COLOUR, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, labelcolor=MUTED)
    if len(rows) < whole:
        words = f"{whole - len(rows)} of {whole} bins too small to show"
        axes.text(
            *(0.98, 0.02, words),
            transform=axes.transAxes,
            size=7.5,
            color=MUTED,
            ha="right",
            va="bottom",
        )
    if rows.empty:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    known = rows.dropna(subset=["low", "high"])
    axes.vlines(known["predicted"], known["low"], known["high"], color=colour, lw=1.8, alpha=0.75)
    axes.plot(rows["predicted"], rows["observed"], "o", color=colour, ms=4.5, mec="white", mew=0.6)
    low = float(np.nanmin(rows[["predicted", "observed", "low"]].to_numpy(float)))
    up = float(np.nanmax(rows[["predicted", "observed", "high"]].to_numpy(float)))
    room = 0.06 * (up - low) or 0.05
    axes.set_xlim(low - room, up + room)
    axes.set_ylim(low - room, up + room)
    axes.axline((low, low), slope=1, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
    axes.locator_params(nbins=4)
