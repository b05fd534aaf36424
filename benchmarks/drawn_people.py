"""People of the generator with images in low resolution, without files: thousands in seconds.

Latents, traits, families, factors, sites and time series are the generator's own. Volumes are drawn
to first order in its effects at the average brain, as its oracle takes them, at points 12 mm apart,
with as much noise there as the voxels of a finer scan leave: neither head position, nor
registration, nor files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.synthetic import brains
from ukb_brain.synthetic.anatomy import CONTRASTS, N_SHAPES, build_anatomy, contrasts_of
from ukb_brain.synthetic.connectomes import N_STYLES, simulate
from ukb_brain.synthetic.factors import FACTORS, factor_values, site_indicators
from ukb_brain.synthetic.people import Columns, family_of, latents, traits, variates

POINTS_MM, VOXEL_MM, REGIONS, TIME_POINTS = 12.0, 6.0, 30, 150


@dataclass(frozen=True, eq=False)
class Drawn:
    """People and what is seen of them.

    ``family`` (n,) is the same of relatives; ``traits`` (n,) are by target, ``images`` (n,
    features) by imaging group.
    """

    family: NDArray[np.int64]
    traits: Columns
    images: dict[str, NDArray[np.float32]]


@cache
def _effects(group: str) -> tuple[Floats, Floats]:
    """Effects of a group's weights on its images, and the noise of each of their points."""
    anatomy = build_anatomy(POINTS_MM)
    _, world = brains.brain_points(anatomy)
    effects = brains.derivatives(anatomy, world, (group, "site", "shapes", "textures"), group)
    fewer = (VOXEL_MM / POINTS_MM) ** 1.5
    noise = np.repeat([fewer * CONTRASTS[c].noise for c in contrasts_of(group)], len(world))
    return effects, noise


def draw_people(seed: int, n: int) -> Drawn:
    """Draw people of a cohort."""
    rng, numbers = np.random.default_rng([seed, 77]), range(1, n + 1)
    e = variates(seed, numbers)
    z = latents(e)
    sites = site_indicators(z)
    factors = {
        group: factor_values(group, z, rng.standard_normal((n, len(of_group))))
        for group, of_group in FACTORS.items()
    }
    known = np.hstack([sites, rng.standard_normal((n, N_SHAPES))])
    textures = rng.standard_normal((n, len(build_anatomy(POINTS_MM).textures)))
    images = {}
    for group in brains.VOLUMETRIC:
        effects, noise = _effects(group)
        weights = np.hstack([factors[group], known, textures]).astype(np.float32)
        seen = weights @ effects.astype(np.float32)
        seen += noise.astype(np.float32) * rng.standard_normal(seen.shape, dtype=np.float32)
        images[group] = seen
    styles = rng.standard_normal((n, N_STYLES))
    rows = []
    for at in range(n):
        weights = np.concatenate([factors["functional"][at], sites[at], styles[at]])
        motion = float(z["motion"][at])
        series, _ = simulate(weights, motion, REGIONS, TIME_POINTS, rng)
        rows.append(fisher_z_of_time_series(series))
    images["functional"] = np.array(rows, dtype=np.float32)
    family = np.array([family_of(seed, number) for number in numbers], dtype=np.int64)
    return Drawn(family, traits(z, e), images)
