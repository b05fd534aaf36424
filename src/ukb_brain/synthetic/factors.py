"""Imaging factors: what of a person each imaging group shows.

A factor is a latent seen with a person's own variation: ``rho × latent + sqrt(1 − rho²) × own``.
`brains` and `connectomes` draw factors; `truth` reads them off again as an oracle would.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ukb_brain.synthetic.people import AGE_SD, RIM_RHO, SITES, Columns, weighted

REPEAT = 3
# Share of a factor's own variation that is still there at the repeat scan.
STABLE = 0.9
Group = Literal["structural", "diffusion", "functional"]


@dataclass(frozen=True)
class Factor:
    """One way in which a latent shows in an imaging group.

    Attributes
    ----------
    name : str
        Its effect maps are seeded by it.
    latent : str
        Key of `people.latents`, or of `COMPOSITES`.
    rho : float
        Correlation of the factor with its latent.
    effect : str
        How it is drawn: anatomical effects of `brains`, or ``pattern``.
    """

    name: str
    latent: str
    rho: float
    effect: str = "pattern"


# A structural sign of processing speed is hidden under a white-matter trait three times its
# size, which only diffusion shows: alone, the one says little and the other nothing.
COMPOSITES: dict[str, dict[str, float]] = {
    "speed_under_white_matter": {"speed": 10**-0.5, "white_matter": 3 * 10**-0.5},
}

FACTORS: dict[Group, tuple[Factor, ...]] = {
    "structural": (
        Factor("ventricles", "age", 0.80, "ventricles"),
        Factor("thinning", "age", 0.80, "thinning"),
        Factor("deep_grey", "age", 0.62),
        Factor("sex_shape", "sex", 0.94, "shape"),
        Factor("sex_tissue", "sex", 0.55),
        Factor("lesions", "vascular", 0.62, "lesions"),
        Factor("body_tissue", "body", 0.62),
        Factor("fat_tissue", "adiposity", 0.72),
        Factor("metabolic_tissue", "metabolic", 0.55),
        Factor("smoke_tissue", "smoke", 0.42),
        Factor("worry_tissue", "worry", 0.45),
        Factor("speed_tissue", "speed_under_white_matter", 0.995, "strong_pattern"),
    ),
    "diffusion": (
        Factor("age_fa", "age", 0.74, "global"),
        Factor("sex_fa", "sex", 0.75),
        Factor("vascular_fa", "vascular", 0.50),
        Factor("body_fa", "body", 0.50),
        Factor("smoke_fa", "smoke", 0.35),
        Factor("worry_fa", "worry", 0.35),
        Factor("white_matter_fa", "white_matter", 0.99, "strong_pattern"),
    ),
    "functional": (
        Factor("age_networks", "age", 0.60),
        Factor("sex_networks", "sex", 0.60),
        Factor("body_networks", "body", 0.42),
        Factor("hand_networks", "handed", 0.36),
    ),
}
# In cohorts with depth a texture says much of age, and shapes say less than they do elsewhere.
DEEP_RHO = {"ventricles": 0.68, "thinning": 0.68, "deep_grey": 0.58}


def latent_of(factor: Factor, z: Columns) -> np.ndarray:
    """Values of the latent that a factor shows, shape (n,), in about standard units."""
    return weighted(z, COMPOSITES.get(factor.latent, {factor.latent: 1.0}))


def factor_values(group: Group, z: Columns, own: np.ndarray) -> np.ndarray:
    """Values of a group's factors, shape (n, n_factors), in the order of ``FACTORS[group]``.

    Of latents and of each person's own variation: standard normal numbers of that shape.
    """
    rhos = [DEEP_RHO.get(f.name, f.rho) if "rim" in z else f.rho for f in FACTORS[group]]
    columns = [
        rho * latent_of(f, z) + np.sqrt(1 - rho**2) * own[:, k]
        for k, (f, rho) in enumerate(zip(FACTORS[group], rhos, strict=True))
    ]
    return np.stack(columns, axis=1)


def own_variation(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a person's own variation of each group's factors, shape (1, n_factors)."""
    return {group: rng.standard_normal((1, len(of))) for group, of in FACTORS.items()}


def own_at(visit: int, seed: int, number: int) -> dict[str, np.ndarray]:
    """Give a person's own variation at an imaging visit, most of which stays until the repeat."""
    first = own_variation(np.random.default_rng([seed, number, 10]))
    if visit != REPEAT:
        return first
    new = own_variation(np.random.default_rng([seed, number, 10 + visit]))
    return {g: np.sqrt(STABLE) * first[g] + np.sqrt(1 - STABLE) * new[g] for g in first}


def older(z: Columns, years: float) -> Columns:
    """Give a person's latents after some years."""
    later = z | {"age": z["age"] + years / AGE_SD, "age_years": z["age_years"] + years}
    return later | {"rim": z["rim"] + RIM_RHO * years / AGE_SD} if "rim" in z else later


def site_indicators(z: Columns) -> np.ndarray:
    """One column a site of `people.SITES`, 1 where a person was scanned there."""
    return (z["site_code"][:, None] == np.asarray(SITES)).astype(float)
