import pytest

from ukb_brain.datasets.participants_lists import RelatednessDataset, WithdrawalsDataset


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
