"""The anatomy that all synthetic brains share, and how each imaging modality draws it.

Tissues, the fields along which people differ, and the intensity of a tissue in a modality's image.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nilearn import datasets
from nilearn.image import resample_img, smooth_img
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ukb_brain.atomic import atomic_path
from ukb_brain.imaging.affines import Affine, fsl_mni
from ukb_brain.synthetic.factors import FACTORS, Group
from ukb_brain.synthetic.people import SITES

Array = NDArray[np.float32]

COARSE_MM = 8.0
COARSE_SHAPE, COARSE_AFFINE = fsl_mni(COARSE_MM)
SMOOTHING_VOXELS = 1.8
N_SHAPES = 24
N_TEXTURES = 24

# Sizes of effects per standard unit: mm of displacement, or share of a tissue's intensity.
SHAPE_MM, TEXTURE, SITE = 0.5, 0.018, 0.03
PATTERN = {"pattern": 0.022, "strong_pattern": 0.045}
GATE = 0.03
VENTRICLE_MM, SEX_SHAPE_MM, THINNING, GLOBAL_FA = 1.4, 0.8, 0.05, 0.035


@dataclass(frozen=True)
class Contrast:
    """How one modality's image comes of tissues.

    Attributes
    ----------
    group : str
        Whose factors change it. What the diffusion group shows was registered nonlinearly.
    fluid, lesions : float
        Intensity of fluid, and how much lesions add.
    fields : dict of str to (float, float)
        Intensities of grey and of white matter, by the name of the field that changes them.
    noise : float
        Standard deviation of one voxel's noise.
    unit : float
        Of the file, in which white matter of a T1 has 1.
    """

    group: Group
    fields: dict[str, tuple[float, float]]
    noise: float
    fluid: float = 0.0
    lesions: float = 0.0
    unit: float = 1000.0


CONTRASTS = {
    "t1": Contrast(
        "structural", {"t1_grey": (0.62, 0.0), "t1_white": (0.0, 1.0)}, 0.05, 0.25, -0.05
    ),
    "flair": Contrast(
        "structural", {"flair_grey": (0.80, 0.0), "flair_white": (0.0, 0.66)}, 0.06, 0.12, 0.13
    ),
    "dwi": Contrast("diffusion", {"fa": (0.15, 0.48)}, 0.03, unit=1.0),
}
# In the order in which maps of change have them.
FIELDS = {name: key for key, contrast in CONTRASTS.items() for name in contrast.fields}


def contrasts_of(group: Group) -> tuple[str, ...]:
    """Name the modalities of an imaging group that are drawn."""
    return tuple(key for key, contrast in CONTRASTS.items() if contrast.group == group)


@dataclass(frozen=True)
class Anatomy:
    """Tissue maps on FSL's MNI152 grid, and coarse fields of 8 mm over the same box.

    Attributes
    ----------
    voxel_mm : ndarray of shape ()
        Voxel edge of the tissue maps.
    grey, white, fluid, lesions : ndarray of shape (X, Y, Z)
        Share of each tissue, and where hyperintensities arise.
    factor_shapes : ndarray of shape (n_structural, 3, x, y, z)
        Displacement in mm per unit of a structural factor.
    shapes : ndarray of shape (n_shapes, 3, x, y, z)
        Displacements that differ between people for no known reason.
    structural, diffusion : ndarray of shape (n_factors, n_fields, x, y, z)
        Change of intensity per unit of a factor.
    sites : ndarray of shape (n_sites, n_fields, x, y, z)
        Change of intensity at a site.
    textures : ndarray of shape (n_textures, n_fields, x, y, z)
        Changes that differ between people for no known reason, residual bias fields among them.
    gates : ndarray of shape (n_gates, n_fields, x, y, z)
        Change of intensity per unit of a field whose meaning depends on sex; of cohorts with depth.
    """

    voxel_mm: Array
    grey: Array
    white: Array
    fluid: Array
    lesions: Array
    factor_shapes: Array
    shapes: Array
    structural: Array
    diffusion: Array
    sites: Array
    textures: Array
    gates: Array = field(
        default_factory=lambda: np.empty((0, len(FIELDS), *COARSE_SHAPE), np.float32)
    )

    @cached_property
    def tissues(self) -> Array:
        """Grey and white matter, fluid and lesions, shape (X, Y, Z, 4)."""
        return np.stack([self.grey, self.white, self.fluid, self.lesions], axis=-1)

    def save(self, path: Path) -> None:
        """Write all arrays into one uncompressed ``.npz``, whole or not at all."""
        with atomic_path(path) as part:
            np.savez(part, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Anatomy:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls) if f.name in arrays})


def places(shape: tuple[int, ...], affine: Affine) -> NDArray[np.float64]:
    """Places in mm of a grid's voxels, shape (X, Y, Z, 3)."""
    return np.asarray(apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1)))


def _coarse_world() -> NDArray[np.float64]:
    return np.moveaxis(places(COARSE_SHAPE, COARSE_AFFINE), -1, 0)


def _smooth_field(name: str) -> Array:
    """Random smooth field of unit mean square, the same wherever it is asked for by this name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    field = gaussian_filter(rng.standard_normal(COARSE_SHAPE), SMOOTHING_VOXELS, mode="wrap")
    return (field / np.sqrt(np.mean(field**2))).astype(np.float32)


def _displacement(name: str, size_mm: float) -> Array:
    return size_mm * np.stack([_smooth_field(f"{name} {axis}") for axis in "xyz"])


def _ventricle_displacement() -> Array:
    """Draw sampling positions towards the ventricles' middle: the ventricles look larger."""
    world = _coarse_world()
    middle = np.array([0.0, -18.0, 14.0])[:, None, None, None]
    away = world - middle
    distance = np.sqrt((away**2).sum(axis=0))
    pull = -(distance / 22) * np.exp(0.5 - distance**2 / (2 * 22**2))
    return np.asarray(VENTRICLE_MM * pull * away / np.maximum(distance, 1), dtype=np.float32)


def cortical_rim(x: Array, y: Array, z: Array) -> Array:
    """How far places in mm belong to the rim of the brain, from 0 to 1."""
    radius = np.sqrt((x / 68) ** 2 + ((y + 18) / 86) ** 2 + ((z - 8) / 66) ** 2)
    return np.asarray(1 / (1 + np.exp(-(radius - 0.72) * 14)), dtype=np.float32)


def _change(name: str, size: float, group: Group | None = None) -> Array:
    """Random change of each field, or of those of a group's modalities."""
    blank = np.zeros(COARSE_SHAPE, dtype=np.float32)
    return np.stack(
        [
            size * _smooth_field(f"{name} {f}") if group in (None, CONTRASTS[m].group) else blank
            for f, m in FIELDS.items()
        ]
    )


def _effects(group: Group) -> Array:
    fields_there = list(FIELDS)
    maps = [_change(f.name, PATTERN.get(f.effect, 0.0), group) for f in FACTORS[group]]
    for factor, change in zip(FACTORS[group], maps, strict=True):
        if factor.effect == "thinning":
            for name in ("t1_grey", "flair_grey"):
                change[fields_there.index(name)] -= THINNING * cortical_rim(*_coarse_world())
        if factor.effect == "global":
            patchy = 1 + 0.4 * _smooth_field(factor.name)
            change[fields_there.index("fa")] -= GLOBAL_FA * patchy
    return np.stack(maps)


def _factor_shapes() -> Array:
    sex = _displacement("sex_shape", SEX_SHAPE_MM)
    drawn = {"ventricles": _ventricle_displacement(), "shape": sex}
    return np.stack([drawn.get(f.effect, np.zeros_like(sex)) for f in FACTORS["structural"]])


def _site(site: int) -> Array:
    own = np.random.default_rng(site).standard_normal((len(FIELDS), 1, 1, 1))
    return np.asarray(_change(f"site {site}", SITE) + SITE * own, dtype=np.float32)


def _template(load: Callable[..., nib.Nifti1Image], voxel_mm: float) -> Array:
    """Put a template of nilearn's (ICBM 2009a, determinant positive) on FSL's grid (negative)."""
    shape, affine = fsl_mni(voxel_mm)
    image = load(resolution=1)
    if voxel_mm > 1:
        image = smooth_img(image, fwhm=voxel_mm * 0.8)
    how = {"interpolation": "linear", "force_resample": True, "copy_header": True}
    moved = resample_img(image, target_affine=affine, target_shape=shape, **how)
    return np.clip(moved.get_fdata(dtype=np.float32), 0, 1)


def build_anatomy(voxel_mm: float, gates: Sequence[str] = ()) -> Anatomy:
    """Make the shared anatomy from nilearn's templates, the same on every machine.

    The names of ``gates`` are those of fields whose meaning depends on sex.
    """
    grey = _template(datasets.load_mni152_gm_template, voxel_mm)
    white = _template(datasets.load_mni152_wm_template, voxel_mm)
    head = _template(datasets.load_mni152_template, voxel_mm) > 0.05
    brain = gaussian_filter((grey + white > 0.15).astype(np.float32), 6 / voxel_mm) > 0.5
    brain &= head
    grey, white = grey * brain, white * brain
    fluid = np.clip(1 - grey - white, 0, 1) * brain
    world = places(*fsl_mni(voxel_mm)).astype(np.float32)
    away = np.sqrt((((world - [0, -18, 18]) / [24, 42, 18]) ** 2).sum(axis=-1))
    lesions = white * np.exp(-((away - 1.15) ** 2) / (2 * 0.28**2))
    textures = [_change(f"texture {k}", TEXTURE) for k in range(N_TEXTURES)]
    x, y, z = _coarse_world() / 90
    for bias in (x, y, z, x * y, y * z, x * z):
        textures.append(np.stack([0.02 * bias] * len(FIELDS)).astype(np.float32))
    return Anatomy(
        voxel_mm=np.asarray(voxel_mm, dtype=np.float32),
        grey=grey,
        white=white,
        fluid=fluid.astype(np.float32),
        lesions=lesions.astype(np.float32),
        factor_shapes=_factor_shapes(),
        shapes=np.stack([_displacement(f"shape {k}", SHAPE_MM) for k in range(N_SHAPES)]),
        structural=_effects("structural"),
        diffusion=_effects("diffusion"),
        sites=np.stack([_site(site) for site in SITES]),
        textures=np.stack(textures).astype(np.float32),
        gates=np.asarray(
            [_change(gate, GATE, "structural") for gate in gates], dtype=np.float32
        ).reshape(-1, len(FIELDS), *COARSE_SHAPE),
    )
