"""The legibility map: a heat map a domain, inputs by targets."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from ukb_brain.figures.forest import entitle
from ukb_brain.figures.stamp import INK, MUTED, Look, group_names, stamp
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
# Inches: of a cell, of a column of dots, between panels, over the cells of a line, and the margin.
COLUMN, ROW, DOT, BETWEEN, ABOVE, MARGIN = 0.46, 0.27, 0.25, 0.5, 1.75, 0.3
# What the explanation beside the base domain needs, in rows of cells and in inches.
LEAST_ROWS, LEAST_WIDTH = 7, 9.0


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


def _parts_of(domain: str, grid: Grid) -> list[str]:
    """List what rows of a domain may have, a column of dots each."""
    blocks = {block for row in inputs_of(domain, grid) for block in row.blocks}
    return [*grid.imaging, *(d for d in grid.domains if d in blocks)]


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


def _place(figure: Figure, x: float, y: float, wide: float, high: float) -> Axes:
    """Make axes of a size in inches, as is their upper left corner from that of the figure."""
    width, height = figure.get_size_inches()
    return figure.add_axes((x / width, 1 - (y + high) / height, wide / width, high / height))


def _panel(
    figure: Figure, at: tuple[float, float], table: pd.DataFrame, domain: str, grid: Grid
) -> None:
    """Draw a domain at a place in inches: dots for the inputs of rows, and cells."""
    x, y = at
    rows, parts = inputs_of(domain, grid), _parts_of(domain, grid)
    targets = [grid.targets[key] for key in grid.targets_of(domain)]
    dots, high = DOT * len(parts), ROW * len(rows)
    left = _place(figure, x, y, dots, high)
    right = _place(figure, x + dots + 0.03, y, COLUMN * len(targets), high)
    _dots(left, rows, parts, grid)
    names = [t.name + ("" if t.kind == "binary" else " (R²)") for t in targets]
    skill, score = (score_table(table, domain, grid, name) for name in ("skill", "score"))
    _cells(right, skill, score, names)
    for axes in (left, right):
        axes.set_ylim(len(rows) - 0.5, -0.5)
        for k, (above, row) in enumerate(pairwise(rows), start=1):
            if row.groups != above.groups:
                axes.axhline(k - 0.5, color="#9aa5b1" if row.blocks else "white", linewidth=0.7)
    entitle(left, domain.capitalize(), 13, pad=10)


def _explain(figure: Figure, x: float, y: float, n_test: pd.Series, grid: Grid, below: int) -> None:
    """Say at a place in inches what numbers, dots and colours are."""
    width, height = figure.get_size_inches()
    used = [d for d in grid.domains if any(d in cell.inputs.blocks for cell in grid.cells)]
    named = ", ".join(f"{grid.domains[d].letter} {d}" for d in used)
    blocks = f", and blocks of non-imaging traits ({named})" if used else ""
    words = (
        "A number is the AUC of a binary target or the R² of a continuous one (marked R²), in "
        f"held-out test people ({count_range(n_test, below)} a cell).\n"
        f"Dots left of a row are its inputs: imaging groups{blocks}.\n"
        "A target's own domain is never among its inputs. Beige: at or below chance. A lone dot: "
        "no result.\nDifferences between neighbouring cells are often smaller than their "
        "intervals: see the dashboard."
    )
    look: Look = {"va": "top", "size": 10, "color": MUTED, "linespacing": 1.65}
    figure.text(x / width, 1 - (y - 0.15) / height, words, **look)
    axes = _place(figure, x, y + 1.4, width - x - 2 * MARGIN, 0.15)
    bar = figure.colorbar(
        ScalarMappable(NORM, COLOURS), cax=axes, orientation="horizontal", extend="min"
    )
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.outline.set_visible(False)
    axes.set_xlabel("R² of a continuous target", size=9)
    # The ticks above follow the scale of the colours, which is not linear.
    above = axes.secondary_xaxis("top", functions=(NORM.inverse, NORM))
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
    rows = {domain: len(inputs_of(domain, grid)) for domain in grid.domains}
    wide = {
        d: DOT * len(_parts_of(d, grid)) + COLUMN * len(grid.targets_of(d)) + BETWEEN for d in rows
    }
    # The base domain has a line of its own, with the explanation beside it.
    first = [domain for domain in rows if domain == grid.base_domain]
    second = [domain for domain in rows if domain != grid.base_domain]
    beside = MARGIN + sum(wide[d] for d in first)
    middle = ABOVE + ROW * max([LEAST_ROWS, *(rows[d] for d in first)])
    bottom = max([middle, *(middle + ABOVE + ROW * rows[d] for d in second)])
    width = max(beside + LEAST_WIDTH, 3 * MARGIN + sum(wide[d] for d in second))
    figure = Figure(figsize=(width, bottom + 0.5))
    for line, y in ((first, ABOVE), (second, middle + ABOVE)):
        x = MARGIN
        for domain in line:
            _panel(figure, (x, y), table, domain, grid)
            x += wide[domain]
    _explain(figure, beside, ABOVE, performance["n_test"], grid, suppress_below)
    place = {"x": MARGIN / width, "y": 1 - 0.2 / figure.get_figheight(), "va": "top", "ha": "left"}
    title = "What can be read of a person, from which data"
    figure.suptitle(title, **place, size=19, weight="bold", color=INK)
    return stamp(figure, source, filled=False)
