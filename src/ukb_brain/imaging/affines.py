"""Grids in MNI space, and FLIRT matrices.

A FLIRT matrix maps scaled-voxel coordinates of the moving image (voxel index times voxel size, x
flipped where the image's determinant is positive) to those of the reference, which for UK
Biobank is FSL's MNI152 at 1 mm.
"""

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]

FSL_MNI_SHAPE = (182, 218, 182)
FSL_MNI_ORIGIN = (90.0, -126.0, -72.0)


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
