"""How central each target is in the graph of their relations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.statistics.relations.relations import Related
from ukb_brain.statistics.sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of


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
        Columns `CENTRALITY_COLUMNS`, one row a target; the interval is of the graphs of the draws.
    """
    estimate = eigenvector_centrality(_positive(related.estimate)[None])[0]
    drawn = eigenvector_centrality(_positive(related.drawn))
    bounds = np.array([percentile_interval(values, level) for values in drawn.T]).T
    columns = {"target": related.targets, "estimate": estimate, "low": bounds[0], "high": bounds[1]}
    return table_of(reported.centrality, pd.DataFrame(columns).assign(measure=related.measure))


def _positive(relations: Floats) -> Floats:
    return np.maximum(np.nan_to_num(relations), 0)
