"""What is truly readable in each cell, computed from the generative model, never from the cohort.

A large reference population is drawn from the model. The *ceiling* of a cell is the score of a
predictor that knows exactly the latents which the cell's imaging groups show, beside the block's
traits; *reachable* is that of an oracle which reads the factors off images of the cohort's own
voxel size and regions, knowing every effect map and the noise.

In a cohort with depth the oracle is also told how strong the rim's texture is, the fields whose
meaning depends on sex (and reads the sex off the cell's own images), and the number of lesions: all
exactly, so that no reader of images can quite reach it.
*Reachable_linear* is the score of the best linear reader of the stored images, without being told
(`ukb_brain.synthetic.linear_reader`); elsewhere the oracle's reading is linear itself.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ukb_brain.atomic import atomic_path
from ukb_brain.grid import Cell, Grid
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.synthetic import brains, connectomes, idps
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.depth import GATES
from ukb_brain.synthetic.factors import (
    FACTORS,
    Group,
    factor_values,
    latent_of,
    own_at,
    site_indicators,
)
from ukb_brain.synthetic.linear_reader import REFERENCE_SEED, ReferenceBatch, read_linearly
from ukb_brain.synthetic.people import (
    MALE_SHARE,
    VARIATES,
    Columns,
    latents,
    traits,
    variates,
)
from ukb_brain.synthetic.settings import SyntheticCohort

Array = NDArray[np.float64]

REFERENCE_PEOPLE = 160_000
FITTED_SHARE = 0.6
FINEST_EFFECT_MAPS_MM = 4.0
MISSING_SHARE = 0.02
COLUMNS = ("target", "inputs", "metric", "ceiling", "reachable", "reachable_linear", "planted")

NO_SIGNAL = "no signal: nothing in images or tables predicts it"
SITE_ONLY = "readable from images only through site"
PLANTED = {
    "atopy": SITE_ONLY,
    "hb": "its imaging signal is wholly carried by age and sex",
    "reaction_time": "structural and diffusion imaging add far more together than apart",
    "guilty": NO_SIGNAL,
    "ldl": NO_SIGNAL,
} | dict.fromkeys(
    ("mood_swings", "miserableness", "fed_up", "nervous", "anxious"),
    "morbidity predicts it better than any imaging",
)


def _own(group: Group, z: Columns, rng: np.random.Generator) -> Array:
    return rng.standard_normal((len(z["age"]), len(FACTORS[group])))


def _read(true: Array, rng: np.random.Generator, error: Array) -> Array:
    """Draw what the oracle reads of something: with the errors of its reading."""
    return true + rng.multivariate_normal(np.zeros(len(error)), error, len(true))


def _shown(group: Group, z: Columns, own: Mapping[str, Array]) -> Array:
    return np.hstack([factor_values(group, z, own[group]), site_indicators(z)])


def _readout_errors(grid: Grid, cohort: SyntheticCohort) -> dict[str, Array]:
    sampled_mm = max(cohort.voxel_mm, FINEST_EFFECT_MAPS_MM)
    errors = brains.readout_error(build_anatomy(sampled_mm), cohort.voxel_mm)
    errors["functional"] = connectomes.readout_error(cohort.regions, cohort.time_points)
    if idps.NAME in grid.imaging and cohort.idps:
        errors[idps.NAME] = idps.readout_error(cohort.idps)
    return errors


def _known(group: Group, z: Columns, of_images: bool = True) -> Array:
    shown = {f.latent: latent_of(f, z) for f in FACTORS[group]}
    shown |= {name: z[name] for name in _deep(group, z) if of_images}
    return np.hstack([np.stack(list(shown.values()), axis=1), site_indicators(z)])


def _deep(group: Group, z: Columns) -> list[str]:
    """Latents of depth that a group shows, as far as there are any."""
    shown = ("rim", *(gate.replace("gate", "signed") for gate in GATES), "lesion_count")
    return [name for name in shown if name in z and group == "structural"]


def _told_of_depth(z: Columns, read: Array) -> Array:
    """Give what the oracle sees beside factors; the sex that fields go by is what it reads."""
    male = LogisticRegression(C=1e3).fit(read, z["male"]).predict_proba(read)[:, 1]
    sex = (male - MALE_SHARE) / np.sqrt(MALE_SHARE * (1 - MALE_SHARE))
    gates = [z[gate] * sex for gate in GATES]
    rest = [z[name] for name in ("rim", "lesion_count") if name in z]
    return np.stack([*gates, *rest], axis=1)


def _block(grid: Grid, domain: str, values: Columns, rng: np.random.Generator) -> Array:
    columns = [values[target].copy() for target in grid.targets_of(domain) if target in values]
    for column in columns:
        missing = rng.random(len(column)) < MISSING_SHARE
        column[missing] = column[~missing].mean()
    return np.stack(columns, axis=1) if columns else np.empty((len(values["age"]), 0))


def _scores(
    features: dict[str, Array], values: Columns, grid: Grid, cells: Iterable[Cell]
) -> list[float]:
    """Score the best linear predictor of each cell by its headline metric, at least chance."""
    names = np.repeat([*features], [block.shape[1] for block in features.values()])
    X = np.hstack(list(features.values()))
    X = (X - X.mean(0)) / X.std(0)
    n_fitted = int(FITTED_SHARE * len(X))
    fitted, held_out = X[:n_fitted], X[n_fitted:]
    grams = fitted.T @ fitted / n_fitted
    once, scores = np.ones((1, len(held_out))), []
    for cell in cells:
        kind = KINDS[grid.targets[cell.target].kind]
        y, known = np.split(values[cell.target], [n_fitted])
        use = np.isin(names, (*cell.inputs.groups, *cell.inputs.blocks))
        moment = fitted[:, use].T @ (y - y.mean()) / n_fitted
        weights = np.zeros(len(grams))
        weights[use] = np.linalg.solve(grams[np.ix_(use, use)] + 1e-4 * np.eye(use.sum()), moment)
        predicted = y.mean() + held_out @ weights
        scores.append(max(float(headline(kind.name, known, predicted, once)[0]), kind.chance))
    return scores


def linearly_shown(z: Columns, own: Mapping[str, Array], values: Columns) -> Array:
    """All of which a linear reader of images can be an estimate in some cell, (n, k).

    What the best linear reader of a cell takes from images is a mixture of what it reads of the
    target, of the cell's traits, and of what other groups show.
    """
    factors = [factor_values(group, z, own[group]) for group in FACTORS]
    told = np.stack([*values.values(), *z.values()], axis=1)
    return np.hstack([told, site_indicators(z), *factors])


def _linear_scores(
    grid: Grid,
    cohort: SyntheticCohort,
    linear: Array,
    cells: list[Cell],
    errors: Mapping[str, Array],
) -> list[float]:
    """Score the best linear reader of images, of those people of whom it is known what it reads."""
    rng = np.random.default_rng(20_242)
    z, own, values = reference_people(cohort)
    features = {domain: _block(grid, domain, values, rng) for domain in grid.domains}
    for group in FACTORS:
        features[group] = _read(_shown(group, z, own), rng, errors[group])
    if idps.NAME in errors:
        features[idps.NAME] = _read(idps.seen_by(z, own), rng, errors[idps.NAME])
    # What is not read at all would add noise to each cell.
    features["structural"] = linear[:, linear.std(0) > 0]
    return _scores(features, values, grid, cells)


def reference_people(cohort: SyntheticCohort) -> tuple[Columns, dict[str, Array], Columns]:
    """Latents, own variation and traits of those whose images the best linear reader learns."""
    numbers = range(1, cohort.reference_people + 1)
    e = variates(REFERENCE_SEED, numbers, cohort.deep)
    drawn = [own_at(2, REFERENCE_SEED, number) for number in numbers]
    own: dict[str, Array] = {
        group: np.concatenate([one[group] for one in drawn]) for group in FACTORS
    }
    z = latents(e)
    return z, own, traits(z, e)


def kept_linear_reading(
    cohort: SyntheticCohort,
    batches: Sequence[ReferenceBatch],
    draw: Callable[[Sequence[ReferenceBatch]], Iterable[Path]],
    kept: Path,
) -> Array:
    """Measure `linearly_shown` as the best linear reader reads it, or give what is kept of that.

    Parameters
    ----------
    cohort : SyntheticCohort
    batches : sequence of ReferenceBatch
        Everybody who is drawn for it; their folder, in which a stopped run goes on, is removed.
    draw : callable
        Draws batches by `ukb_brain.synthetic.linear_reader.draw_reference`, in any order.
    kept : Path
        File of the result.
    """
    if not kept.exists():
        folder = batches[0].folder
        folder.mkdir(parents=True, exist_ok=True)
        read = read_linearly(sorted(draw(batches)), linearly_shown(*reference_people(cohort)))
        with atomic_path(kept) as part, part.open("wb") as file:
            np.save(file, read)
        shutil.rmtree(folder)
    return np.asarray(np.load(kept))


def build_truth(grid: Grid, cohort: SyntheticCohort, linear: Array) -> pd.DataFrame:
    """Tabulate what is truly readable in each cell.

    Targets that the generator does not make are left out, and imaging groups that it has no oracle
    of. Voxel size, regions and length of the scans and the number of phenotypes matter, neither
    seed nor people. Further modalities of a group show the same factors again, and count for
    nothing more in ``reachable``.

    Parameters
    ----------
    grid : Grid
    cohort : SyntheticCohort
    linear : ndarray of shape (reference people, k)
        `linearly_shown` as the best linear reader reads it off structural images; empty without
        depth.

    Returns
    -------
    pandas.DataFrame
        One row a cell: ``target, inputs, metric`` (r2 or roc_auc), ``ceiling``, ``reachable``,
        ``reachable_linear``, ``planted``.
    """
    rng = np.random.default_rng(20_240)
    e = dict(zip(VARIATES, rng.standard_normal((len(VARIATES), REFERENCE_PEOPLE)), strict=True))
    if cohort.deep:
        more = np.random.default_rng(20_241).standard_normal((len(cohort.deep), REFERENCE_PEOPLE))
        e |= dict(zip(cohort.deep, more, strict=True))
    z = latents(e)
    values = traits(z, e)
    errors = _readout_errors(grid, cohort)
    blocks = {domain: _block(grid, domain, values, rng) for domain in grid.domains}
    known, seen = dict(blocks), dict(blocks)
    own: dict[str, Array] = {}
    for group in FACTORS:
        if group in grid.imaging:
            own[group] = _own(group, z, rng)
            known[group] = _known(group, z)
            seen[group] = _read(_shown(group, z, own), rng, errors[group])
    if idps.NAME in errors:
        # Of the same people: their phenotypes have the factors that their images have.
        own |= {g: _own(g, z, rng) for g in idps.GROUPS if g not in own}
        latent = [_known(group, z, of_images=False) for group in idps.GROUPS]
        known[idps.NAME] = np.hstack([*latent, z["head"][:, None]])
        seen[idps.NAME] = _read(idps.seen_by(z, own), rng, errors[idps.NAME])
    if cohort.depth and "structural" in seen:
        read = seen["structural"]
        seen["structural"] = np.hstack([read, _told_of_depth(z, read)])
    cells = [c for c in grid.cells if c.target in values and {*c.inputs.groups} <= {*known}]
    table = pd.DataFrame(
        {
            "target": [c.target for c in cells],
            "inputs": [c.inputs.name for c in cells],
            "metric": [KINDS[grid.targets[c.target].kind].headline for c in cells],
            "ceiling": _scores(known, values, grid, cells),
            "reachable": _scores(seen, values, grid, cells),
        }
    )
    table["reachable_linear"] = table["reachable"]
    table["planted"] = table["target"].map(PLANTED).fillna("")
    if len(linear):
        deep = np.array(["structural" in c.inputs.groups for c in cells])
        few = [c for c in cells if "structural" in c.inputs.groups]
        table.loc[deep, "reachable_linear"] = _linear_scores(grid, cohort, linear, few, errors)
    # Exactly chance by construction; the simulation would only add its own noise.
    tabular = np.array([not c.inputs.groups for c in cells])
    nothing = (table["planted"] == NO_SIGNAL) | (table["planted"] == SITE_ONLY) & tabular
    chances = np.array([KINDS[grid.targets[c.target].kind].chance for c in cells])
    for column in ("ceiling", "reachable", "reachable_linear"):
        table[column] = np.where(nothing, chances, table[column])
    return table[list(COLUMNS)]
