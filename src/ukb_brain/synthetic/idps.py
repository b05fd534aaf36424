"""Imaging-derived phenotypes: numbers of the main table that show what the images show.

Each follows some factors of its imaging group, the same that the person's images have, and what
differs between people for no known reason. Volumes that are not scaled to a common head follow the
size of the head too, which images in MNI space do not show.
"""

from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.synthetic.factors import (
    FACTORS,
    REPEAT,
    STABLE,
    Group,
    factor_values,
    older,
    own_at,
    site_indicators,
)
from ukb_brain.synthetic.people import SITES, Columns
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import IMAGING_VISITS, visits_of
from ukb_brain.tables.dictionary import known_of

Array = NDArray[np.float64]

# Volumes of T1, white-matter hyperintensities, FA and MD in the skeleton's tracts; then the other
# measures of diffusion there, and in probabilistic tracts.
FIELDS = tuple(
    chain(range(25001, 25026), range(25781, 25921), range(25056, 25488), range(25488, 25731))
)
# Of the imaging group, as the grid offers it.
NAME = "idps"
GROUPS: tuple[Group, ...] = ("structural", "diffusion")
HYPERINTENSITIES = 25781
# Weights of factors, of the head, of a site and of unknown styles, in standard deviations.
FACTORS_EACH, WEIGHT, HEAD, SITE, STYLE, N_STYLES = 3, 0.25, 0.5, 0.15, 0.12, 12
LEAST_NOISE = 0.4
# What is known of some, by words of the title.
STRONG: dict[str, dict[str, float]] = {
    "ventricular cerebrospinal": {"ventricles": 0.6},
    "grey matter (": {"thinning": -0.4},
    "white matter hyperintensities": {"lesions": 0.7},
    "Mean FA": {"age_fa": -0.2},
    "Mean MD": {"age_fa": 0.2},
}
# Mean and standard deviation of a measure of diffusion, by its name.
DIFFUSION = {
    "FA": (0.5, 0.03), "MD": (7.6e-4, 3e-5), "MO": (0.6, 0.08), "L1": (1.2e-3, 5e-5),
    "L2": (6e-4, 4e-5), "L3": (4.5e-4, 4e-5), "ICVF": (0.6, 0.05), "OD": (0.2, 0.03),
    "ISOVF": (0.1, 0.03),
}  # fmt: skip
# Mean volumes in mm³, by words of the title; of other regions they are drawn.
VOLUMES = {
    "peripheral cortical grey": 6.2e5, "ventricular": 3.8e4, "brain, grey+white": 1.5e6,
    "grey matter (": 7.9e5, "white matter (": 7.1e5, "thalamus": 7.6e3, "caudate": 3.4e3,
    "putamen": 4.8e3, "pallidum": 1.8e3, "hippocampus": 3.8e3, "amygdala": 1.2e3,
    "accumbens": 450.0, "brain stem": 2.3e4, "hyperintensities": 4.5e3,
}  # fmt: skip
SPREAD = 0.12
# Share of visits without any number of a group, and of numbers that are missing by themselves.
WITHOUT: dict[Group, float] = {"structural": 0.02, "diffusion": 0.05}
ALONE = 0.005


def group_of(field: int) -> Group:
    """Tell from which images a phenotype is made."""
    return "diffusion" if 25056 <= field <= 25730 else "structural"


@dataclass(frozen=True)
class Loadings:
    """How phenotypes follow what a person's images show.

    Attributes
    ----------
    seen : ndarray of shape (k, n_seen)
        Weights of what `seen_by` gives.
    styles : ndarray of shape (k, N_STYLES)
        Weights of what differs between people for no known reason.
    noise : ndarray of shape (k,)
        Standard deviation of each phenotype's own.
    """

    seen: Array
    styles: Array
    noise: Array


@cache
def loadings(count: int) -> Loadings:
    """Draw the loadings of the first phenotypes, each the same wherever it is asked for."""
    names = [f.name for group in GROUPS for f in FACTORS[group]]
    first = {"structural": 0, "diffusion": len(FACTORS["structural"])}
    seen = np.zeros((count, len(names) + 1 + len(SITES)))
    styles = np.zeros((count, N_STYLES))
    for row, field in enumerate(FIELDS[:count]):
        rng, group = np.random.default_rng([field, 31]), group_of(field)
        chosen = rng.choice(len(FACTORS[group]), FACTORS_EACH, replace=False)
        seen[row, first[group] + chosen] = WEIGHT * rng.standard_normal(FACTORS_EACH)
        title = known_of(field).title
        for words, strong in STRONG.items():
            for name, weight in strong.items() if words in title else ():
                seen[row, names.index(name)] = weight
        if group == "structural" and "normalised" not in title and field != HYPERINTENSITIES:
            seen[row, len(names)] = HEAD
        seen[row, -len(SITES) :] = SITE * rng.standard_normal(len(SITES))
        styles[row] = STYLE * rng.standard_normal(N_STYLES)
    explained = (seen**2).sum(axis=1) + (styles**2).sum(axis=1)
    return Loadings(seen, styles, np.sqrt(np.maximum(1 - explained, LEAST_NOISE**2)))


def seen_by(z: Columns, own: dict[Group, NDArray[np.float64]]) -> Array:
    """Values of what phenotypes follow: factors of both groups, size of the head, sites."""
    factors = [factor_values(group, z, own[group]) for group in GROUPS]
    return np.hstack([*factors, z["head"][:, None], site_indicators(z)])


def readout_error(count: int) -> Array:
    """Error covariance of what `seen_by` gives, read from phenotypes by one who knows all weights.

    Sites are told apart, not measured: a weak prior keeps the matrix regular.
    """
    known = loadings(count)
    noise = known.styles @ known.styles.T + np.diag(known.noise**2)
    information = known.seen.T @ np.linalg.solve(noise, known.seen)
    return np.asarray(np.linalg.inv(information + 1e-6 * np.eye(len(information))))


def scale_of(field: int) -> tuple[float, float]:
    """Mean and standard deviation of a phenotype in its unit."""
    title = known_of(field).title
    if group_of(field) == "diffusion":
        return DIFFUSION[title.split()[1]]
    drawn = float(np.exp(np.random.default_rng([field, 32]).uniform(np.log(500), np.log(2e4))))
    mean = next((volume for words, volume in VOLUMES.items() if words in title), drawn)
    return mean, SPREAD * mean


def idp_columns(cohort: SyntheticCohort, z: Columns) -> pd.DataFrame:
    """Make phenotypes of everybody's imaging visits: columns of the main table, as text.

    ``z`` is everybody's latents, in the order of their numbers.
    """
    fields, known = FIELDS[: cohort.idps], loadings(cohort.idps)
    mean, sd = np.array([scale_of(field) for field in fields]).T
    cells: dict[str, list[str]] = {}
    for instance in IMAGING_VISITS:
        values = np.full((cohort.participants, len(fields)), np.nan)
        for row in range(cohort.participants):
            person = {name: column[row : row + 1] for name, column in z.items()}
            standard = _at_visit(cohort.seed, row + 1, instance, person, known)
            if standard is not None:
                values[row] = np.maximum(mean + sd * standard, 0.01 * mean)
                skewed = [k for k, field in enumerate(fields) if field == HYPERINTENSITIES]
                values[row, skewed] = mean[skewed] * np.exp(standard[skewed] - 0.5)
        for column, field in enumerate(fields):
            texts = ["" if np.isnan(v) else f"{v:.6g}" for v in values[:, column].tolist()]
            cells[f"{field}-{instance}.0"] = texts
    return pd.DataFrame(cells)


def _at_visit(seed: int, number: int, instance: int, z: Columns, known: Loadings) -> Array | None:
    """Draw a visit's phenotypes in standard units, NaN where missing; None without a visit."""
    dates = visits_of(seed, number).dates
    if instance not in dates:
        return None
    if instance == REPEAT:
        z = older(z, (dates[3] - dates[2]).days / 365.25)
    rng = np.random.default_rng([seed, number, 7])
    styles, own = rng.standard_normal(N_STYLES), rng.standard_normal(len(known.noise))
    rng = np.random.default_rng([seed, number, 7, instance])
    if instance == REPEAT:
        new = rng.standard_normal(len(own))
        own = np.sqrt(STABLE) * own + np.sqrt(1 - STABLE) * new
    seen = seen_by(z, own_at(instance, seed, number))[0]
    values = known.seen @ seen + known.styles @ styles + known.noise * own
    lost = {group: rng.random() < share for group, share in WITHOUT.items()}
    gone = np.array([lost[group_of(field)] for field in FIELDS[: len(own)]])
    gone |= rng.random(len(own)) < ALONE
    return np.where(gone, np.nan, values)
