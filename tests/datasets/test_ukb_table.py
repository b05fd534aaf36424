import csv

import numpy as np
import pandas as pd
import pytest

from ukb_brain.datasets.ukb_table import UKBTableDataset
from ukb_brain.errors import InputError

# What all styles shall read as.
EXPECTED = pd.DataFrame(
    {
        "eid": [9000001, 9000002, 9000003],
        "31-0.0": [1.0, 0.0, np.nan],
        "53-2.0": pd.to_datetime(["2016-05-01", None, "2017-06-02"]).astype("datetime64[us]"),
        "6150-2.0": [4.0, -7.0, np.nan],
        "6150-2.1": [1.0, np.nan, np.nan],
    }
)
STYLES = {
    "ukbconv csv": ("eid", "31-0.0", "53-2.0", "6150-2.0", "6150-2.1", "42-0.0"),
    "ukbconv r": ("f.eid", "f.31.0.0", "f.53.2.0", "f.6150.2.0", "f.6150.2.1", "f.42.0.0"),
    "platform": ("eid", "p31", "p53_i2", "p6150_i2_a0", "p6150_i2_a1", "p42"),
    "prefixed": (
        "participant.eid",
        "participant.p31",
        "participant.p53_i2",
        "participant.p6150_i2_a0",
        "participant.p6150_i2_a1",
        "participant.p42",
    ),
}


def rows_of(expected):
    texts = expected.copy()
    texts["53-2.0"] = texts["53-2.0"].dt.strftime("%Y-%m-%d")
    rows = [["" if pd.isna(v) else str(v) for v in row] for row in texts.to_numpy()]
    return [[*row, "free text, with a comma"] for row in rows]


def write(path, header, rows, delimiter=",", quoting=csv.QUOTE_ALL):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
        writer.writerows([header, *rows])
    return UKBTableDataset(filepath=str(path))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_every_style_reads_as_the_same_table(tmp_path, style, delimiter, quoting):
    path = tmp_path / "ukb_table.csv"
    table = write(path, STYLES[style], rows_of(EXPECTED), delimiter, quoting).load()
    pd.testing.assert_frame_equal(table.read([6150, 31, 53]), EXPECTED)
    assert table.fields == {31, 53, 6150, 42}


@pytest.mark.parametrize("style", STYLES)
def test_parquet_reads_as_the_same_table(tmp_path, style):
    path = tmp_path / "table.parquet"
    renamed = EXPECTED.set_axis(STYLES[style][:-1], axis=1)
    renamed[STYLES[style][2]] = renamed[STYLES[style][2]].dt.strftime("%Y-%m-%d")
    renamed.to_parquet(path)
    table = UKBTableDataset(filepath=str(path)).load()
    pd.testing.assert_frame_equal(table.read([31, 53, 6150]), EXPECTED)


def test_the_id_column_may_stand_anywhere_and_others_are_not_read(tmp_path):
    path = tmp_path / "table.csv"
    table = write(
        path, ["31-0.0", "eid", "42-0.0"], [["1", "7", "text"], ["0", "8", "text"]]
    ).load()
    frame = table.read([31])
    assert list(frame) == ["eid", "31-0.0"]
    assert frame["eid"].tolist() == [7, 8]


def test_a_missing_table_names_both_commands_in_one_line(tmp_path):
    with pytest.raises(Exception) as caught:
        UKBTableDataset(filepath=str(tmp_path / "ukb_table.csv")).load()
    message = str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, InputError)
    assert "kedro run --pipeline synthetic_cohort" in message
    assert "kedro run --env ukb" in message
    assert "\n" not in message


def bad_table(tmp_path, header, rows):
    return write(tmp_path / "table.csv", header, rows).load()


def test_repeated_eids_are_counted_and_never_named(tmp_path):
    table = bad_table(tmp_path, ["eid", "31-0.0"], [[n, 1] for n in (9000001, 9000001, 9000001, 2)])
    with pytest.raises(InputError, match="2 row") as caught:
        table.read([31])
    assert "9000001" not in str(caught.value)


def test_text_in_a_column_of_numbers_names_the_column_and_the_value(tmp_path):
    rows = [["9000001", "5", "1"], ["9000002", "6", "Male"]]
    table = bad_table(tmp_path, ["eid", "50-0.0", "31-0.0"], rows)
    with pytest.raises(InputError, match=r"'31-0\.0'.*'Male'.*numbers were expected") as caught:
        table.read([31])
    assert "9000002" not in str(caught.value)
    assert table.read([50])["50-0.0"].tolist() == [5, 6]


def test_text_in_a_parquet_column_of_numbers_names_the_column(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"eid": [1], "p31": ["Male"]}).to_parquet(path)
    with pytest.raises(InputError, match=r"'p31'.*numbers were expected"):
        UKBTableDataset(filepath=str(path)).load().read([31])


def test_a_date_that_is_none_names_the_column(tmp_path):
    table = bad_table(tmp_path, ["eid", "53-2.0"], [["1", "01/05/2016"]])
    with pytest.raises(InputError, match=r"'53-2\.0'.*YYYY-MM-DD"):
        table.read([53])


def test_a_damaged_row_and_a_strange_eid_are_told_without_an_eid(tmp_path):
    header = ["eid", "31-0.0", "50-0.0"]
    with pytest.raises(InputError, match="row of 2 columns where its header has 3") as ragged:
        bad_table(tmp_path, header, [["9000001", "1", "170"], ["9000002", "1"]]).read([31])
    with pytest.raises(InputError, match=r"'eid'.*whole numbers") as strange:
        bad_table(tmp_path, header, [["x9000003", "1", "170"]]).read([31])
    with pytest.raises(InputError, match=r"1 row\(s\) without an eid") as empty:
        bad_table(tmp_path, header, [["", "1", "170"], ["5", "1", "1"]]).read([31])
    for caught in (ragged, strange, empty):
        assert "900000" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "ID,31-0.0\n1,2\n"])
def test_a_file_without_an_eid_column_is_refused(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(Exception, match="no column `eid`"):
        UKBTableDataset(filepath=str(path)).load()
