import shutil

import numpy as np
import pandas as pd
import pytest
from abide_cases import row_of, series_of, text_of, write_cohort, write_series
from hypothesis import given
from hypothesis import strategies as st
from scan_cases import imaging

from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk import BulkFile, ScanError
from ukb_brain.imaging.bulk_index import index_bulk, states
from ukb_brain.imaging.roi_series import ROI_FIELDS, parse_rois, person_and_field

CC200 = imaging(connectivity_field="cc200")
# The first values of a real file, cut to three regions.
REAL = "#1\t#2\t#3\n-2.050007\t6.452024\t2.154645\n5.67811\t-7.31\t1e1\n"


def test_a_column_a_region_becomes_a_row_a_region():
    found = parse_rois(REAL)
    assert found.labels == ("1", "2", "3")
    expected = [[-2.050007, 5.67811], [6.452024, -7.31], [2.154645, 10]]
    np.testing.assert_array_equal(found.values, expected)


@given(st.integers(1, 6), st.integers(1, 5))
def test_any_shape_comes_back(regions, points):
    values = np.arange(regions * points, dtype=float).reshape(points, regions)
    found = parse_rois(text_of(values, range(10, 10 + regions)))
    assert found.labels == tuple(str(n) for n in range(10, 10 + regions))
    np.testing.assert_array_equal(found.values, values.T)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no line of region numbers"),
        ("1\t2\n3\t4\n", "no line of region numbers"),
        ("#1\t#2\n3\n", "different lengths"),
        ("#1\t#1\n3\t4\n", "twice"),
        ("#1\t#2\n3\tfour\n", "not a number"),
    ],
)
def test_what_is_no_table_of_series_is_one_line(text, told):
    with pytest.raises(InputError, match=told) as caught:
        parse_rois(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NYU_0050952_rois_cc200.1D", (50952, ROI_FIELDS["cc200"])),
        ("MaxMun_a_0051366_rois_ho.1D", (51366, ROI_FIELDS["ho"])),
        ("UM_1_0050272_rois_dosenbach160.1D", (50272, ROI_FIELDS["dosenbach160"])),
        ("NYU_0050952_rois_other.1D", None),
        ("NYU_0050952_func_preproc.nii.gz", None),
        ("1234567_31016_2_0.zip", None),
    ],
)
def test_the_name_tells_person_and_atlas(name, expected):
    assert person_and_field(name) == expected


def test_series_are_listed_in_any_arrangement_and_read(tmp_path):
    raw = write_cohort(tmp_path, people=4)
    index, others = index_bulk(raw, CC200.fields.values())
    index["state"] = states(index, CC200.members)
    mine = index[index["field"] == CC200.fields["rsfmri"]]
    assert mine[["eid", "instance", "array", "state"]].to_numpy().tolist() == [
        [50_000 + number, 0, 0, "ok"] for number in range(4)
    ]
    assert (index["field"] == ROI_FIELDS["ho"]).sum() == 4
    assert others == ["Phenotypic_V#_#b_preprocessed#.csv"]
    read = BulkFile(raw / mine["path"].iloc[2]).time_series(None)
    np.testing.assert_allclose(read.values, series_of(2).T, atol=1e-6)


def test_a_file_that_is_cut_short_is_a_broken_scan(tmp_path):
    path = write_series(tmp_path, row_of(0), series_of(0))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ScanError, match="different lengths") as caught:
        BulkFile(path).time_series(None)
    assert caught.value.status == "broken"


@pytest.mark.bad_input(
    given="ABIDE's series of two pipelines in one folder",
    says="several different .1D files of one atlas",
)
def test_two_pipelines_in_one_folder(tmp_path, says):
    write_cohort(tmp_path, people=3)
    write_series(tmp_path / "ABIDE_pcp/cpac/filt_global", row_of(1), series_of(1, points=39))
    with pytest.raises(InputError, match=says) as caught:
        index_bulk(tmp_path, CC200.fields.values())
    assert "1 scan(s)" in str(caught.value) and "50001" not in str(caught.value)


def test_the_same_file_twice_is_one(tmp_path):
    place = write_cohort(tmp_path, people=3) / "ABIDE_pcp/cpac"
    shutil.copytree(place / "nofilt_noglobal", place / "copy")
    index, _ = index_bulk(tmp_path, CC200.fields.values())
    assert len(index) == 6


def test_an_unknown_atlas_is_refused():
    with pytest.raises(ValueError, match="cc200"):
        imaging(connectivity_field="glasser")


def test_no_field_of_uk_biobank_has_such_a_number():
    from ukb_brain.tables.abide import COLUMNS
    from ukb_brain.tables.dictionary import field_of

    own = {column.field for column in COLUMNS.values() if column.field > 999_999}
    assert not own & set(ROI_FIELDS.values())
    assert pd.Series([field_of(field) for field in {*own, *ROI_FIELDS.values()}]).isna().all()
