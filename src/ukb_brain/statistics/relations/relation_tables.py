"""Tables of how targets are related: by what people have, and by what reads them."""

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.relations.distance_correlation import distance_correlations
from ukb_brain.statistics.relations.mutual_information import mutual_information
from ukb_brain.statistics.relations.relations import Related, profile_similarity, relation_table
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of


def relation_tables(
    measurements: pd.DataFrame,
    families: pd.Series,
    skill: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    level: float = 0.95,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Relate all pairs of targets by three measures.

    Parameters
    ----------
    measurements : pandas.DataFrame
        ``eid, instance`` and a column a target; each person's chosen imaging visit counts.
    skill : pandas.DataFrame
        From `ukb_brain.statistics.scores.cell_scores.common_scores`.

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
        *([profile_similarity(*_profiles(skill))] if len(skill) else []),
    ]
    return (
        pd.concat([relation_table(one, level) for one in related], ignore_index=True),
        pd.concat([centrality_table(one, level) for one in related], ignore_index=True),
    )


def _profiles(skill: pd.DataFrame) -> tuple[pd.DataFrame, Floats]:
    """Skill by inputs and target, as it is and by draw."""
    targets, names = (list(skill.index.unique(level)) for level in ("target", "inputs"))
    every = skill.reindex(pd.MultiIndex.from_product([targets, names])).to_numpy()
    values = every.reshape(len(targets), len(names), -1).T
    return pd.DataFrame(values[0], names, targets), values[1:]


def eigenvector_centrality(weights: Floats) -> Floats:
    """Say how strongly each node is tied to nodes that are strongly tied.

    Bonacich P (1987). Power and centrality: a family of measures. American Journal of Sociology
    92:1170.

    Parameters
    ----------
    weights : ndarray, shape (graphs, nodes, nodes)
        Symmetric, non-negative, in any unit; the diagonal is not used.

    Returns
    -------
    ndarray, shape (graphs, nodes)
        The leading eigenvector, of length 1 and without negative entries; NaN for a graph without
        edges. Where a graph falls into parts, nodes outside the strongest have 0.
    """
    weights = weights * (1 - np.eye(weights.shape[-1]))
    leading = np.abs(np.linalg.eigh(weights)[1][:, :, -1])
    tied = weights.max(axis=(1, 2), initial=0) > 0
    return np.where(tied[:, None], leading, np.nan)


def centrality_table(related: Related, level: float = 0.95) -> pd.DataFrame:
    """List how central targets are, with intervals.

    Parameters
    ----------
    related : Related
        Any measure of relation; relations below 0 count as none.

    Returns
    -------
    pandas.DataFrame
        Columns of `reported.centrality`, one row a target; intervals are of the draws' graphs.
    """
    estimate = eigenvector_centrality(_positive(related.estimate)[None])[0]
    drawn = eigenvector_centrality(_positive(related.drawn))
    low, high = np.transpose([percentile_interval(values, level) for values in drawn.T])
    columns = {"target": related.targets, "estimate": estimate, "low": low, "high": high}
    return table_of(reported.centrality, pd.DataFrame(columns).assign(measure=related.measure))


def _positive(relations: Floats) -> Floats:
    return np.maximum(np.nan_to_num(relations), 0)
