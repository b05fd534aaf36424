"""What is measured of each scan by itself, while it is in memory.

Measures of an image's own voxels are taken on some of its rows, which tell as much as all of them.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from ukb_brain.imaging.affines import common_grid

Measures = dict[str, float | str]

# Tells an image from others: two scans that have it in common are one.
CONTENT = "content"
# What is measured here, in words.
MEASURES = {
    "overlap": "overlap (Dice) with the brain of the MNI152 template",
    "empty": "share of the template's brain without a value, or of a vector's numbers",
    "snr": "signal to noise: mean over noise, which is what differs from one voxel to the next",
    "clipped": "share of the brain at the image's largest value",
    "not_finite": "share of the file's voxels that are no numbers",
    "constant": "share of a vector's numbers that are one and the same",
    "largest": "largest number of a vector, with or without a minus",
}
# Voxels, about, of the rows on which an image's own voxels are measured.
ENOUGH_VOXELS = 250_000
# An image of more bytes is no mask, and some of its rows tell it from others.
QUICK_BYTES = 1 << 24
# A normal distribution's SD in median absolute deviations, and the SD of `a - 2b + c` in SDs of
# each of them where they are independent.
SD_OF_MAD, SD_OF_BEND = 1.4826, math.sqrt(6)


@lru_cache(maxsize=4)
def template_brain(
    shape: tuple[int, int, int], voxel_mm: float, centre_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Put the brain mask of nilearn's MNI152 on a common grid, given as its settings give it.

    nilearn's grid runs the other way in x than FSL's, so it is found by places in mm.
    """
    # Only who reads images needs it, and settings are read by all.
    from nilearn.datasets import load_mni152_brain_mask
    from nilearn.image import resample_img

    how = {"interpolation": "nearest", "force_resample": True, "copy_header": True}
    affine = common_grid(shape, voxel_mm, centre_mm)
    mask = load_mni152_brain_mask(resolution=1)
    moved = resample_img(mask, target_affine=affine, target_shape=shape, **how)
    return np.asarray(moved.dataobj) > 0


def measures_of_image(data: NDArray[np.generic]) -> Measures:
    """Measure an image in its own voxels, (x, y, z), of which those outside the brain are 0.

    The noise is the median of how far a voxel lies from the middle between its two neighbours in a
    row, as an SD: a one-dimensional form of Immerkær, Fast noise variance estimation, Computer
    Vision and Image Understanding 64:300-302, 1996, made robust to edges. Structure as fine as a
    voxel counts as noise, and blur does not. NaN where there is no noise, as in a mask.
    """
    step = max(1, round(math.sqrt(data.size / ENOUGH_VOXELS)))
    rows = data[:, ::step, ::step].astype(np.float32)
    filled = rows != 0
    brain = rows[filled]
    if not len(brain) and not data.any():
        # An empty mask may be anybody's.
        return {}
    bends = (rows[:-2] - 2 * rows[1:-1] + rows[2:])[filled[:-2] & filled[1:-1] & filled[2:]]
    noise = float(np.median(np.abs(bends))) * SD_OF_MAD / SD_OF_BEND if len(bends) else 0.0
    return {
        CONTENT: checksum(data.T, rows if data.nbytes > QUICK_BYTES else data.T),
        "snr": float(brain.mean()) / noise if noise else math.nan,
        "clipped": float((brain == brain.max()).mean()) if len(brain) else 0.0,
    }


def measures_of_place(inside: NDArray[np.bool_], template: NDArray[np.bool_]) -> Measures:
    """Compare where a scan has values with the template's brain, both on the common grid."""
    both = int(np.count_nonzero(inside & template))
    of_template = int(np.count_nonzero(template))
    every = int(np.count_nonzero(inside)) + of_template
    return {
        "overlap": 2 * both / every if every else math.nan,
        "empty": 1 - both / of_template if of_template else math.nan,
    }


def measures_of_vector(vector: NDArray[np.floating]) -> Measures:
    """Measure a vector, in which what is lacking is NaN."""
    known = vector[np.isfinite(vector)]
    _, counts = np.unique(known, return_counts=True)
    return {
        CONTENT: checksum(vector, vector),
        "empty": 1 - len(known) / len(vector),
        "constant": float(counts.max() / len(known)) if len(known) else math.nan,
        "largest": float(np.abs(known).max()) if len(known) else math.nan,
    }


def checksum(values: NDArray[np.generic], again: NDArray[np.generic]) -> str:
    """Tell an array from all others, by two checksums of 32 bits that share no arithmetic.

    The second is of ``again``: the values, or a part of them in which no two are alike.
    """
    first = zlib_ng.crc32(np.ascontiguousarray(values))
    return f"{first:08x}{zlib_ng.adler32(np.ascontiguousarray(again)):08x}"
