"""Tables of how targets are related: by what people have, and by what reads them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.relations.distance_correlation import distance_correlations
from ukb_brain.statistics.relations.mutual_information import mutual_information
from ukb_brain.statistics.relations.relations import profile_similarity, relation_table
from ukb_brain.statistics.relations.target_graphs import centrality_table
from ukb_brain.statistics.scores.cell_scores import CommonScores


def relation_tables(
    measurements: pd.DataFrame,
    families: pd.Series,
    scores: Mapping[str, CommonScores],
    draws: FamilyDraws,
    grid: Grid,
    level: float = 0.95,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Relate all pairs of targets by three measures.

    Parameters
    ----------
    measurements : pandas.DataFrame
        ``eid, instance`` and a column a target; each person's chosen imaging visit counts.

    Returns
    -------
    centrality : pandas.DataFrame
        Eigenvector centrality of every target in the graph of each measure.
    """
    first = measurements.sort_values(["eid", "instance"]).drop_duplicates("eid")
    family = families.loc[first["eid"]].to_numpy(np.int64)
    weights = draws.weights(family)
    values = first[list(grid.targets)]
    kinds = {key: target.kind for key, target in grid.targets.items()}
    related = [
        mutual_information(values, kinds, family, weights),
        distance_correlations(values, weights),
        *([profile_similarity(*_profiles(scores))] if scores else []),
    ]
    return (
        pd.concat([relation_table(one, level) for one in related], ignore_index=True),
        pd.concat([centrality_table(one, level) for one in related], ignore_index=True),
    )


def _profiles(scores: Mapping[str, CommonScores]) -> tuple[pd.DataFrame, np.ndarray]:
    """Skill by inputs and target, as it is and by draw."""
    names = list(dict.fromkeys(name for one in scores.values() for name in one.inputs))
    n_draws = len(next(iter(scores.values())).skill)
    values = np.full((n_draws, len(names), len(scores)), np.nan)
    place = {name: at for at, name in enumerate(names)}
    for column, one in enumerate(scores.values()):
        values[:, [place[name] for name in one.inputs], column] = one.skill
    return pd.DataFrame(values[0], index=names, columns=list(scores)), values[1:]
