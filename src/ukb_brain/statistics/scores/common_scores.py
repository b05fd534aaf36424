"""Scores of a target's cells on the test people whom all of them have, draw by draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.cell_scores import estimate_cells, score_cells
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.sums import Floats


@dataclass(frozen=True, eq=False)
class CommonScores:
    """Scores of a target's cells on the people common to all of them.

    Attributes
    ----------
    n : int
        People in common.
    skill, accuracy : ndarray, shape (1 + draws, cells)
        R² or 2·AUC − 1, and the study's balanced accuracy (of a median split, if continuous); the
        sample's in the first row, then those of bootstrap draws, the same in all targets.
    """

    inputs: tuple[str, ...]
    n: int
    skill: Floats
    accuracy: Floats


def common_scores(
    targets: Mapping[str, TargetPredictions], draws: FamilyDraws
) -> dict[str, CommonScores]:
    """Score all cells of every target on the people whom its cells have in common.

    Scores are those of `ukb_brain.statistics.scores.engine`, NaN where these people leave one
    undefined.
    """
    found = {}
    for key, table in targets.items():
        mine = table.restricted(np.asarray(np.isfinite(table.predicted).all(axis=1)))
        n = len(mine.y)
        if n < 2:
            blank = np.full((1 + draws.draws, len(table.inputs)), np.nan)
            found[key] = CommonScores(table.inputs, n, blank, blank)
            continue
        sample, drawn = estimate_cells(mine), score_cells(mine, draws.weights(mine.family))
        kind = KINDS[table.kind]
        headline, accuracy = (
            np.vstack([sample[name], drawn[name]]) for name in (kind.headline, kind.accuracy)
        )
        found[key] = CommonScores(table.inputs, n, kind.skill(headline), accuracy)
    return found


def skill_by_cell(scores: Mapping[str, CommonScores]) -> pd.DataFrame:
    """Arrange skill as claims and profiles take it.

    Returns
    -------
    pandas.DataFrame
        Index ``target, inputs``; column 0 is the sample's, the others those of draws.
    """
    if not scores:
        nothing = pd.MultiIndex.from_arrays([[], []], names=["target", "inputs"])
        return pd.DataFrame(index=nothing, columns=[0], dtype=np.float64)
    keys = [(target, name) for target, one in scores.items() for name in one.inputs]
    values = np.concatenate([one.skill for one in scores.values()], axis=1).T
    return pd.DataFrame(values, index=pd.MultiIndex.from_tuples(keys, names=["target", "inputs"]))
