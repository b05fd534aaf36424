"""Mean connectivity of training people, a matrix a modality, with names of regions."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ukb_brain.figures.forest import head
from ukb_brain.figures.stamp import INK, Look, modality_names, stamp
from ukb_brain.grid import Grid

# Inches: of a matrix, beside and below it for names, and above all.
SIDE, BESIDE, BELOW, HEAD = 6.0, 1.7, 1.7, 1.5
# More names would not fit beside a matrix.
MOST_NAMES = 45
TOLD = (
    "Mean of training people; functional: Fisher's z, structural: strength as the run scales it.\n"
    "Where not all names of regions fit, every so many is named."
)


def matrix_of(edges: pd.DataFrame) -> pd.DataFrame:
    """Arrange edges, ``region, other, mean``, as a symmetric matrix; NaN on the diagonal."""
    names = [edges["region"].iloc[0], *edges["other"].drop_duplicates()]
    half = edges.pivot_table("mean", "other", "region", dropna=False)
    half = half.reindex(index=names, columns=names)
    return half.fillna(half.T)


def draw_connectivity(mean_connectivity: pd.DataFrame, grid: Grid, source: str) -> Figure:
    """Draw ``modality, region, other, mean``, an edge a row."""
    names, parts = modality_names(grid), list(mean_connectivity.groupby("modality", sort=False))
    width, high = max(1, len(parts)) * (SIDE + 2 * BESIDE), SIDE + BELOW + HEAD
    figure = Figure(figsize=(width, high))
    told = TOLD if parts else "No connectivity of ten training people or more."
    head(figure, "How are regions connected?", told)
    for place, (modality, edges) in enumerate(parts):
        left = (place * (SIDE + 2 * BESIDE) + BESIDE) / width
        axes = figure.add_axes((left, BELOW / high, SIDE / width, SIDE / high))
        _draw(axes, matrix_of(edges), names[str(modality)])
    return stamp(figure, source, filled=False)


def _draw(axes: Axes, matrix: pd.DataFrame, title: str) -> None:
    values = matrix.to_numpy(float)
    most = float(np.nanmax(np.abs(values)))
    signed = float(np.nanmin(values)) < 0
    look: Look = {"cmap": "RdBu_r", "vmin": -most} if signed else {"cmap": "viridis", "vmin": 0.0}
    image = axes.imshow(values, vmax=most, interpolation="nearest", **look)
    every = range(0, len(matrix), -(-len(matrix) // MOST_NAMES))
    shown = [str(matrix.index[k]) for k in every]
    axes.set_xticks(every, shown, rotation=90, fontsize=6)
    axes.set_yticks(every, shown, fontsize=6)
    axes.set_title(title, color=INK, size=11)
    axes.figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
