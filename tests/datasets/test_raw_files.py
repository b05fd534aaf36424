import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from table_cases import CODINGS, fields_of

from ukb_brain.datasets.raw_files import (
    BulkFolderDataset,
    RelatednessDataset,
    UKBTableDataset,
    WithdrawalsDataset,
)
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
    assert fields_of(table) == {31, 53, 6150, 42}
    assert [file.path.name for file in table.files] == ["my basket.csv"]


def test_loading_reads_nothing(tmp_path):
    (tmp_path / "ukb.csv.gz").write_bytes(b"no gzip")
    dataset_of(tmp_path).load()


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


def test_all_lists_together(tmp_path):
    (tmp_path / "w12345_20250101.csv").write_text("9000001\n9000002\n")
    (tmp_path / "w12345_20260101.csv").write_text('9000002\r\n"9000003"\r\n\r\n')
    (tmp_path / "ukb_table.csv").write_text("eid,31-0.0\n9000004,1\n")
    dataset = WithdrawalsDataset(path=str(tmp_path))
    withdrawals = dataset.load()
    assert withdrawals.eids == {9000001, 9000002, 9000003}
    assert withdrawals.n_lists == 2
    assert dataset.exists()


def test_an_empty_list_is_a_list_and_no_list_is_none(tmp_path):
    dataset = WithdrawalsDataset(path=str(tmp_path))
    assert dataset.load().n_lists == 0
    assert not dataset.exists()
    (tmp_path / "w1_2026.csv").write_text("")
    withdrawals = dataset.load()
    assert (withdrawals.n_lists, withdrawals.eids) == (1, frozenset())


def test_a_line_that_is_no_number_stops_with_its_place_only(tmp_path):
    (tmp_path / "w1_2026.csv").write_text("9000001\n9000002;9000003\n")
    with pytest.raises(Exception, match=r"Line 2 .*w1_2026\.csv") as caught:
        WithdrawalsDataset(path=str(tmp_path)).load()
    assert "9000003" not in str(caught.value)


def test_pairs_of_relatives(tmp_path):
    path = tmp_path / "anything.dat"
    path.write_text("ID1 ID2 HetHet IBS0 Kinship\n9000001 9000007 0.1 0.01 0.25\n1  2 0 0 0.05\n")
    dataset = RelatednessDataset(path=str(tmp_path))
    pairs = dataset.load()
    assert list(pairs) == ["ID1", "ID2", "Kinship"]
    assert pairs.to_numpy().tolist() == [[9000001, 9000007, 0.25], [1, 2, 0.05]]
    assert pairs["ID1"].dtype == "int64"
    assert dataset.exists()


def test_a_damaged_file_is_refused_without_naming_an_eid(tmp_path):
    (tmp_path / "rel.dat").write_text("ID1 ID2 HetHet IBS0 Kinship\nx9000001 2 0 0 1\n")
    with pytest.raises(Exception, match="ID1 ID2 HetHet IBS0 Kinship") as caught:
        RelatednessDataset(path=str(tmp_path)).load()
    assert "9000001" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "ID1,Kinship\n1,0.3\n", "eid,31-0.0\n1,1\n"])
def test_other_files_are_none_and_the_caller_judges(tmp_path, content):
    # Whether a run may go on without one is a question of settings.
    (tmp_path / "ukb_rel.dat").write_text(content)
    dataset = RelatednessDataset(path=str(tmp_path))
    assert not dataset.exists()
    assert not len(dataset.load().columns)


@pytest.mark.parametrize("dataset", [WithdrawalsDataset, RelatednessDataset])
def test_raw_files_are_never_written(tmp_path, dataset):
    with pytest.raises(Exception, match="only read"):
        dataset(path=str(tmp_path)).save(1)
    assert str(tmp_path) in str(dataset(path=str(tmp_path)))


def bulk_folder(raw, folder=None):
    return BulkFolderDataset(path=str(raw), folder=folder and str(folder))


@pytest.mark.parametrize("place", ["Bulk/Brain MRI", "bulk", ""])
def test_the_bulk_folder_is_found_among_raw_files(tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    dataset = bulk_folder(tmp_path)
    assert dataset.exists()
    assert dataset.load() == tmp_path / place


def test_a_bulk_folder_of_its_own_is_taken_as_it_is(tmp_path):
    (tmp_path / "raw/bulk").mkdir(parents=True)
    (tmp_path / "scans").mkdir()
    assert bulk_folder(tmp_path / "raw", tmp_path / "scans").load() == tmp_path / "scans"


@pytest.mark.bad_input(given="a `bulk_folder` that is not there", says="which bulk_folder names")
def test_a_named_bulk_folder_must_be_there(tmp_path, says):
    dataset = bulk_folder(tmp_path, tmp_path / "scans")
    assert not dataset.exists()
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, InputError)
    assert says in str(caught.value.__cause__)
    assert str(tmp_path / "scans") in str(caught.value.__cause__)


def test_tables_may_come_without_any_bulk_folder(tmp_path):
    dataset = bulk_folder(tmp_path / "absent")
    assert not dataset.exists()
    assert dataset.load() == tmp_path / "absent"


def test_bulk_files_are_never_written(tmp_path):
    with pytest.raises(Exception, match="only read"):
        bulk_folder(tmp_path).save(tmp_path)
    assert not list(tmp_path.iterdir())
