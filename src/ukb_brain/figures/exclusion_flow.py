"""Who left the cohort at which step, and how many people have scans of each modality."""

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.forest import head
from ukb_brain.figures.stamp import INK, MUTED, modality_names, stamp
from ukb_brain.figures.suppression import any_small, suppress_counts
from ukb_brain.grid import Grid

COLUMNS = {
    "people": "of the table, with a usable scan",
    "undated": "of them, without a date",
    "in_cohort": "of them, in the cohort",
}
STEPS = ("excluded", "remaining")
# Inches: of a step, of a line of the table, and above and below them.
STEP, LINE, HEAD, BETWEEN, FOOT = 0.72, 0.3, 1.2, 0.85, 0.45
STAYS, LEAVES = "#e8eff6", "#f6f1e8"
BOX = {"boxstyle": "round,pad=0.45", "edgecolor": "#b8c1ca", "linewidth": 0.9}


def shown_counts(
    exclusion_flow: pd.DataFrame, scan_counts: pd.DataFrame, below: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the counts of both tables as text, without small ones and what would give them away.

    As long as one count of either table, or the number of people with a scan who left, is small,
    all are rounded: the two tables share their people.
    """
    left = scan_counts["people"] - scan_counts["in_cohort"]
    counts = (exclusion_flow[[*STEPS]], scan_counts[[*COLUMNS]], left)
    small = any(any_small(each, below) for each in counts)
    flow = suppress_counts(exclusion_flow, [*STEPS], below, small)
    return flow, suppress_counts(scan_counts, [*COLUMNS], below, small)


def draw_exclusion_flow(
    exclusion_flow: pd.DataFrame, scan_counts: pd.DataFrame, grid: Grid, below: int, source: str
) -> Figure:
    """Draw who left at each step, from the table to the cohort, over a table of scans.

    ``exclusion_flow`` is ``step, reason, excluded, remaining``, its first row everybody;
    ``scan_counts`` is ``modality, people, undated, in_cohort``. No count under ``below`` is shown.
    """
    flow, scans = shown_counts(exclusion_flow, scan_counts, below)
    high = HEAD + STEP * len(flow) + BETWEEN + LINE * (len(scans) + 1) + FOOT
    figure = Figure(figsize=(9.5, high))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 9.5), ylim=(high, 0))
    axes.set_axis_off()
    told = "People who stay, and who left at each step; somebody leaves at the first that applies."
    if any(text[0] in "<≈" for name in STEPS for text in flow[name]):
        told += f" Counts under {below} are not shown, and the others are rounded."
    head(figure, "Who is in the cohort?", textwrap.fill(told, 120))
    for k, row in enumerate(flow.to_dict("records")):
        stay = row["reason"] if k == 0 else "in the cohort" if k == len(flow) - 1 else "stay"
        y = HEAD + STEP * (k + 0.5)
        look = {"size": 11.5, "weight": "bold", "color": INK, "ha": "center"}
        _box(axes, 2.3, y, f"{row['remaining']} {stay}", STAYS, **look)
        if k:
            _leaves(axes, str(row["reason"]), row["excluded"], y)
    _scans(axes, scans, grid, HEAD + STEP * len(flow) + BETWEEN)
    return stamp(figure, source)


def _box(axes: Axes, x: float, y: float, words: str, colour: str, **look: Any) -> None:
    axes.text(x, y, words, va="center", bbox=BOX | {"facecolor": colour}, zorder=3, **look)


def _leaves(axes: Axes, reason: str, excluded: str, y: float) -> None:
    """Draw the way from the step before, and who left on it."""
    none, middle = excluded == "0", y - STEP / 2
    arrow = {"arrowstyle": "-|>", "color": MUTED, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (2.3, y - 0.17), (2.3, y - STEP + 0.17), arrowprops=arrow)
    aside = arrow | {"alpha": 0.35 if none else 1}
    axes.annotate("", (4.2, middle), (2.3, middle), arrowprops=aside)
    words = textwrap.fill(f"{excluded}  {reason}", 64)
    look = {"color": MUTED if none else INK, "size": 9.5}
    _box(axes, 4.32, middle, words, "white" if none else LEAVES, **look)


def _scans(axes: Axes, scans: pd.DataFrame, grid: Grid, y: float) -> None:
    ends = (4.2, 6.7, 9.1)
    axes.plot([0.3, 9.2], [y - 0.42] * 2, color="#d5dbe1", lw=0.9)
    axes.text(0.3, y, "People with scans", size=10.5, weight="bold", color=INK, va="center")
    for at, title in zip(ends, COLUMNS.values(), strict=True):
        axes.text(at, y, title, size=9, color=MUTED, ha="right", va="center")
    names = modality_names(grid)
    for k, row in enumerate(scans.to_dict("records"), start=1):
        name = names.get(row["modality"], row["modality"])
        axes.text(0.3, y + LINE * k, name, size=10, color=INK, va="center")
        for at, column in zip(ends, COLUMNS, strict=True):
            axes.text(at, y + LINE * k, row[column], size=10, color=INK, ha="right", va="center")
