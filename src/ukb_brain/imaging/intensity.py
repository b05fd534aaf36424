"""Intensities of a brain on one scale, and in 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ukb_brain.imaging.bulk import ScanError
from ukb_brain.imaging.modalities import RANGE, Intensity, Scale

Volume = NDArray[np.float32]
# An image that fills less of the grid than this was registered to the wrong place.
LEAST_FILLED = 0.08


def scaled(
    volume: Volume,
    inside: NDArray[np.bool_],
    intensity: Intensity,
    percentiles: tuple[float, float],
) -> Volume:
    """Put a brain's intensities on a scale.

    Parameters
    ----------
    volume : ndarray of shape (X, Y, Z)
    inside : ndarray of shape (X, Y, Z)
        The brain; elsewhere everything counts as 0, which has its place on the scale too.
    intensity : {"z_score", "range"} or Scale
        As a modality's record has it.
    percentiles : (float, float)
        Of the brain, at which a z-score and a range clamp.

    Returns
    -------
    ndarray of shape (X, Y, Z)
        A z-score has mean 0 and SD 1 in the brain; a range is from −1 to 1 over the whole volume.

    Raises
    ------
    ScanError
        If there is nothing to scale.
    """
    if inside.mean() < LEAST_FILLED:
        raise ScanError("broken", f"fills {inside.mean():.0%} of the common grid")
    values, outside = volume[inside], 0.0
    if isinstance(intensity, Scale):
        values = np.clip(values, *intensity.clamp)
        outside = float(np.clip(0.0, *intensity.clamp))
        centre, spread = intensity.centre, intensity.spread
    else:
        values = np.clip(values, *np.percentile(values, percentiles))
        if values.min() == values.max():
            raise ScanError("broken", "all voxels of the brain are equal")
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        is_range = intensity == RANGE
        centre = (low + high) / 2 if is_range else float(values.mean())
        spread = (high - low) / 2 if is_range else float(values.std())
    out = np.full(volume.shape, (outside - centre) / spread, dtype=np.float32)
    out[inside] = (values - centre) / spread
    return out


def to_eight_bits(values: Volume) -> tuple[NDArray[np.uint8], float, float]:
    """Give codes, scale and offset of finite values, whose error is at most half the scale."""
    low, high = float(values.min()), float(values.max())
    scale = (high - low) / 255 or 1.0
    return np.rint((values - low) / scale).astype(np.uint8), scale, low


def from_eight_bits(codes: NDArray[np.uint8], scale: float, offset: float) -> Volume:
    """Give the values that codes stand for."""
    return codes * np.float32(scale) + np.float32(offset)
