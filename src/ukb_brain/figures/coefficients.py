"""What each input adds: coefficients of the study's mixed models."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.forest import Mark, bare, draw_mark, entitle, head, say, tiles
from ukb_brain.figures.stamp import MUTED, colour_of, group_names, stamp
from ukb_brain.grid import Grid

# How far the two intervals of a term are from the middle of its row.
APART = 0.17
OWN, AGAIN = Mark("o", None, 7), Mark("D", None, 7)


def term_name(term: str, grid: Grid) -> str:
    """Name a fixed effect, as ``t1:dwi``, for readers: ``T1 + FLAIR × DWI``, ``serology block``."""
    images = {grid.term_of(key): name for key, name in group_names(grid, " + ").items()}
    return " × ".join(images.get(part, f"{part} block") for part in term.split(":"))


def as_in_the_study(resampled: pd.DataFrame) -> pd.DataFrame:
    """Keep the resampled models of balanced accuracy, all cells weighted alike."""
    alike = (resampled["outcome"] == "balanced_accuracy") & (resampled["weighting"] == "equal")
    return resampled[alike]


def in_points(models: pd.DataFrame) -> pd.DataFrame:
    """Give estimates and bounds in percentage points."""
    return models.assign(**(100 * models[["estimate", "low", "high"]]))


def _panel(axes: Axes, rows: pd.DataFrame, again: pd.DataFrame, domain: str, grid: Grid) -> None:
    effects = rows.loc[rows["term"] != "intercept"].iloc[::-1]
    colour = colour_of(domain, grid)
    entitle(axes, domain.capitalize(), 12)
    axes.set_yticks(range(len(effects)), [term_name(t, grid) for t in effects["term"]], size=10)
    axes.set_ylim(-0.6, len(effects) - 0.4)
    bare(axes, zero="x", labelbottom=True)
    if effects.empty or effects["estimate"].isna().any():
        why = rows["model"].iloc[0].partition(": ")[2] if len(rows) else "no cells"
        say(axes, textwrap.fill(why, 34))
        return
    for y, (_, row) in enumerate(effects.iterrows()):
        both = row["term"] in again.index
        draw_mark(axes, row, "estimate", y + APART * both, MUTED if both else colour, OWN)
        if both:
            draw_mark(axes, again.loc[row["term"]], "estimate", y - APART, colour, AGAIN)
    axes.set_title(f"{int(rows['n'].iloc[0])} cells", loc="right", size=9, color=MUTED)


def draw_coefficients(
    mixed_models: pd.DataFrame,
    grid: Grid,
    source: str,
    mixed_models_resampled: pd.DataFrame | None = None,
) -> Figure:
    """Draw each input's effect on balanced accuracy with its 95 % interval, a panel a domain.

    ``mixed_models`` has one row a fixed effect; a model that could not be fitted shows why. Beside
    the models' own are drawn those over resampled test people, where ``mixed_models_resampled`` is
    given, from `ukb_brain.statistics.inputs.mixed_resampling`: ``domain, outcome, weighting, term,
    estimate, low, high``.
    """
    models, again = in_points(mixed_models), pd.DataFrame(columns=["domain", "term"])
    words = "Mixed model a domain, a random intercept a target (REML). Filled: the 95 % interval "
    if mixed_models_resampled is not None:
        again = in_points(as_in_the_study(mixed_models_resampled))
    if again.empty:
        words += "excludes 0. Cells share test people, so intervals are too narrow."
    else:
        words += (
            "excludes 0.\nRest on the diamonds: intervals over resampled test people. Grey circles "
            "are the model's own,\nwhich takes cells of the same people as independent."
        )
    label = "Change in balanced accuracy, percentage points"
    sides, number = (0.14, 0.97), len(grid.domains)
    figure, every = tiles(number, 2, (label, ""), 0.62, sides, (0.42, 0.32), sharex=True)
    for axes, domain in zip(every, grid.domains, strict=True):
        mine = again[again["domain"] == domain].set_index("term")
        _panel(axes, models[models["domain"] == domain], mine, domain, grid)
    head(figure, "Which inputs help?", words)
    return stamp(figure, source)
