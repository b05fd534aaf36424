"""What is truly readable in each cell, computed from the generative model, never from the cohort.

A large reference population is drawn from the model. The *ceiling* of a cell is the score of a
predictor that knows exactly the latents which the cell's imaging groups show, beside the block's
traits; *reachable* is that of an oracle which reads the factors off images of the cohort's own
voxel size and regions, knowing every effect map and the noise.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.grid import Cell, Grid
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.synthetic import brains, connectomes, idps
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.factors import (
    FACTORS,
    Group,
    factor_values,
    latent_of,
    site_indicators,
)
from ukb_brain.synthetic.people import VARIATES, Columns, latents, traits
from ukb_brain.synthetic.settings import SyntheticCohort

Array = NDArray[np.float64]

REFERENCE_PEOPLE = 160_000
FITTED_SHARE = 0.6
FINEST_EFFECT_MAPS_MM = 4.0
MISSING_SHARE = 0.02
COLUMNS = ("target", "inputs", "metric", "ceiling", "reachable", "planted")

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


def _known(group: Group, z: Columns) -> Array:
    shown = {f.latent: latent_of(f, z) for f in FACTORS[group]}
    return np.hstack([np.stack(list(shown.values()), axis=1), site_indicators(z)])


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


def build_truth(grid: Grid, cohort: SyntheticCohort) -> pd.DataFrame:
    """Tabulate what is truly readable in each cell.

    Targets that the generator does not make are left out, and imaging groups that it has no oracle
    of. Voxel size, regions and length of the scans and the number of phenotypes matter, neither
    seed nor people. Further modalities of a group show the same factors again, and count for
    nothing more in ``reachable``.

    Returns
    -------
    pandas.DataFrame
        One row a cell: ``target, inputs, metric`` (r2 or roc_auc), ``ceiling``, ``reachable``,
        ``planted``.
    """
    rng = np.random.default_rng(20_240)
    e = dict(zip(VARIATES, rng.standard_normal((len(VARIATES), REFERENCE_PEOPLE)), strict=True))
    z = latents(e)
    values = traits(z, e)
    sampled_mm = max(cohort.voxel_mm, FINEST_EFFECT_MAPS_MM)
    errors = brains.readout_error(build_anatomy(sampled_mm), cohort.voxel_mm)
    errors["functional"] = connectomes.readout_error(cohort.regions, cohort.time_points)
    groups: tuple[Group, ...] = tuple(g for g in FACTORS if g in grid.imaging)
    blocks = {domain: _block(grid, domain, values, rng) for domain in grid.domains}
    own: dict[Group, Array] = {}
    known, seen = dict(blocks), dict(blocks)
    for group in groups:
        own[group] = _own(group, z, rng)
        shown = np.hstack([factor_values(group, z, own[group]), site_indicators(z)])
        known[group], seen[group] = _known(group, z), _read(shown, rng, errors[group])
    if idps.NAME in grid.imaging and cohort.idps:
        # Of the same people: their phenotypes have the factors that their images have.
        for group in idps.GROUPS:
            own.setdefault(group, _own(group, z, rng))
        shown = idps.seen_by(z, own)
        latent = [_known(group, z) for group in idps.GROUPS]
        known[idps.NAME] = np.hstack([*latent, z["head"][:, None]])
        seen[idps.NAME] = _read(shown, rng, idps.readout_error(cohort.idps))
    cells = [c for c in grid.cells if c.target in values and {*c.inputs.groups} <= {*known}]
    both = (_scores(features, values, grid, cells) for features in (known, seen))
    rows = []
    for cell, *scores in zip(cells, *both, strict=True):
        kind = KINDS[grid.targets[cell.target].kind]
        planted = PLANTED.get(cell.target, "")
        # Exactly chance by construction; the simulation would only add its own noise.
        if planted == NO_SIGNAL or (planted == SITE_ONLY and not cell.inputs.groups):
            scores = [kind.chance, kind.chance]
        rows.append((cell.target, cell.inputs.name, kind.headline, *scores, planted))
    return pd.DataFrame(rows, columns=list(COLUMNS))
