"""Grids in MNI space, and FLIRT matrices.

A FLIRT matrix maps scaled-voxel coordinates of the moving image (voxel index times voxel size, x
flipped where the image's determinant is positive) to those of the reference, which for UK
Biobank is FSL's MNI152 at 1 mm.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]

FSL_MNI_SHAPE = (182, 218, 182)
FSL_MNI_ORIGIN = (90.0, -126.0, -72.0)
# Box of the MNI152 brain in mm in x, y and z, 4 mm wider than nilearn's mask of it.
BRAIN_BOX = ((-76.0, 76.0), (-111.0, 77.0), (-76.0, 86.0))
# The study's boxes; FSL's whole MNI152 and the box of its brain, at any voxel size.
NAMED_GRIDS = ("study128", "study64", "mni152", "mni152_brain")


def fsl_mni(voxel_mm: float = 1.0) -> tuple[tuple[int, int, int], Affine]:
    """FSL's MNI152 grid.

    Parameters
    ----------
    voxel_mm : float
        Voxel edge; 1 gives 182 × 218 × 182, 2 gives 91 × 109 × 91.

    Returns
    -------
    shape : tuple of int
    affine : ndarray of shape (4, 4)
        Voxel to world in mm; determinant negative in x, voxel (0, 0, 0) at (90, −126, −72).

    Examples
    --------
    >>> shape, affine = fsl_mni(voxel_mm=2)
    >>> shape, (affine @ [45, 63, 36, 1]).tolist()
    ((91, 109, 91), [0.0, 0.0, 0.0, 1.0])
    """
    x, y, z = (int(np.ceil(n / voxel_mm)) for n in FSL_MNI_SHAPE)
    affine = np.diag([-voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = FSL_MNI_ORIGIN
    return (x, y, z), affine


def common_grid(
    shape: tuple[int, int, int], voxel_mm: float, centre: tuple[float, float, float]
) -> Affine:
    """Voxel to world, (4, 4), of a box in MNI space, oriented as FSL's MNI152.

    Its shape is in voxels; their edge, `centre` and the world are in mm.
    """
    affine = np.diag([-voxel_mm, voxel_mm, voxel_mm, 1.0])
    middle = (np.asarray(shape) - 1) / 2
    affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ middle
    return affine


def named_grid(name: str, voxel_mm: float | None) -> dict[str, Any]:
    """Give ``shape``, ``voxel_mm`` and ``centre_mm`` of one of `NAMED_GRIDS`.

    The study's have a voxel size of their own; MNI152's must be given one. Raises `ValueError` for
    other names, and without a size.
    """
    if name in ("study128", "study64"):
        n = int(name.removeprefix("study"))
        # Scaled by .7 to 128 voxels, and averaged two by two.
        return {"shape": (n, n, n), "voxel_mm": 128 / n / 0.7, "centre_mm": (0.0, -18.0, 8.0)}
    sized = isinstance(voxel_mm, int | float) and voxel_mm > 0
    if name not in NAMED_GRIDS or voxel_mm is None or not sized:
        raise ValueError(
            f"common_grid {name!r} with voxel_mm {voxel_mm}, expected one of "
            f"{', '.join(NAMED_GRIDS)}, and for those of mni152 an edge of voxels in mm"
        )
    if name == "mni152":
        shape, affine = fsl_mni(voxel_mm)
        middle = affine[:3, 3] + affine[:3, :3] @ (np.array(shape) - 1) / 2
    else:
        low, high = np.array(BRAIN_BOX).T
        x, y, z = np.ceil((high - low) / voxel_mm).astype(int).tolist()
        shape, middle = (x, y, z), (low + high) / 2
    return {"shape": shape, "voxel_mm": voxel_mm, "centre_mm": tuple(middle.tolist())}


def to_flirt(
    world: Affine,
    moving_affine: Affine,
    moving_shape: tuple[int, ...],
    reference_affine: Affine,
    reference_shape: tuple[int, ...],
) -> Affine:
    """Write a world-to-world affine (moving to reference, mm) as FLIRT would store it.

    Affines are of shape (4, 4), those of images voxel to world; shapes are in voxels. Source: FSL
    FLIRT user guide, "Transformation matrices".
    """
    moving = _voxel_to_scaled(moving_affine, moving_shape)
    reference = _voxel_to_scaled(reference_affine, reference_shape)
    return np.asarray(
        reference @ np.linalg.inv(reference_affine) @ world @ moving_affine @ np.linalg.inv(moving)
    )


def _voxel_to_scaled(affine: Affine, shape: tuple[int, ...]) -> Affine:
    size = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    scaled = np.diag([*size, 1.0])
    if np.linalg.det(affine[:3, :3]) > 0:
        scaled[0, 0] = -size[0]
        scaled[0, 3] = (shape[0] - 1) * size[0]
    return scaled
