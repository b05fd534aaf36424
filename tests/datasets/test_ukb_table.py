import numpy as np
import pandas as pd
import pytest
from table_cases import CODINGS

from ukb_brain.datasets.ukb_table import UKBTableDataset
from ukb_brain.errors import InputError
from ukb_brain.tables.table_file import TableSettings

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
TEXT = (
    "eid,31-0.0,53-2.0,6150-2.0,6150-2.1,42-0.0\n"
    '9000002,0,,-7,,"text, with a comma"\n'
    "9000001,1,2016-05-01,4,1,\n"
    "9000003,,2017-06-02,,,\n"
)


def dataset_of(folder):
    return UKBTableDataset(path=str(folder), codings=str(folder / "codings"))


def opened(folder, **settings):
    return dataset_of(folder).load().open(TableSettings(**settings), CODINGS)


def test_the_table_is_found_by_whatever_name(tmp_path):
    assert not dataset_of(tmp_path).exists()
    (tmp_path / "my basket.csv").write_text(TEXT)
    assert dataset_of(tmp_path).exists()
    table = opened(tmp_path)
    pd.testing.assert_frame_equal(table.read([6150, 31, 53]), EXPECTED)
    assert table.fields == {31, 53, 6150, 42}
    assert table.named == "my basket.csv"


def test_loading_reads_nothing(tmp_path):
    (tmp_path / "ukb.csv.gz").write_bytes(b"no gzip")
    dataset_of(tmp_path).load()


def test_many_files_are_named_in_short(tmp_path):
    for k in range(5):
        (tmp_path / f"t{k}.csv").write_text(f"eid,{k + 1}-0.0\n9000001,1\n")
    assert opened(tmp_path).named == "t0.csv, t1.csv, t2.csv and 2 more"


@pytest.mark.bad_input(given="no table at all", says="There is no main table at ")
def test_a_missing_table_names_both_commands_in_one_line(tmp_path, says):
    with pytest.raises(InputError, match=says) as caught:
        opened(tmp_path / "01_raw")
    message = str(caught.value)
    assert "kedro run --pipelines synthetic_cohort" in message
    assert "kedro run --env ukb" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", ["", "ID,31-0.0\n1,2\n", "eid,sex\n1,2\n"])
@pytest.mark.bad_input(
    given="a table without the column of eids",
    says="None of the 1 file(s) in .* that could be the main table has a column `eid`",
)
def test_a_file_without_an_eid_column_is_refused(tmp_path, content, says):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(InputError, match=says.replace("(s)", r"\(s\)")):
        opened(tmp_path)


def test_the_table_is_never_written(tmp_path):
    with pytest.raises(Exception, match="only read"):
        dataset_of(tmp_path).save(1)
