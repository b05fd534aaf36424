import networkx as nx
import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.tables.relatives import find_families


def pairs(*rows):
    return pd.DataFrame(rows, columns=["ID1", "ID2", "Kinship"])


def test_a_chain_is_one_family_and_distant_kin_are_not():
    families = find_families(
        np.array([40, 10, 30, 20]),
        pairs((10, 20, 0.25), (20, 40, 0.05), (30, 40, 0.0442), (30, 99, 0.25)),
        0.0442,
    )
    assert families.tolist() == [0, 0, 1, 0]


def test_relatives_outside_the_cohort_join_nobody():
    outside = pairs((1, 9, 0.25), (2, 9, 0.25))
    assert find_families(np.array([1, 2]), outside, 0.0442).tolist() == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=25), st.randoms())
def test_families_are_the_connected_components_whatever_the_order(links, random):
    eids = list(range(16))
    random.shuffle(eids)
    families = find_families(np.array(eids), pairs(*((a, b, 0.25) for a, b in links)), 0.0442)
    graph = nx.Graph(links)
    graph.add_nodes_from(eids)
    expected = sorted(sorted(component) for component in nx.connected_components(graph))
    found = pd.Series(families, index=eids)
    assert [sorted(found.index[found == n]) for n in range(families.max() + 1)] == expected
