"""The legibility map: a heat map a domain, inputs by targets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from ukb_brain.figures.forest import entitle
from ukb_brain.figures.labels import group_names
from ukb_brain.figures.stamp import INK, MUTED, stamp
from ukb_brain.figures.suppression import count_range
from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.scores.skill import with_skill
from ukb_brain.words import number

# Most cells read little: a power scale spends more of the colours on small skill.
NORM = PowerNorm(0.8, vmin=0, vmax=1)
COLOURS = LinearSegmentedColormap.from_list(
    "skill", ["#f7fbf4", "#cfe8d0", "#8fcdbb", "#45a5b5", "#2674a8", "#213f88", "#171f4f"]
).with_extremes(under="#efe9e3", bad="#ffffff")
# Above this skill the colours are dark enough for white numbers.
DARK = 0.4
# Of a column of dots, in columns of cells.
DOT_WIDTH = 0.55
# What the explanation beside the base domain needs, in rows of cells.
LEAST_ROWS = 7


def part_labels(grid: Grid) -> dict[str, str]:
    """Label imaging groups by their modalities and blocks by their letters, by key."""
    return group_names(grid) | {key: domain.letter for key, domain in grid.domains.items()}


def inputs_of(domain: str, grid: Grid) -> list[Inputs]:
    """List the inputs of a domain's cells, the rows of its heat map, in the order of the grid."""
    mine = [cell.inputs for cell in grid.cells if grid.targets[cell.target].domain == domain]
    return list({inputs.name: inputs for inputs in mine}.values())


def score_table(performance: pd.DataFrame, domain: str, grid: Grid, column: str) -> np.ndarray:
    """Arrange a column of the performance table, shape (inputs, targets of the domain).

    NaN where a cell has no result.
    """
    wide = performance.set_index(["inputs", "target"])[column]
    rows = [inputs.name for inputs in inputs_of(domain, grid)]
    cells = pd.MultiIndex.from_product([rows, grid.targets_of(domain)])
    return wide.reindex(cells).to_numpy().reshape(len(rows), -1)


def _name_columns(axes: Axes, names: list[str], rotation: float, size: float) -> None:
    axes.set_xticks(range(len(names)), names, rotation=rotation, ha="left", size=size)
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _dots(axes: Axes, rows: list[Inputs], parts: list[str], grid: Grid) -> None:
    """Mark which parts each row's inputs have."""
    used = np.array([[p in (*row.groups, *row.blocks) for p in parts] for row in rows])
    for marked, size, colour in ((~used, 9, "#dde2e7"), (used, 26, INK)):
        y, x = np.nonzero(marked)
        axes.scatter(x, y, s=size, color=colour, linewidths=0)
    axes.set_xlim(-0.6, len(parts) - 0.4)
    labels = part_labels(grid)
    _name_columns(axes, [labels[part] for part in parts], 60, 8)


def _cells(axes: Axes, skill: np.ndarray, score: np.ndarray, names: list[str]) -> None:
    shown = np.ma.masked_invalid(skill)
    axes.imshow(shown, norm=NORM, cmap=COLOURS, aspect="auto", interpolation="none")
    for (row, column), value in np.ndenumerate(score):
        digits = "·" if np.isnan(value) else number(value).replace("0.", ".", 1)
        colour = "white" if skill[row, column] > DARK else INK
        axes.text(column, row, digits, ha="center", va="center", size=7.5, color=colour)
    _name_columns(axes, names, 40, 9)
    axes.set_xticks(np.arange(0.5, len(names) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)


def _panel(
    figure: Figure, places: list[SubplotSpec], table: pd.DataFrame, domain: str, grid: Grid
) -> None:
    """Draw a domain in two places: dots for the inputs of rows, and cells."""
    left, right = (figure.add_subplot(place) for place in places)
    rows = inputs_of(domain, grid)
    blocks = [d for d in grid.domains if any(d in row.blocks for row in rows)]
    _dots(left, rows, [*grid.imaging, *blocks], grid)
    targets = [grid.targets[key] for key in grid.targets_of(domain)]
    names = [t.name + ("" if t.kind == "binary" else " (R²)") for t in targets]
    skill, score = (score_table(table, domain, grid, name) for name in ("skill", "score"))
    _cells(right, skill, score, names)
    for axes in (left, right):
        axes.set_ylim(len(rows) - 0.5, -0.5)
        for at, (above, row) in enumerate(pairwise(rows), start=1):
            if row.groups != above.groups:
                axes.axhline(at - 0.5, color="#9aa5b1" if row.blocks else "white", linewidth=0.7)
    entitle(left, domain.capitalize(), 13, color=INK, pad=10)


def _scale(figure: Figure, axes: Axes) -> None:
    bar = figure.colorbar(
        ScalarMappable(NORM, COLOURS), cax=axes, orientation="horizontal", extend="min"
    )
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.outline.set_visible(False)
    axes.set_xlabel("R² of a continuous target", size=9)
    above = axes.secondary_xaxis("top")
    above.set_xticks(ticks, [f"{(t + 1) / 2:g}" for t in ticks])
    above.set_xlabel("AUC of a binary target", size=9)


def draw_heat_maps(
    performance: pd.DataFrame, grid: Grid, source: str, suppress_below: int = 10
) -> Figure:
    """Draw all domains on one page: rows are inputs, columns targets.

    The number in a cell is the AUC of a binary target or the R² of a continuous one, on test
    people; both share one colour scale, that of skill (R², or 2·AUC − 1). No count of people under
    ``suppress_below`` is told.
    """
    table = with_skill(performance)
    base = [domain for domain in grid.domains if domain == grid.base_domain]
    others = [domain for domain in grid.domains if domain != grid.base_domain]
    of_dots = DOT_WIDTH * (len(grid.imaging) + len(grid.domains) - 1)
    widths = [w for d in others for w in (of_dots, len(grid.targets_of(d)), 1.0)]
    rows_of = {domain: len(inputs_of(domain, grid)) for domain in grid.domains}
    n_rows = [max([LEAST_ROWS, *(rows_of[d] for d in base)])]
    n_rows += [max(rows_of[d] for d in others)] if others else []
    figure = Figure(figsize=(max(0.46 * sum(widths) + 1.0, 13), 0.27 * sum(n_rows) + 3.9))
    high = figure.get_figheight()
    edges = {"left": 0.02, "right": 0.965, "top": 1 - 1.85 / high, "bottom": 0.55 / high}
    between = 1.55 / (0.27 * sum(n_rows) / len(n_rows))
    page = figure.add_gridspec(len(n_rows), 1, height_ratios=n_rows, hspace=between, **edges)
    of_base = [
        w for d in base for w in (DOT_WIDTH * len(grid.imaging), len(grid.targets_of(d)), 1.0)
    ]
    top_widths = [*of_base, max(sum(widths) - sum(of_base), 20)]
    top = page[0].subgridspec(1, len(top_widths), width_ratios=top_widths, wspace=0.03)
    for domain in base:
        # With few rows they keep their height, and the explanation its own.
        heights = [rows_of[domain], max(n_rows[0] - rows_of[domain], 1e-3)]
        split = [top[k].subgridspec(2, 1, height_ratios=heights, hspace=0)[0] for k in (0, 1)]
        _panel(figure, split, table, domain, grid)
    _explain(figure, top[-1], performance["n_test"], grid, suppress_below)
    for at, domain in enumerate(others):
        bottom = page[1].subgridspec(1, len(widths), width_ratios=widths, wspace=0.03)
        _panel(figure, [bottom[3 * at], bottom[3 * at + 1]], table, domain, grid)
    place = {"x": 0.02, "y": 1 - 0.2 / high, "va": "top", "ha": "left"}
    title = "What can be read of a person, from which data"
    figure.suptitle(title, **place, size=19, weight="bold", color=INK)
    return stamp(figure, source, filled=False)


def _explain(figure: Figure, place: SubplotSpec, n_test: pd.Series, grid: Grid, below: int) -> None:
    inner = place.subgridspec(4, 1, height_ratios=[3.0, 1.5, 0.6, 0.9])
    words = figure.add_subplot(inner[0])
    words.axis("off")
    used = [d for d in grid.domains if any(d in cell.inputs.blocks for cell in grid.cells)]
    named = ", ".join(f"{grid.domains[d].letter} {d}" for d in used)
    blocks = f", and blocks of non-imaging traits ({named})" if used else ""
    words.text(
        *(0, 1.25),
        "A number is the AUC of a binary target or the R² of a continuous one (marked R²), in "
        f"held-out test people ({count_range(n_test, below)} a cell).\n"
        f"Dots left of a row are its inputs: imaging groups{blocks}.\n"
        "A target's own domain is never among its inputs. Beige: at or below chance. A lone dot: "
        "no result.\nDifferences between neighbouring cells are often smaller than their "
        "intervals: see the dashboard.",
        va="top",
        size=10,
        color=MUTED,
        linespacing=1.65,
    )
    _scale(figure, figure.add_subplot(inner[2]))
