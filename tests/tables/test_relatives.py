import re

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.tables.relatives import (
    find_families,
    find_relatedness,
    known_pairs,
    read_relatedness,
)


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


def test_without_a_file_everybody_is_a_family_of_one():
    assert find_families(np.array([2, 1]), pd.DataFrame(), 0.0442).tolist() == [1, 0]


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


HEADER = "ID1 ID2 HetHet IBS0 Kinship\n"
ROWS = "9000001 9000007 0.1 0.01 0.25\n-1 9000002 0.1 0.01 0.25\n1  2 0 0 0.05\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(
            "ukb_rel_a12345_s488130.dat",
            HEADER + ROWS,
            marks=pytest.mark.bad_input(
                given="a relatedness file by its real name, `ukb_rel_a12345_s488130.dat`",
                says="read: by its header, whatever its name; pairs with -1 are left out",
            ),
        ),
        ("rel", HEADER + ROWS),
        ("KINSHIP.TXT", "\ufeff" + (HEADER + ROWS).replace(" ", "\t").replace("\t\t", "\t")),
        ("rel.csv", (HEADER + ROWS).replace("  ", " ").replace(" ", ",")),
        ("rel.txt", (HEADER + ROWS).replace("  ", " ").replace(" ", ",").replace("\n", "\r\n")),
    ],
)
@pytest.mark.parametrize("folder", ["", "genetics", "a/deep/folder"])
def test_the_file_is_found_by_its_header(tmp_path, name, text, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / name).write_text(text)
    (tmp_path / "other.csv").write_text("eid,31-0.0\n1,1\n")
    (tmp_path / "bulk").mkdir()
    (tmp_path / "bulk" / "copy.dat").write_text(text)
    found = find_relatedness(tmp_path)
    assert found == tmp_path / folder / name
    pairs_there = read_relatedness(found)
    assert pairs_there.to_numpy().tolist() == [[9000001, 9000007, 0.25], [1, 2, 0.05]]
    assert pairs_there["ID1"].dtype == "int64"


def test_there_may_be_none(tmp_path):
    assert find_relatedness(tmp_path) is None
    assert find_relatedness(tmp_path / "absent") is None
    (tmp_path / "gone.dat").symlink_to(tmp_path / "nowhere")
    assert find_relatedness(tmp_path) is None


@pytest.mark.bad_input(
    given="two relatedness files", says="There are 2 relatedness files (a.dat, b.dat)"
)
def test_two_files_are_not_chosen_between(tmp_path, says):
    for name in ("a.dat", "b.dat"):
        (tmp_path / name).write_text(HEADER + ROWS)
    with pytest.raises(InputError, match=re.escape(says)):
        find_relatedness(tmp_path)


@pytest.mark.parametrize(
    "row", ["x9000001 2 0 0 1", "9000001.5 2 0 0 1", "9000001 2 0 0 kin", "9 "]
)
@pytest.mark.bad_input(
    given="a relatedness file with text for numbers",
    says="with whole numbers as IDs were expected",
)
def test_a_damaged_file_is_told_without_an_eid(tmp_path, row, says):
    path = tmp_path / "rel.dat"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read_relatedness(path)
    assert "9000001" not in str(caught.value)


def test_pairs_with_both_people_in_the_table():
    both = pairs((1, 2, 0.25), (2, 9, 0.25), (8, 9, 0.25))
    assert known_pairs(both, np.array([1, 2, 3])) == 1
    assert known_pairs(both, np.array([3])) == 0


@pytest.mark.parametrize(
    "row", ["9000003 9000004 0.1", "9000003 9000004 0.1 0.01 NA", "9000003 9000004 0.1 0.01 25",
            "1e+06 9000004 0.1 0.01 0.25", "1 9000003 9000004 0.1 0.01 0.25"]
)  # fmt: skip
def test_a_row_that_would_part_relatives_stops(tmp_path, row):
    path = tmp_path / "rel.dat"
    path.write_text(f"{HEADER}9000001 9000002 0.1 0.01 0.25\n{row}\n")
    with pytest.raises(InputError, match="relatedness file"):
        read_relatedness(path)
