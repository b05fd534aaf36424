"""Pictures of single scans: restricted, whatever they are drawn for."""

import io
from collections.abc import Sequence

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from nilearn.plotting import plot_anat
from numpy.typing import NDArray

from ukb_brain.figures.stamp import Look

OUTLINE = "#f5a623"
# Where the planes cross, in mm of MNI space.
CUTS = (0, -18, 8)
COLUMNS = 6
Slice = NDArray[np.floating]


def _png(figure: Figure, dpi: int = 80) -> bytes:
    buffer = io.BytesIO()
    look: Look = {"facecolor": "black", "metadata": {"Software": None}}
    figure.savefig(buffer, format="png", dpi=dpi, **look)
    return buffer.getvalue()


def three_planes(volume: nib.Nifti1Image, template: nib.Nifti1Image) -> bytes:
    """Draw a volume in three planes with the outline of the template's brain, as PNG."""
    figure = Figure(figsize=(6.2, 2.5))
    values = np.asarray(volume.dataobj, dtype=np.float32)
    low, high = np.percentile(values, (1, 99.5))
    display = plot_anat(
        volume,
        cut_coords=CUTS,
        figure=figure,
        draw_cross=False,
        colorbar=False,
        black_bg=True,
        dim=0,
        vmin=low,
        vmax=max(high, low + 1e-6),
    )
    display.add_contours(template, levels=[0.5], colors=[OUTLINE], linewidths=1)
    return _png(figure)


def axial(volume: Slice, affine: NDArray[np.float64]) -> Slice:
    """Take the axial slice where `three_planes` has it, left on the left and front at the top."""
    place = round(float((np.linalg.inv(affine) @ (*CUTS, 1))[2]))
    flat = volume[:, :, min(max(place, 0), volume.shape[2] - 1)].astype(np.float32)
    return np.flip(flat if affine[0, 0] > 0 else flat[::-1], axis=1).T


def matrix_of(vector: Slice) -> Slice:
    """Put a vector of a strict triangle back into its square; another one is broken into lines."""
    nodes = round((1 + np.sqrt(1 + 8 * len(vector))) / 2)
    if nodes * (nodes - 1) // 2 != len(vector):
        side = int(np.ceil(np.sqrt(len(vector))))
        return np.pad(vector, (0, side**2 - len(vector))).reshape(side, side)
    square = np.zeros((nodes, nodes), dtype=np.float32)
    square[np.tril_indices(nodes, -1)] = vector
    return square + square.T


def contact_sheet(
    pictures: Sequence[Slice], words: Sequence[str], outline: Slice | None = None
) -> bytes:
    """Draw slices of one shape side by side, each on its own scale, with words below, as PNG."""
    height, width = pictures[0].shape
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    # Room for words below each, and for a line between two.
    high, wide = height + max(2, round(0.16 * width)), width + max(1, round(0.04 * width))
    sheet = np.zeros((rows * high, columns * wide), dtype=np.float32)
    drawn = np.zeros_like(sheet)
    inches = 11 * columns / COLUMNS
    figure = Figure(figsize=(inches, inches * sheet.shape[0] / sheet.shape[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for number, (picture, word) in enumerate(zip(pictures, words, strict=True)):
        top, left = number // columns * high, number % columns * wide
        known = np.nan_to_num(picture.astype(np.float32))
        dark, bright = np.percentile(known, (1, 99.5))
        place = np.s_[top : top + height, left : left + width]
        sheet[place] = np.clip((known - dark) / max(bright - dark, 1e-6), 0, 1)
        if outline is not None:
            drawn[place] = outline
        middle: Look = {"ha": "center", "va": "center", "family": "monospace", "size": 11}
        axes.text(left + width / 2, top + (height + high) / 2, word, color="white", **middle)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    if outline is not None:
        axes.contour(drawn, levels=[0.5], colors=[OUTLINE], linewidths=0.8)
    return _png(figure, dpi=100)
