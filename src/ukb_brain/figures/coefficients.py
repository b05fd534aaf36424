"""What each input adds: coefficients of the study's mixed models."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.forest import Mark, draw_mark
from ukb_brain.figures.stamp import INK, MUTED, colour_of, stamp
from ukb_brain.grid import Grid

POINTS = 100
# How far the two intervals of a term are from the middle of its row.
APART = 0.17
RESAMPLED = "D"


def term_name(term: str, grid: Grid) -> str:
    """Name a fixed effect for readers.

    Parameters
    ----------
    term : str
        Such as ``t1:dwi``.
    grid : Grid
        Names the modalities: a term of an imaging group names all that it has.

    Returns
    -------
    str
        Such as ``T1 + FLAIR × DWI``, or ``serology block``.
    """
    images = {
        grid.term_of(group): " + ".join(m.name.replace(" Connectivity", "") for m in held.values())
        for group, held in grid.imaging.items()
    }
    return " × ".join(images.get(part, f"{part} block") for part in term.split(":"))


def _panel(
    axes: Axes, rows: pd.DataFrame, resampled: pd.DataFrame, domain: str, grid: Grid
) -> None:
    effects = rows.loc[rows["term"] != "intercept"].iloc[::-1]
    colour = colour_of(domain, tuple(grid.domains))
    fitted = effects["estimate"].notna().all() and len(effects) > 0
    axes.set_title(domain.capitalize(), loc="left", size=12, weight="bold", color=INK)
    axes.axvline(0, color=MUTED, lw=1)
    axes.set_yticks(range(len(effects)), [term_name(t, grid) for t in effects["term"]], size=10)
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
    again = resampled.set_index("term")
    for y, (_, row) in enumerate(effects.iterrows()):
        both = row["term"] in again.index
        _effect(axes, row, y + APART * both, MUTED if both else colour, "o")
        if both:
            _effect(axes, again.loc[row["term"]], y - APART, colour, RESAMPLED)
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


def _effect(axes: Axes, row: pd.Series, y: float, colour: str, shape: str) -> None:
    clear = row["low"] > 0 or row["high"] < 0
    named = row.rename({"low": "estimate_low", "high": "estimate_high"})
    draw_mark(axes, named, "estimate", y, colour, Mark(shape, bool(clear), 7), POINTS)


def draw_coefficients(
    mixed_models: pd.DataFrame, grid: Grid, source: str, resampled: pd.DataFrame | None = None
) -> Figure:
    """Draw each input's effect on balanced accuracy with its 95 % interval, a panel a domain.

    Parameters
    ----------
    mixed_models : pandas.DataFrame
        One row a fixed effect. A model that could not be fitted shows why.
    grid : Grid
        Gives the domains and their order.
    source : str
        ``synthetic`` is stamped.
    resampled : pandas.DataFrame, optional
        The same models with intervals over resampled test people, ``domain, outcome, weighting,
        term, estimate, low, high``; see `ukb_brain.statistics.inputs.mixed_resampling`. Drawn
        beside the models' own: of balanced accuracy, all cells weighted alike.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if resampled is None:
        resampled = pd.DataFrame(columns=["domain", "outcome", "weighting", "term"])
    alike = (resampled["outcome"] == "balanced_accuracy") & (resampled["weighting"] == "equal")
    resampled = resampled[alike]
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
        again = resampled.loc[resampled["domain"] == domain]
        _panel(axes, mine, again, domain, grid)
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
        _words(not resampled.empty),
        size=9.5,
        color=MUTED,
        va="top",
    )
    return stamp(figure, source)


def _words(resampled: bool) -> str:
    words = "Mixed model a domain, a random intercept a target (REML). Filled: the 95 % interval "
    if not resampled:
        return words + "excludes 0. Cells share test people, so intervals are too narrow."
    return (
        words + "excludes 0.\nRest on the diamonds: intervals over resampled test people. Grey "
        "circles are the model's own, which takes cells of the same people as independent."
    )
