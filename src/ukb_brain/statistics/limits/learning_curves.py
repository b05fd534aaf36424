"""Tables of learning curves: skill at each number of training people, and the curve through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.limits.power_law import average_repeats, extrapolate
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.scores.target_predictions import in_grid, people_in_test, side_by_side
from ukb_brain.statistics.sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Row = dict[str, Any]
# Target, inputs, strategy and fold.
Key = tuple[str, str, str, int]
CELL = ["target", "inputs", "strategy"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Skill of one fit, or of the ensemble of its seeds, on test people.

    Attributes
    ----------
    status : str
        ``ok``, or why there is no skill.
    skill : float
        R², or 2·AUC − 1; NaN where there is none.
    draws : ndarray, shape (draws,)
        The same in bootstrap draws of test families.
    """

    status: str
    n_train: int
    n_test: int
    skill: float
    draws: Floats


def draw_skills(
    predictions: pd.DataFrame,
    fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    draws: int,
    seed: int,
) -> dict[Key, Drawn]:
    """Score every fit on its test people, in the sample and in draws that all fits share."""
    families, found = FamilyDraws(participants["family"], draws, seed), {}
    tested = people_in_test(predictions, participants)
    nothing = np.full(1 + draws, np.nan)
    for _, mine in in_grid(fits, grid).groupby(["strategy", "fold"], observed=True):
        targets, status = side_by_side(mine, tested, grid)
        skills: dict[tuple[str, str], Floats] = {}
        for table in targets.values():
            weights = families.weights(table.family)
            weights = np.vstack([np.ones((1, len(table.y))), weights])
            scores = headline(table.kind, table.y, table.predicted, weights)
            of_cells = KINDS[table.kind].skill(scores).T
            keys = ((table.target, inputs) for inputs in table.inputs)
            skills |= dict(zip(keys, of_cells, strict=True))
        cells = mine.drop(columns="status").drop_duplicates(["target", "inputs"])
        for row in cells.merge(status, on=["target", "inputs"]).to_dict("records"):
            where = (row["target"], row["inputs"])
            sample, *others = skills.get(where, nothing)
            counts = int(row["n_train"]), int(row["n_test"])
            drawn = Drawn(row["status"], *counts, float(sample), np.array(others))
            found[(*where, row["strategy"], int(row["fold"]))] = drawn
    return found


def described(key: Key, drawn: Drawn, grid: Grid, level: float) -> Row:
    """Say of which cell a fit is, and what it scored.

    ``target, inputs, strategy, kind, n_train, n_test, status, metric`` (AUC or R²), ``score`` and
    ``skill``, each with ``_low`` and ``_high``.
    """
    kind = KINDS[grid.targets[key[0]].kind]
    row: Row = dict(zip(CELL, key, strict=False)) | {"kind": kind.name, "metric": kind.label}
    row |= {"n_train": drawn.n_train, "n_test": drawn.n_test, "status": drawn.status}
    low, high = percentile_interval(drawn.draws, level)
    for end, skill in (("", drawn.skill), ("_low", low), ("_high", high)):
        row |= {f"skill{end}": skill, f"score{end}": kind.score(skill)}
    return row


def score_learning_curves(
    skills: Mapping[Key, Drawn],
    subsets: Mapping[int, tuple[float, int]],
    grid: Grid,
    level: float,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Arrange skills by number of training people, and fit a power law to each cell's.

    Parameters
    ----------
    subsets : dict of int to (float, int)
        Share and repeat of each number that stands in the place of a fold.

    Returns
    -------
    curves : pandas.DataFrame
        One row a cell, strategy, share and repeat.
    fits : pandas.DataFrame
        One row a cell and strategy: ``target, kind, inputs, strategy``, what
        `ukb_brain.statistics.limits.power_law.extrapolate` gives, and ``training_sd``.
    """
    place = {key: k for k, key in enumerate(grid.targets)}
    curves, fits = [], []
    for cell in sorted({key[:3] for key in skills}, key=lambda cell: (place[cell[0]], *cell[1:])):
        mine = {
            subsets[key[3]]: one
            for key, one in skills.items()
            if key[:3] == cell and key[3] in subsets
        }
        curves += [
            described((*cell, 0), one, grid, level) | {"share": share, "repeat": repeat}
            for (share, repeat), one in sorted(mine.items())
        ]
        about = dict(zip(CELL, cell, strict=True)) | {"kind": grid.targets[cell[0]].kind}
        fits.append(about | _fit(mine, level, seed))
    return table_of(reported.learning_curves, curves), table_of(reported.learning_curve_fits, fits)


def _fit(mine: Mapping[tuple[float, int], Drawn], level: float, seed: int) -> Row:
    scored = {at: one for at, one in mine.items() if np.isfinite(one.skill)}
    shares = sorted({share for share, _ in scored})
    if not scored:
        return dict(extrapolate([], np.empty(0), np.empty((2, 0)), level)) | {"training_sd": np.nan}
    shape = len(shares), max(repeat for _, repeat in scored) + 1
    draws = len(next(iter(scored.values())).draws)
    skills, drawn = np.full(shape, np.nan), np.full((draws, *shape), np.nan)
    people = np.zeros(shape)
    for (share, repeat), one in scored.items():
        at = shares.index(share), repeat
        skills[at], drawn[:, at[0], at[1]], people[at] = one.skill, one.draws, one.n_train
    sizes = people.sum(axis=1) / (people > 0).sum(axis=1)
    means, noisy, spread = average_repeats(sizes, skills, drawn, seed)
    return dict(extrapolate(sizes.tolist(), means, noisy, level)) | {"training_sd": spread}
