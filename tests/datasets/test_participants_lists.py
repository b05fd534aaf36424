import pytest

from ukb_brain.datasets.participants_lists import RelatednessDataset, WithdrawalsDataset


def test_all_lists_together(tmp_path):
    (tmp_path / "w12345_20250101.csv").write_text("9000001\n9000002\n")
    (tmp_path / "w12345_20260101.csv").write_text('9000002\r\n"9000003"\r\n\r\n')
    (tmp_path / "ukb_table.csv").write_text("eid\n9000004\n")
    withdrawals = WithdrawalsDataset(path=str(tmp_path)).load()
    assert withdrawals.eids == {9000001, 9000002, 9000003}
    assert withdrawals.n_lists == 2


def test_an_empty_list_is_a_list_and_no_list_is_none(tmp_path):
    assert WithdrawalsDataset(path=str(tmp_path)).load().n_lists == 0
    (tmp_path / "w1_2026.csv").write_text("")
    withdrawals = WithdrawalsDataset(path=str(tmp_path)).load()
    assert (withdrawals.n_lists, withdrawals.eids) == (1, frozenset())


def test_a_line_that_is_no_number_stops_with_its_place_only(tmp_path):
    (tmp_path / "w1_2026.csv").write_text("9000001\n9000002;9000003\n")
    with pytest.raises(Exception, match=r"Line 2 .*w1_2026\.csv") as caught:
        WithdrawalsDataset(path=str(tmp_path)).load()
    assert "9000003" not in str(caught.value)


def test_pairs_of_relatives(tmp_path):
    path = tmp_path / "ukb_rel.dat"
    path.write_text("ID1 ID2 HetHet IBS0 Kinship\n9000001 9000007 0.1 0.01 0.25\n1  2 0 0 0.05\n")
    pairs = RelatednessDataset(filepath=str(path)).load()
    assert pairs.to_numpy().tolist() == [[9000001, 9000007, 0.25], [1, 2, 0.05]]
    assert pairs["ID1"].dtype == "int64"


@pytest.mark.parametrize(
    "content", ["", "ID1,ID2,Kinship\n1,2,0.3\n", "ID1 ID2 HetHet IBS0 Kinship\nx9000001 2 0 0 1\n"]
)
def test_another_file_is_refused_without_naming_an_eid(tmp_path, content):
    path = tmp_path / "ukb_rel.dat"
    path.write_text(content)
    with pytest.raises(Exception, match="ID1 ID2 HetHet IBS0 Kinship") as caught:
        RelatednessDataset(filepath=str(path)).load()
    assert "9000001" not in str(caught.value)


def test_no_relatedness_file(tmp_path):
    with pytest.raises(Exception, match=r"relatedness file.*synthetic_cohort.*--env ukb"):
        RelatednessDataset(filepath=str(tmp_path / "none.dat")).load()
