"""People: latents, the traits that follow from them, and families.

A linear structural model in standard units. Marginals are those of UK Biobank's imaging
sub-sample; the strength of each relation was set so that what is readable comes near the best
cells that Ruffle et al. (NeuroImage 291:120600, 2024) report for real people, except where an
oddity is planted on purpose (`ukb_brain.synthetic.truth`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, poisson, truncnorm

Columns = dict[str, NDArray[np.float64]]

SITES = (11025, 11026, 11027, 11028)
SITE_SHARE = (0.45, 0.15, 0.30, 0.10)
MALE_SHARE = 0.47
AGE_MEAN, AGE_SD, AGE_LOW, AGE_HIGH = 64.0, 7.7, 45.0, 82.0
FAMILY_BLOCK = 20
HERITABILITY = 0.5

# Each person's own standard normal numbers, by name; a family shares part of the first ones.
HERITABLE = (
    "height", "adiposity", "build", "vascular", "metabolic", "complaint", "neuroticism",
    "speed", "head", "handed", "smoke", "worry", "white_matter",
)  # fmt: skip
OWN = (
    "age", "sex", "site", "motion", "date", "weight", "body_fat", "hypertension", "smoking",
    "atopy", "asthma", "hb", "hdl", "hba1c", "ldl", "reaction_time", "mood_swings",
    "miserableness", "irritability", "sensitivity", "fed_up", "nervous", "anxious", "tense",
    "worry_item", "lonely", "guilty", "handedness",
)  # fmt: skip
VARIATES = HERITABLE + OWN
# Of cohorts with depth, and of those whose voxels show lesions.
DEEP = ("rim", "gate_weight", "gate_hypertension", "gate_sensitivity")
LESIONS = ("small_vessels", "lesions")
# A fine sign of age, seen with so much of a person's own.
RIM_RHO = 0.9
LESION_COUNT, LESION_SPREAD = 10.0, 0.5

# Liability of each yes/no item: share of people who say yes, then weights of latents.
ITEMS: dict[str, tuple[float, dict[str, float]]] = {
    "mood_swings": (0.40, {"neuroticism": 0.62}),
    "miserableness": (0.38, {"neuroticism": 0.68}),
    "irritability": (0.25, {"neuroticism": 0.50, "sex": 0.16}),
    "sensitivity": (0.52, {"neuroticism": 0.50, "sex": -0.14}),
    "fed_up": (0.36, {"neuroticism": 0.62, "complaint": 0.08}),
    "nervous": (0.20, {"neuroticism": 0.56}),
    "anxious": (0.52, {"neuroticism": 0.58, "sex": -0.08}),
    "tense": (0.14, {"neuroticism": 0.56, "age": -0.16}),
    "worry": (0.45, {"neuroticism": 0.46, "worry": 0.34}),
    "lonely": (0.15, {"neuroticism": 0.46, "complaint": 0.22}),
    "guilty": (0.27, {}),
}
DIAGNOSES: dict[str, tuple[float, dict[str, float]]] = {
    "smoking": (0.37, {"smoke": 0.72}),
    "hypertension": (0.24, {"vascular": 0.74, "complaint": 0.24}),
    "asthma": (0.12, {"adiposity": 0.26, "complaint": 0.46}),
    "handedness": (0.89, {"handed": 0.80}),
}
# In cohorts with depth, beside those above: a trait follows a field of the brain in men and its
# opposite in women.
DEEP_ITEMS: dict[str, dict[str, float]] = {
    "sensitivity": {"signed_sensitivity": 0.42},
    "hypertension": {"signed_hypertension": 0.34, "lesion_count": 0.3},
    "smoking": {"lesion_count": 0.35},
}
DEEP_WEIGHT = 0.38
# Hay fever is diagnosed more often at some centres; nothing else carries it.
ATOPY_BY_SITE = {11025: 0.17, 11026: 0.44, 11027: 0.19, 11028: 0.52}


def family_of(seed: int, number: int) -> int:
    """Find the person whose family this one shares; itself where it has none here.

    People are numbered from 1. In every twenty people two or three are siblings.
    """
    block = (number - 1) // FAMILY_BLOCK
    rng = np.random.default_rng([seed, block, 1])
    size = 2 if rng.random() < 0.6 else 3
    members = np.sort(rng.choice(FAMILY_BLOCK, size, replace=False)) + block * FAMILY_BLOCK + 1
    return int(members[0]) if number in members else number


def variates(seed: int, numbers: Sequence[int], deep: Sequence[str] = ()) -> Columns:
    """Draw each person's independent standard normal numbers, shape (n,) by name.

    A person's draws do not depend on who else is there, nor on ``deep``, further names. Siblings
    share half the variance of the heritable ones.
    """
    table = np.empty((len(numbers), len(VARIATES)))
    for row, number in zip(table, numbers, strict=True):
        row[:] = np.random.default_rng([seed, number, 2]).standard_normal(len(VARIATES))
        family = np.random.default_rng([seed, family_of(seed, number), 3])
        shared, own = family.standard_normal(len(HERITABLE)), row[: len(HERITABLE)]
        own[:] = np.sqrt(HERITABILITY) * shared + np.sqrt(1 - HERITABILITY) * own
    drawn: Columns = dict(zip(VARIATES, table.T, strict=True))
    if deep:
        streams = (np.random.default_rng([seed, number, 8]) for number in numbers)
        more = np.array([stream.standard_normal(len(DEEP + LESIONS)) for stream in streams])
        drawn |= {n: more[:, k] for k, n in enumerate(DEEP + LESIONS) if n in deep}
    return drawn


def latents(e: Columns) -> Columns:
    """Latents of people, of variates of shape (n,), each of about zero mean and unit variance.

    Besides the standardised latents there are ``age_years``, ``male`` and ``site_code``. With
    variates of depth there are those of depth, and the number of ``lesions`` where they are drawn.
    """
    low, high = (AGE_LOW - AGE_MEAN) / 8.4, (AGE_HIGH - AGE_MEAN) / 8.4
    age_years = AGE_MEAN + 8.4 * truncnorm.ppf(norm.cdf(e["age"]), low, high)
    male = (norm.cdf(e["sex"]) < MALE_SHARE).astype(float)
    edges = np.cumsum(SITE_SHARE)[:-1]
    site_code = np.asarray(SITES, dtype=float)[np.searchsorted(edges, norm.cdf(e["site"]))]
    age = (age_years - AGE_MEAN) / AGE_SD
    sex = (male - MALE_SHARE) / np.sqrt(MALE_SHARE * (1 - MALE_SHARE))
    adiposity = 0.08 * age + 0.995 * e["adiposity"]
    complaint = e["complaint"]
    as_drawn = ("height", "complaint", "speed", "white_matter", "worry", "handed")
    shared = {name: e[name] for name in as_drawn} | {
        "age_years": age_years,
        "male": male,
        "site_code": site_code,
        "age": age,
        "sex": sex,
        "adiposity": adiposity,
        # Weight given sex: what the scales show and, in part, what the brain's size shows.
        "body": 0.78 * adiposity + 0.42 * e["height"] + 0.46 * e["build"],
        "vascular": 0.38 * age + 0.12 * sex + 0.28 * adiposity + 0.86 * e["vascular"],
        "metabolic": 0.15 * age + 0.15 * sex + 0.45 * adiposity + 0.86 * e["metabolic"],
        "smoke": 0.14 * sex + 0.38 * complaint + 0.91 * e["smoke"],
        "neuroticism": -0.24 * age - 0.26 * sex + 0.55 * complaint + 0.75 * e["neuroticism"],
        "head": 0.62 * sex + 0.25 * e["height"] + 0.74 * e["head"],
        "motion": 0.15 * age + 0.30 * adiposity + 0.94 * e["motion"],
    }
    return shared | _deep_latents(e, age, sex)


def _deep_latents(e: Columns, age: NDArray[np.float64], sex: NDArray[np.float64]) -> Columns:
    """Latents of depth: what the rim's texture shows, fields whose sign depends on sex, lesions."""
    deep: Columns = {}
    if "rim" in e:
        deep["rim"] = RIM_RHO * age + np.sqrt(1 - RIM_RHO**2) * e["rim"]
    for name in DEEP[1:]:
        if name in e:
            deep |= {name: e[name], name.replace("gate", "signed"): e[name] * sex}
    if "lesions" in e:
        spread = LESION_SPREAD
        expected = LESION_COUNT * np.exp(spread * e["small_vessels"] - spread**2 / 2)
        count = np.asarray(poisson.ppf(norm.cdf(e["lesions"]), expected))
        variance = LESION_COUNT + LESION_COUNT**2 * np.expm1(spread**2)
        deep |= {"lesions": count, "lesion_count": (count - LESION_COUNT) / np.sqrt(variance)}
    return deep


def weighted(z: Columns, weights: dict[str, float]) -> NDArray[np.float64]:
    """Sum latents of shape (n,) with some weights; zero where there are none."""
    return sum((w * z[name] for name, w in weights.items()), start=np.zeros_like(z["age"]))


def _skewed(x: NDArray[np.float64], skew: float) -> NDArray[np.float64]:
    """Lognormal transform of a standard normal number to zero mean and unit variance."""
    mean = np.exp(skew**2 / 2)
    return (np.exp(skew * x) - mean) / (mean * np.sqrt(np.exp(skew**2) - 1))


def traits(z: Columns, e: Columns) -> Columns:
    """Values of the 25 targets at the imaging visit, in their own units; yes is 1, no 0."""
    male = z["male"] > 0
    body = z["body"]
    if "signed_weight" in z:
        body = np.sqrt(1 - DEEP_WEIGHT**2) * body + DEEP_WEIGHT * z["signed_weight"]

    def by_sex(men: float, women: float) -> NDArray[np.float64]:
        return np.where(male, men, women)

    out = {
        "sex": z["male"],
        "age": z["age_years"],
        "weight": by_sex(83.5, 68.5) + 13.0 * body,
        "body_fat": by_sex(25, 36) + by_sex(6, 7) * (0.93 * z["adiposity"] + 0.368 * e["body_fat"]),
        # Sex and age carry all of it that anything can read.
        "hb": by_sex(15.0, 13.5) - 0.12 * z["age"] + by_sex(0.99, 0.89) * e["hb"],
        "hdl": by_sex(1.28, 1.60)
        + by_sex(0.31, 0.38) * (-0.54 * z["metabolic"] + 0.842 * e["hdl"]),
        "hba1c": 35.0
        + 5.0 * _skewed(0.42 * z["metabolic"] + 0.17 * z["age"] + 0.89 * e["hba1c"], 0.35),
        "ldl": 3.6 + 0.85 * e["ldl"],
        "reaction_time": 594.0
        + 105.0 * _skewed(0.20 * z["age"] + 0.46 * z["speed"] + 0.86 * e["reaction_time"], 0.3),
    }
    for name, (share, weights) in (ITEMS | DIAGNOSES).items():
        weights = weights | {k: w for k, w in DEEP_ITEMS.get(name, {}).items() if k in z}
        noise = e["worry_item" if name == "worry" else name]
        own = np.sqrt(1 - sum(w**2 for w in weights.values()))
        out[name] = (weighted(z, weights) + own * noise > norm.ppf(1 - share)).astype(float)
    at_site = np.vectorize(ATOPY_BY_SITE.__getitem__, otypes=[float])(z["site_code"])
    out["atopy"] = (norm.cdf(e["atopy"]) < at_site).astype(float)
    return out
