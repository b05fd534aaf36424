import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.statistics.relations.relation_tables import (
    centrality_table,
    eigenvector_centrality,
)
from ukb_brain.statistics.relations.relations import blank_relation
from ukb_brain.tables import reported


def invented(k=5, draws=200, seed=0):
    rng = np.random.default_rng(seed)
    found = blank_relation("invented", [f"t{at}" for at in range(k)], draws)
    upper = np.triu(rng.uniform(0.1, 1, (k, k)), 1)
    noise = np.triu(rng.normal(0, 0.05, (draws, k, k)), 1)
    off = ~np.eye(k, dtype=bool)
    found.estimate[off] = (upper + upper.T)[off]
    found.drawn[:, off] = (found.estimate + noise + noise.transpose(0, 2, 1))[:, off]
    return found


@given(st.integers(0, 10**6), st.integers(3, 8))
def test_centrality_agrees_with_networkx(seed, k):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.05, 1, (3, k, k))
    weights += weights.transpose(0, 2, 1)
    found = eigenvector_centrality(weights)
    for matrix, mine in zip(weights, found, strict=True):
        graph = nx.from_numpy_array(matrix * (1 - np.eye(k)))
        theirs = nx.eigenvector_centrality_numpy(graph, weight="weight")
        np.testing.assert_allclose(mine, list(theirs.values()), atol=1e-6)


def test_a_graph_in_parts_and_one_without_edges():
    parts = np.zeros((4, 4))
    parts[[0, 1], [1, 0]], parts[[2, 3], [3, 2]] = 2, 1
    found = eigenvector_centrality(np.stack([parts, np.eye(4)]))
    np.testing.assert_allclose(found[0], [np.sqrt(0.5), np.sqrt(0.5), 0, 0], atol=1e-12)
    assert np.isnan(found[1]).all()


def test_intervals_are_of_each_draws_graph():
    found = invented(draws=50)
    table = centrality_table(found, level=0.8)
    assert table.columns.tolist() == [*reported.centrality.columns]
    each = []
    for draw in found.drawn:
        graph = nx.from_numpy_array(np.nan_to_num(draw).clip(0))
        each.append(list(nx.eigenvector_centrality_numpy(graph, weight="weight").values()))
    np.testing.assert_allclose(
        table[["low", "high"]].T, np.quantile(each, [0.1, 0.9], axis=0), atol=1e-6
    )
    assert (table["low"] < table["estimate"]).all()
    assert (table["estimate"] < table["high"]).all()
