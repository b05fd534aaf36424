"""Draw a person's T1, FLAIR and fractional anisotropy, and read factors off as an oracle would."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from torch import Tensor

from ukb_brain.imaging.affines import Affine, fsl_mni
from ukb_brain.synthetic.anatomy import (
    COARSE_AFFINE,
    CONTRASTS,
    FIELDS,
    Anatomy,
    contrasts_of,
    cortical_rim,
)
from ukb_brain.synthetic.depth import Depth, load_of
from ukb_brain.synthetic.factors import FACTORS, Group

Array = NDArray[np.float32]
Images = dict[str, Array]
Mask = NDArray[np.bool_]
Points = NDArray[np.float32]
VOLUMETRIC: tuple[Group, ...] = ("structural", "diffusion")

# Interpolated at a time: what a processor's cache holds.
POINTS = 1 << 15
# Share of people's shapes that a nonlinear registration leaves.
SHAPE_LEFT = 0.3
LESION_FACTOR = [f.effect for f in FACTORS["structural"]].index("lesions")


@dataclass(frozen=True)
class Brain:
    """What makes one person's brain at one visit.

    Attributes
    ----------
    structural, diffusion : ndarray of shape (n_factors,)
        Factors.
    site : ndarray of shape (n_sites,)
        1 for the site of the scan.
    shapes, textures : ndarray
        Standard normal weights of the shared anatomy's fields.
    aligned : bool
        Whether shapes of known origin are registered away; what tissues look like stays.
    depth : Depth, optional
        In cohorts that have it.
    """

    structural: NDArray[np.float64]
    diffusion: NDArray[np.float64]
    site: NDArray[np.float64]
    shapes: NDArray[np.float64]
    textures: NDArray[np.float64]
    aligned: bool = field(default=False, kw_only=True)
    depth: Depth | None = field(default=None, kw_only=True)

    @property
    def moving(self) -> NDArray[np.float64]:
        """Structural factors as far as they change shapes."""
        return np.zeros_like(self.structural) if self.aligned else self.structural


def registered(brain: Brain) -> Brain:
    """Register a brain to MNI152 nonlinearly, as TBSS does.

    Shapes of known origin are gone, and little is left of the others.
    """
    return replace(brain, aligned=True, shapes=SHAPE_LEFT * brain.shapes)


def _sample(volumes: Array, affine: Affine, world: Points) -> Array:
    """Interpolate volumes (x, y, z, k) at points of the world: (k, n), 0 outside."""
    *shape, k = volumes.shape
    table, last = torch.from_numpy(volumes).reshape(-1, k), torch.tensor(shape) - 1
    inverse = np.linalg.inv(affine)[:3].astype(np.float32)
    out = np.empty((k, len(world)), dtype=np.float32)
    for start in range(0, len(world), POINTS):
        some = slice(start, start + POINTS)
        places = torch.from_numpy(world[some] @ inverse[:, :3].T + inverse[:, 3]).float()
        outside = ((places < 0) | (places > last)).any(1)
        before = places.clamp_(min=0).to(torch.int32).minimum(last - 1)
        shares = (places - before)[:, :, None].unbind(1)
        first = (before[:, 0] * shape[1] + before[:, 1]) * shape[2] + before[:, 2]
        found = _between(table, first, (shape[1] * shape[2], shape[2], 1), shares)
        out[:, some] = found.masked_fill_(outside[:, None], 0).T.numpy()
    return out


def _between(
    table: Tensor, voxel: Tensor, strides: Sequence[int], shares: Sequence[Tensor]
) -> Tensor:
    """Values between voxels and the next ones along each axis that has shares of the way."""
    if not shares:
        return table.index_select(0, voxel)
    here = _between(table, voxel, strides[1:], shares[1:])
    return here.lerp_(_between(table, voxel + strides[0], strides[1:], shares[1:]), shares[0])


def draw(anatomy: Anatomy, brain: Brain, world: Points) -> Images:
    """Intensities of a brain at points of MNI space, without noise.

    Parameters
    ----------
    anatomy : Anatomy
    brain : Brain
    world : ndarray of shape (n, 3)
        Points in mm.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        By modality, in units of white matter's T1; ``lesions`` (load at the point) and ``brain``
        (share of tissue).
    """
    shape_fields = np.tensordot(brain.moving, anatomy.factor_shapes, 1) + np.tensordot(
        brain.shapes, anatomy.shapes, 1
    )
    changes = (
        np.tensordot(brain.structural, anatomy.structural, 1)
        + np.tensordot(brain.diffusion, anatomy.diffusion, 1)
        + np.tensordot(brain.site, anatomy.sites, 1)
        + np.tensordot(brain.textures, anatomy.textures, 1)
    )
    coarse = np.concatenate([shape_fields, changes]).astype(np.float32)
    coarse = np.ascontiguousarray(np.moveaxis(coarse, 0, -1))
    fields = _sample(coarse, COARSE_AFFINE, world)
    moved, change = world + fields[:3].T, dict(zip(FIELDS, 1 + fields[3:], strict=True))
    grey, white, fluid, lesions = _sample(
        anatomy.tissues, fsl_mni(float(anatomy.voxel_mm))[1], moved
    )
    lesions *= max(0.0, 1.3 + float(brain.structural[LESION_FACTOR]))
    if brain.depth is not None:
        lesions += white * load_of(brain.depth.lesions, world)
    drawn = {}
    for key, contrast in CONTRASTS.items():
        drawn[key] = contrast.fluid * fluid
        for name, (of_grey, of_white) in contrast.fields.items():
            drawn[key] += (of_grey * grey + of_white * white) * change[name]
        drawn[key] += contrast.lesions * lesions
    if brain.depth is not None:
        for key, added in _deep(anatomy, brain.depth, world, grey, white).items():
            drawn[key] += added
    return drawn | {"lesions": lesions, "brain": grey + white + fluid}


def _deep(
    anatomy: Anatomy, depth: Depth, world: Points, grey: Array, white: Array
) -> dict[str, Array]:
    """Intensities that depth adds at points of the world, of whose tissue some is grey or white."""
    outer, inner = _sample(depth.waves, depth.affine, world)
    of_grey, of_white = CONTRASTS["t1"].fields["t1_grey"][0], CONTRASTS["t1"].fields["t1_white"][1]
    rim = grey * cortical_rim(*world.T)
    added = {key: np.zeros(len(world), dtype=np.float32) for key in CONTRASTS}
    added["t1"] = of_grey * rim * outer + of_white * white * inner
    # Of average tissue, wherever a person's own has moved: a shape that goes with sex would else
    # multiply the field in the image itself, and a linear reader would see its sign.
    still = _sample(anatomy.tissues, fsl_mni(float(anatomy.voxel_mm))[1], world)
    gates = np.tensordot(depth.gates.astype(np.float32), anatomy.gates, 1)
    fields = _sample(np.ascontiguousarray(np.moveaxis(gates, 0, -1)), COARSE_AFFINE, world)
    for change, (name, key) in zip(fields, FIELDS.items(), strict=True):
        grey_there, white_there = CONTRASTS[key].fields[name]
        added[key] += (grey_there * still[0] + white_there * still[1]) * change
    return added


def brain_points(anatomy: Anatomy) -> tuple[Mask, Points]:
    """Voxels of the MNI grid that hold brain, and their places.

    Returns
    -------
    mask : ndarray of shape (X, Y, Z)
        True inside the brain.
    world : ndarray of shape (n, 3)
        Places of those voxels in mm.
    """
    mask = anatomy.grey + anatomy.white + anatomy.fluid > 0.5
    affine = fsl_mni(float(anatomy.voxel_mm))[1]
    return mask, apply_affine(affine, np.argwhere(mask)).astype(np.float32)


def mean_brain(anatomy: Anatomy) -> Brain:
    """Build the brain of someone average in everything: all weights are zero."""
    maps = (anatomy.structural, anatomy.diffusion, anatomy.sites, anatomy.shapes, anatomy.textures)
    return Brain(*(np.zeros(len(m)) for m in maps))


def readout_error(anatomy: Anatomy, voxel_mm: float) -> dict[str, NDArray[np.float64]]:
    """Error covariance of factors read from images by one who knows every effect map.

    Effect maps are taken as derivatives of `draw` at the average brain; people's unknown shapes
    and textures are part of the noise, and so is each voxel's. This is generalised least squares
    with known covariance, the best that any linear reader of the images can do.

    Parameters
    ----------
    anatomy : Anatomy
        Sampled at some voxel size.
    voxel_mm : float
        Voxel edge of the cohort: finer scans bring proportionally more voxels.

    Returns
    -------
    dict of str to ndarray of shape (n_factors + n_sites, n_factors + n_sites)
        For ``structural`` and ``diffusion``: factors first, then sites.
    """
    _, world = brain_points(anatomy)
    more_voxels = (float(anatomy.voxel_mm) / voxel_mm) ** 3
    out: dict[str, NDArray[np.float64]] = {}
    for group in VOLUMETRIC:
        wanted = derivatives(anatomy, world, (group, "site"), group)
        unknown = derivatives(anatomy, world, ("shapes", "textures"), group)
        noise = np.array([CONTRASTS[c].noise for c in contrasts_of(group)], np.float32)
        scale = np.sqrt(more_voxels) / np.repeat(noise, len(world))
        wanted, unknown = wanted * scale, unknown * scale
        inner = np.linalg.inv(np.eye(len(unknown)) + unknown @ unknown.T)
        cross = wanted @ unknown.T
        information = wanted @ wanted.T - cross @ inner @ cross.T
        # Sites are told apart, not measured: a weak prior keeps the matrix regular.
        out[group] = np.linalg.inv(information + 1e-6 * np.eye(len(information)))
    return out


def derivatives(
    anatomy: Anatomy, world: Points, weights: tuple[str, ...], group: Group
) -> NDArray[np.float64]:
    """Change of an imaging group's images with each of some weights, at the average brain.

    Parameters
    ----------
    anatomy : Anatomy
    world : ndarray of shape (n, 3)
        Points in mm.
    weights : tuple of str
        Which of `Brain`, in this order.
    group : str
        Whose modalities; those of diffusion are registered nonlinearly.

    Returns
    -------
    ndarray of shape (weights, n * modalities)
        One modality after the other.
    """

    def images(name: str, k: int, weight: float) -> Array:
        brain = mean_brain(anatomy)
        getattr(brain, name)[k] = weight
        drawn = draw(anatomy, registered(brain) if group == "diffusion" else brain, world)
        return np.concatenate([drawn[c] for c in contrasts_of(group)])

    average = mean_brain(anatomy)
    every = [(name, k) for name in weights for k in range(len(getattr(average, name)))]
    return np.stack([images(*w, 0.5) - images(*w, -0.5) for w in every]).astype(np.float64)
