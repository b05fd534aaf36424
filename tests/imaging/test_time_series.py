import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scan_cases import series_text

from ukb_brain.errors import InputError
from ukb_brain.imaging.time_series import atlas_of, parse_time_series

# As github.com/sina-mansour/UKB-connectomics writes it: pandas, index first, named label_name.
AS_ITS_MAKERS_WRITE = (
    "label_name,timepoint_0,timepoint_1,timepoint_2\n"
    "R_V1_ROI,8317.25,8290.5,1e4\n"
    "R_MST_ROI,,,\n"
    "L_V1_ROI,-1.5,0.0,2\n"
)


def test_labels_and_numbers():
    found = parse_time_series(AS_ITS_MAKERS_WRITE)
    assert found.labels == ("R_V1_ROI", "R_MST_ROI", "L_V1_ROI")
    expected = [[8317.25, 8290.5, 1e4], [np.nan] * 3, [-1.5, 0, 2]]
    np.testing.assert_array_equal(found.values, expected)


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: text.replace("label_name", "Label_Name"),
        lambda text: text.replace("R_V1_ROI", '"R_V1_ROI"'),
        lambda text: text.replace(",,,", ", , , "),
        lambda text: text.replace(",,,", ",nan,nan,nan"),
    ],
    ids=["CRLF", "no last newline", "empty lines", "case", "quotes", "blanks", "nan"],
)
def test_what_is_written_otherwise_is_the_same(rewritten):
    found, expected = parse_time_series(rewritten(AS_ITS_MAKERS_WRITE)), AS_ITS_MAKERS_WRITE
    assert found.labels == parse_time_series(expected).labels
    np.testing.assert_array_equal(found.values, parse_time_series(expected).values)


@given(
    st.lists(st.text(min_size=1).map(str.strip).filter(bool), unique=True, max_size=6),
    st.integers(1, 5),
)
def test_any_labels_come_back(labels, points):
    values = np.arange(len(labels) * points, dtype=float).reshape(len(labels), points)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["label_name", *(f"timepoint_{k}" for k in range(points))])
    writer.writerows([label, *row] for label, row in zip(labels, values, strict=True))
    found = parse_time_series(text.getvalue())
    assert found.labels == tuple(labels)
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no header"),
        ("R_V1_ROI,1,2\nR_MST_ROI,3,4\n", "no header"),
        ("label_name,timepoint_0\na,1,2\n", "different lengths"),
        ("label_name,timepoint_0\na\n", "different lengths"),
        ("label_name,timepoint_0\na,1\na,2\n", "twice"),
        ("label_name,timepoint_0\na,one\n", "not a number"),
    ],
)
def test_what_is_no_table_of_time_series_is_one_line(text, told):
    with pytest.raises(InputError, match=told) as caught:
        parse_time_series(text)
    assert "\n" not in str(caught.value)


def test_written_by_the_tests_own_cases():
    found = parse_time_series(series_text(regions=4, order=(2, 0, 1, 3), lost=(1,), without=(3,)))
    assert found.labels == ("R_2_ROI", "R_0_ROI", "R_1_ROI")
    np.testing.assert_array_equal(np.isnan(found.values).all(axis=1), [False, False, True])


@pytest.mark.parametrize(
    ("member", "atlas"),
    [
        ("fMRI.Glasser.csv.gz", "Glasser"),
        ("fMRI/fMRI.Tian_Subcortex_S1_3T.csv.gz", "Tian_Subcortex_S1_3T"),
        ("fMRI/unusable/fMRI.aparc.a2009s.csv.gz", "aparc.a2009s"),
        ("fMRI/readme.txt", None),
        ("rfMRI.Glasser.csv.gz", None),
        ("fMRI.Glasser.csv", None),
    ],
)
def test_the_atlas_is_in_the_name(member, atlas):
    assert atlas_of(member) == atlas


def test_line_ends_of_old_and_new_machines():
    text = "\ufefflabel_name,timepoint_0,timepoint_1{end}A,1,2{end}B,3,4{end}"
    for end in ("\n", "\r\n", "\r"):
        assert parse_time_series(text.format(end=end)).labels == ("A", "B")
