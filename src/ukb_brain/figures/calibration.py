"""Whether predictions are of the right size: reliability curves."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.forest import bare, entitle, head, nothing, tiles
from ukb_brain.figures.stamp import MUTED, colour_of, stamp
from ukb_brain.grid import Grid, Target


def showable(curves: pd.DataFrame, below: int) -> pd.DataFrame:
    """Keep the bins (``n, events``; the latter of binary targets) of which no count is small.

    Neither a bin nor either class in it may have fewer people than ``below``.
    """
    yes = curves["events"].astype("Float64")
    no = curves["n"] - yes
    few = (curves["n"] < below) | (yes < below).fillna(False) | (no < below).fillna(False)
    return curves[~few.to_numpy(bool)]


def draw_calibration(
    calibration_curves: pd.DataFrame, grid: Grid, source: str, suppress_below: int = 10
) -> Figure:
    """Draw what was observed where people were predicted alike, a panel a target.

    ``calibration_curves`` is from `ukb_brain.statistics.people.calibration_curve`: one row a target
    and bin, ``target, bin, n, events, predicted, observed, low, high``. Bins with fewer than
    ``suppress_below`` people, or with fewer in a class, are left out, and their number is said.
    """
    whole = calibration_curves["target"].value_counts()
    targets = {key: target for key, target in grid.targets.items() if key in whole}
    figure, every = tiles(len(targets), 5, ("mean prediction", "mean observed"))
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
    kept = showable(calibration_curves, suppress_below)
    for axes, (key, target) in zip(every, targets.items(), strict=True):
        colour = colour_of(target.domain, grid)
        _panel(axes, kept[kept["target"] == key], whole[key], target, colour)
    return stamp(figure, source)


def _panel(axes: Axes, rows: pd.DataFrame, whole: int, target: Target, colour: str) -> None:
    unit = f" ({target.unit})" if target.kind == "continuous" and target.unit else ""
    entitle(axes, target.name + unit)
    bare(axes, rules="both", labelsize=8, labelcolor=MUTED)
    if len(rows) < whole:
        words = f"{whole - len(rows)} of {whole} bins too small to show"
        axes.text(0.98, 0.02, words, size=7.5, color=MUTED, ha="right", transform=axes.transAxes)
    if rows.empty:
        axes.set(xticks=[], yticks=[])
        return
    known = rows.dropna(subset=["low", "high"])
    axes.vlines(known["predicted"], known["low"], known["high"], color=colour, lw=1.8, alpha=0.75)
    axes.plot(rows["predicted"], rows["observed"], "o", color=colour, ms=4.5, mec="white", mew=0.6)
    low = float(np.nanmin(rows[["predicted", "observed", "low"]].to_numpy(float)))
    up = float(np.nanmax(rows[["predicted", "observed", "high"]].to_numpy(float)))
    room = 0.06 * (up - low) or 0.05
    axes.set(xlim=(low - room, up + room), ylim=(low - room, up + room))
    axes.axline((low, low), slope=1, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
    axes.locator_params(nbins=4)
