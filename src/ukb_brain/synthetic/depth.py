"""Depth: what a brain shows, and no linear reader of its image sees.

A texture of the cortical rim, its phases random in each person, whose strength follows age; fields
whose meaning depends on sex (`ukb_brain.synthetic.people`); and lesions, whose number and not whose
load matters.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ukb_brain.imaging.affines import Affine, fsl_mni
from ukb_brain.synthetic.people import DEEP, Columns
from ukb_brain.synthetic.settings import LESIONS_MM, SyntheticCohort

Array = NDArray[np.float32]

# Wavelengths in mm: of the texture that voxels of 6 mm show, and of one that they do not, while
# those of 3 mm do.
COARSE_BAND, FINE_BAND = (14.0, 24.0), (7.0, 10.0)
# Knots of the texture in its shortest wavelength; between them it is linear.
KNOTS = 4
# Amplitude in someone average, as a share of a tissue's intensity, and how its logarithm grows with
# what it shows. That of white matter shows nothing but a person's own: else a linear reader
# would see the energy of the rim in the scale of an image, which is its standard deviation.
RIM, WHITE, GROWTH = 0.2, 0.1, 0.25
# Of lesions: median radius in mm, spread of its logarithm, load at the middle of one.
RADIUS_MM, RADIUS_SPREAD, LOAD = 2.2, 0.5, 3.0
GATES = DEEP[1:]


@dataclass(frozen=True)
class Depth:
    """What one person's brain has of depth.

    Attributes
    ----------
    gates : ndarray of shape (n_gates,)
        Weights of `ukb_brain.synthetic.anatomy.Anatomy.gates`.
    waves : ndarray of shape (x, y, z, 2)
        Relative change of T1 in grey matter of the rim, and in white matter.
    affine : ndarray of shape (4, 4)
        Of these.
    lesions : ndarray of shape (n, 4)
        Place in mm and radius of each.
    """

    gates: NDArray[np.float64]
    waves: Array
    affine: Affine
    lesions: Array = field(default_factory=lambda: np.empty((0, 4), np.float32))


def band_of(voxel_mm: float) -> tuple[float, float]:
    """Wavelengths of the texture in a cohort of some voxel edge, in mm."""
    return FINE_BAND if voxel_mm <= LESIONS_MM else COARSE_BAND


@lru_cache(maxsize=2)
def _filter(band: tuple[float, float]) -> tuple[tuple[int, int, int], Affine, Tensor]:
    """Grid of a band's texture, and which of its frequencies are in the band."""
    knots_mm = band[0] / KNOTS
    shape, affine = fsl_mni(knots_mm)
    x, y = (np.fft.fftfreq(n, knots_mm) for n in shape[:2])
    z = np.fft.rfftfreq(shape[2], knots_mm)
    squared = x[:, None, None] ** 2 + y[:, None] ** 2 + z**2
    passed = (squared >= band[1] ** -2) & (squared <= band[0] ** -2)
    return shape, affine, torch.from_numpy(passed)


def texture(rng: np.random.Generator, band: tuple[float, float]) -> tuple[Array, Affine]:
    """Draw noise of a band of wavelengths, of unit variance, shape (x, y, z), and its affine."""
    shape, affine, passed = _filter(band)
    white = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    noise = torch.fft.irfftn(torch.fft.rfftn(white) * passed, shape)
    return (noise / noise.std()).numpy(), affine


def draw_depth(
    cohort: SyntheticCohort, number: int, z: Columns, white: Array, places: Array
) -> Depth:
    """Draw a person's depth.

    Parameters
    ----------
    cohort : SyntheticCohort
    number : int
        Of the person; phases and places follow from it, and stay from visit to visit.
    z : dict of str to ndarray of shape (1,)
        Latents.
    white : ndarray of shape (n,)
        How readily lesions arise at each place.
    places : ndarray of shape (n, 3)
        In mm.
    """
    rng, band = np.random.default_rng([cohort.seed, number, 30]), band_of(cohort.voxel_mm)
    (rim, affine), (inner, _) = texture(rng, band), texture(rng, band)
    rim *= RIM * np.exp(GROWTH * z["rim"].item())
    inner *= WHITE * np.exp(GROWTH * rng.standard_normal())
    gates = np.array([z[name].item() for name in GATES])
    waves = np.stack([rim, inner], axis=-1).astype(np.float32)
    if "lesions" not in z:
        return Depth(gates, waves, affine)
    return Depth(gates, waves, affine, draw_lesions(rng, z, white, places))


def draw_lesions(rng: np.random.Generator, z: Columns, white: Array, places: Array) -> Array:
    """Draw places and radii of a person's lesions, (n, 4), in mm."""
    chosen = rng.choice(len(places), int(z["lesions"].item()), p=white / white.sum(dtype=float))
    radii = RADIUS_MM * np.exp(RADIUS_SPREAD * rng.standard_normal(len(chosen)))
    return np.column_stack([places[chosen], radii]).astype(np.float32)


def load_of(lesions: Array, world: Array) -> Array:
    """Load of lesions (n, 4) at points (m, 3) of the world: bells of their radii, in one's units.

    Half of `LOAD` is left at the radius.
    """
    load = np.zeros(len(world), dtype=np.float32)
    for *place, radius in lesions:
        near = np.flatnonzero((np.abs(world - place) < 3 * radius).all(axis=1))
        squared = ((world[near] - place) ** 2).sum(axis=1) / radius**2
        load[near] += LOAD * np.exp2(-squared)
    return load
