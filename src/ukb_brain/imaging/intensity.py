"""Intensities of a brain on one scale, and in 8 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ukb_brain.imaging.bulk import ScanError
from ukb_brain.imaging.modalities import RANGE, Intensity, Scale

Values = NDArray[np.float32]
EQUAL = "all voxels of the brain are equal"


def scaled(
    values: Values, intensity: Intensity, percentiles: tuple[float, float]
) -> tuple[Values, float]:
    """Put a brain's intensities on a scale.

    Parameters
    ----------
    values : ndarray of shape (voxels,)
        Of the brain.
    intensity : {"z_score", "range"} or Scale
        As a modality's record has it.
    percentiles : (float, float)
        At which a z-score and a range clamp.

    Returns
    -------
    values : ndarray of shape (voxels,)
        A z-score has mean 0 and SD 1; a range is from −1 to 1, and so is what lies outside.
    outside : float
        Where 0, which stands outside the brain, lies on the scale.

    Raises
    ------
    ScanError
        If all values are equal.
    """
    outside = 0.0
    if isinstance(intensity, Scale):
        values = np.clip(values, *np.array(intensity.clamp, dtype=np.float32))
        outside = float(np.clip(0.0, *intensity.clamp))
        centre, spread = intensity.centre, intensity.spread
    else:
        # Sorted first, which is quicker than what numpy does of itself.
        tails = np.percentile(np.sort(values), percentiles).astype(np.float32)
        values = np.clip(values, *tails)
        if values.min() == values.max():
            raise ScanError("broken", EQUAL)
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        is_range = intensity == RANGE
        centre = (low + high) / 2 if is_range else float(values.mean(dtype=np.float64))
        spread = (high - low) / 2 if is_range else float(values.std(dtype=np.float64))
        if not np.float32(spread) > 0:
            raise ScanError("broken", EQUAL)
    return (values - np.float32(centre)) / np.float32(spread), (outside - centre) / spread


class Code(NamedTuple):
    """What a volume of 8 bits stands for: code times scale, plus offset."""

    scale: float
    offset: float

    @classmethod
    def of(cls, low: float, high: float) -> Code:
        """Make one for values between two, of which it misses none by more than half its scale."""
        return cls((high - low) / 255 or 1.0, low)

    def encode(self, values: Values) -> NDArray[np.uint8]:
        """Round finite values."""
        codes = (values - np.float32(self.offset)) * np.float32(1 / self.scale)
        return np.rint(codes, out=codes).astype(np.uint8)

    def decode(self, codes: NDArray[np.uint8]) -> Values:
        """Give the values that codes stand for."""
        return codes * np.float32(self.scale) + np.float32(self.offset)
