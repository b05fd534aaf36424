"""What each input adds: coefficients of the study's mixed models."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.stamp import INK, MUTED, colour_of, stamp
from ukb_brain.grid import Grid

NAMES = {"t1": "T1 + FLAIR", "dwi": "DWI", "rsfmri": "rsfMRI", "t1:dwi": "T1 + FLAIR × DWI"}
POINTS = 100


def _name(term: str) -> str:
    return NAMES.get(term, f"{term} block" if ":" not in term else term.replace(":", " × "))


def _panel(axes: Axes, rows: pd.DataFrame, domain: str, colour: str) -> None:
    effects = rows.loc[rows["term"] != "intercept"].iloc[::-1]
    fitted = effects["estimate"].notna().all() and len(effects) > 0
    axes.set_title(domain.capitalize(), loc="left", size=12, weight="bold", color=INK)
    axes.axvline(0, color=MUTED, lw=1)
    axes.set_yticks(range(len(effects)), [_name(t) for t in effects["term"]], size=10)
    axes.set_ylim(-0.6, len(effects) - 0.4)
    axes.grid(axis="x", color="#e4e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if not fitted:
        why = rows["model"].iloc[0].partition(": ")[2] if len(rows) else "no cells"
        axes.text(
            *(0.5, 0.5, textwrap.fill(why, 34)),
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=MUTED,
            style="italic",
        )
        return
    for y, (_, row) in enumerate(effects.iterrows()):
        clear = row["low"] > 0 or row["high"] < 0
        axes.plot(
            [row["low"] * POINTS, row["high"] * POINTS], [y, y], color=colour, lw=2.4, alpha=0.75
        )
        axes.plot(
            *(row["estimate"] * POINTS, y, "o"),
            ms=8,
            color=colour,
            mfc=colour if clear else "white",
            mec=colour,
            mew=1.5,
        )
    axes.annotate(
        f"{int(rows['n'].iloc[0])} cells",
        xy=(1, 1),
        xycoords="axes fraction",
        xytext=(0, 7),
        textcoords="offset points",
        ha="right",
        size=9,
        color=MUTED,
    )


def draw_coefficients(mixed_models: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw each input's effect on balanced accuracy with its 95 % interval, a panel a domain.

    Parameters
    ----------
    mixed_models : pandas.DataFrame
        One row a fixed effect. A model that could not be fitted shows why.
    grid : Grid
        Gives the domains and their order.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure
    """
    domains = tuple(grid.domains)
    rows = -(-len(domains) // 2)
    figure = Figure(figsize=(10.5, 2.55 * rows + 1.5))
    panels = figure.subplots(rows, 2, sharex=True, squeeze=False).ravel()
    high = figure.get_figheight()
    figure.subplots_adjust(
        left=0.14, right=0.97, top=1 - 1.3 / high, bottom=0.6 / high, wspace=0.42, hspace=0.32
    )
    for axes, domain in zip(panels, domains, strict=False):
        mine = mixed_models.loc[mixed_models["domain"] == domain]
        _panel(axes, mine, domain, colour_of(domain, domains))
        axes.tick_params(labelbottom=True)
    for axes in panels[len(domains) :]:
        axes.axis("off")
    figure.supxlabel(
        "Change in balanced accuracy, percentage points", size=10, color=MUTED, y=0.12 / high
    )
    figure.text(
        *(0.02, 1 - 0.2 / high, "Which inputs help?"), size=15, weight="bold", color=INK, va="top"
    )
    figure.text(
        *(0.02, 1 - 0.56 / high),
        "Mixed model a domain, a random intercept a target (REML). Filled: the 95 % interval "
        "excludes 0. Cells share test people, so intervals are too narrow.",
        size=9.5,
        color=MUTED,
        va="top",
    )
    return stamp(figure, source)
