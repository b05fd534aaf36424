"""Structural connectomes, held to files as `tck2connectome` of MRtrix3 writes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scan_cases import connectome, connectome_text

from ukb_brain.errors import InputError
from ukb_brain.imaging.connectivity import nodes_of
from ukb_brain.imaging.connectome import CONNECTOME_FIELDS, edges_of, parse_connectome
from ukb_brain.imaging.regions import connectome_labels

# Of four regions: fibre bundle capacity to 15 digits, streamlines within a region on the diagonal.
GOLDEN = """\
737.250013470650,11.4210002422333,0,0.000441523179411888
11.4210002422333,3048,1e-05,44
0,1e-05,0,298.999984860421
0.000441523179411888,44,298.999984860421,62
"""


def test_a_file_of_the_makers_is_read_to_the_last_digit():
    found = parse_connectome(GOLDEN)
    assert found[3, 2] == 298.999984860421
    assert found[0, 0] == 737.25001347065
    # By columns of the upper triangle, as every other vector.
    edges = edges_of(found, "none")
    expected = [11.4210002422333, 0, 1e-05, 0.000441523179411888, 44, 298.999984860421]
    np.testing.assert_array_equal(edges, np.array(expected, dtype=np.float32))
    np.testing.assert_allclose(edges_of(found, "log1p"), np.log1p(expected), rtol=1e-6)
    # The diagonal is in no edge.
    np.fill_diagonal(found, 0)
    np.testing.assert_array_equal(edges_of(found, "none"), edges)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_ends_of_lines_change_nothing(ends):
    text = GOLDEN.replace("\n", ends).rstrip()
    np.testing.assert_array_equal(parse_connectome(text), parse_connectome(GOLDEN))


@pytest.mark.parametrize("number", [False, True])
def test_what_was_written_is_read(number):
    matrix = connectome(9, seed=3)
    matrix = np.round(matrix) if number else matrix
    found = parse_connectome(connectome_text(matrix))
    np.testing.assert_allclose(found, matrix, rtol=1e-14)


@given(st.integers(2, 12), st.integers(0, 99))
def test_every_pair_of_regions_is_one_edge(regions, seed):
    matrix = connectome(regions, seed)
    edges = edges_of(matrix, "none")
    assert nodes_of(len(edges)) == regions
    assert edges.sum() == pytest.approx((matrix.sum() - np.trace(matrix)) / 2, rel=1e-5)


@pytest.mark.bad_input(
    given="a structural connectome that is empty, cut off, of text, not square, not symmetric, "
    "below 0 or without a streamline",
    says="left out with its reason",
)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("1,2\n2", "rows of different lengths"),
        (GOLDEN[:-8], "rows of different lengths"),
        (GOLDEN.replace("\n0.000441523179411888", "\n0.00044152317941188"), "not symmetric"),
        ("<html>\n</html>", "not a number"),
        ("1,a\na,1", "not a number"),
        ("1,\n,1", "not a number"),
        ("1 2\n2 1", "not a number"),
        ("1,2,3\n2,1,3", "2 rows of 3 numbers"),
        ("1", "1 rows of 1 numbers"),
        ("1,2\n0,1", "not symmetric"),
        ("1,nan\nnan,1", "not finite"),
        ("1,inf\ninf,1", "not finite"),
        ("1,-2\n-2,1", "below 0"),
        ("0,2e9\n2e9,0", r"beyond 1e\+09"),
        ("1,0\n0,1", "no streamline between two regions"),
    ],
)
def test_what_is_no_connectome_is_told(text, says):
    with pytest.raises(InputError, match=says):
        parse_connectome(text)


# --- names of regions -----------------------------------------------------------------------


def test_names_are_as_many_as_the_fields_have_regions():
    counts = [len(set(connectome_labels(field))) for field in CONNECTOME_FIELDS]
    assert counts == [164, 84, 376, 414, 216, 554, 1054]


def test_names_stand_where_the_makers_number_them():
    """Cortex by the numbers of its atlas, then the subcortex, whose right side is first."""
    glasser = connectome_labels(31023)
    assert [glasser[k - 1] for k in (1, 2, 180, 181, 360)] == [
        "R_V1_ROI", "R_MST_ROI", "R_p24_ROI", "L_V1_ROI", "L_p24_ROI",
    ]  # fmt: skip
    assert [glasser[k - 1] for k in (361, 387, 388, 414)] == [
        "HIP-head-m1-rh", "aGP-rh", "HIP-head-m1-lh", "aGP-lh",
    ]  # fmt: skip
    desikan = connectome_labels(31021)
    assert [desikan[k - 1] for k in (1, 34, 35, 68, 69, 84)] == [
        "left_bankssts", "left_insula", "right_bankssts", "right_insula", "HIP-rh", "CAU-lh",
    ]  # fmt: skip
    assert connectome_labels(31024)[99:101] == ("left_100", "right_1")
