import os
import re

import pytest

from ukb_brain.errors import InputError
from ukb_brain.tables.people_lists import looks_like_list, raw_files, read_list, read_withdrawals

bad_input = pytest.mark.bad_input
READ = {
    "a newer list `w….txt` beside an old `.csv`": "w12345_20260101.txt",
    "a list `W….CSV`": "W12345_20260101.CSV",
    "a list in a subfolder": "lists/2026/w12345_20260101.csv",
    "a list `withdraw12345_88_20240527.txt`": "withdraw12345_88_20240527.txt",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=bad_input(given=given, says="read: all lists are applied"))
        for given, name in READ.items()
    ],
)
def test_every_list_is_applied(tmp_path, name):
    (tmp_path / "w12345_20250101.csv").write_text("9000001\n9000002\n")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("9000003\n")
    (tmp_path / "bulk").mkdir()
    (tmp_path / "bulk" / "w12345_20270101.csv").write_text("9000004\n")
    found = read_withdrawals(tmp_path)
    assert found.eids == {9000001, 9000002, 9000003}
    assert found.n_lists == 2


@pytest.mark.parametrize(
    "content",
    [
        b"9000001\n-5\n",
        b"9000001\r\n\r\n-5",
        b'"9000001"\n"-5"\n',
        b"\xef\xbb\xbf9000001\n-5\n",
        "9000001\n-5\n".encode("utf-16"),
    ],
)
def test_a_list_may_be_written_by_any_program(tmp_path, content):
    path = tmp_path / "w1_2.csv"
    path.write_bytes(content)
    assert read_list(path) == [9000001, -5]


@pytest.mark.parametrize("content", [b"9000001\nM\xe9ni\xe8re\n", b"9000001\n9000002;9000003\n"])
@bad_input(
    given="a Latin-1 byte in a withdrawal list",
    says="w1_2.csv is not a whole number; one eid a line",
)
def test_a_line_that_is_no_number_is_told_by_its_place(tmp_path, content, says):
    path = tmp_path / "w1_2.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"Line 2 .*{re.escape(says)}") as caught:
        read_list(path)
    assert "9000003" not in str(caught.value)


@pytest.mark.parametrize("name", ["gone.csv", "people.TXT", "sub/leavers.txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@bad_input(
    given="a list of eids whose name says nothing",
    says="looks like a list of participants, and its name does not say of which kind",
)
def test_what_looks_like_a_list_and_is_not_read_stops(tmp_path, name, encoding, says):
    (tmp_path / "w1_2.csv").write_text("9000001\n")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("9000002\n9000003\n", encoding=encoding)
    with pytest.raises(InputError, match=re.escape(says)):
        read_withdrawals(tmp_path)


@pytest.mark.parametrize("name", ["w12345_20230425.xlsx", "w12345_20230425", "withdraw.csv.bak"])
@bad_input(
    given="a withdrawal list as `.xlsx`",
    says="is named as a withdrawal list and is neither .csv nor",
)
def test_a_list_of_a_kind_that_is_not_read_stops(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(InputError, match=re.escape(says)):
        read_withdrawals(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv", "eid,31-0.0\n9000001,1\n"),
        ("empty.csv", ""),
        ("9000001_25750_2_0.txt", "1000000\n"),
        ("notes.md", "9000001\n"),
        ("numbers.txt", "12\n13\n"),
    ],
)
def test_other_files_are_no_lists(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert not looks_like_list(tmp_path / name)
    assert read_withdrawals(tmp_path).n_lists == 0


def test_lists_of_people_to_leave_out_carry_their_reason(tmp_path):
    (tmp_path / "exclude_artefact.csv").write_text("9000001\n")
    (tmp_path / "EXCLUDE-low quality.TXT").write_text("9000002\n")
    found = read_withdrawals(tmp_path)
    assert found.excluded == {"artefact": {9000001}, "low quality": {9000002}}
    assert (found.n_lists, found.eids) == (0, frozenset())


def test_codings_and_hidden_folders_are_passed_over(tmp_path):
    for folder in ("codings", ".cache", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("x")
    assert [path.parent.name for path in raw_files(tmp_path)] == ["mine"]
    assert list(raw_files(tmp_path / "absent")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_list_without_permission_stops(tmp_path):
    (tmp_path / "w1_2.csv").write_text("9000001\n")
    (tmp_path / "w1_2.csv").chmod(0)
    with pytest.raises(InputError, match="cannot be read, so that people who withdrew could stay"):
        read_withdrawals(tmp_path)


@bad_input(
    given="a withdrawal list that is a dangling link",
    says="cannot be read, so that people who withdrew could stay",
)
def test_a_dangling_list_stops(tmp_path, says):
    (tmp_path / "w1_2.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=re.escape(says)):
        read_withdrawals(tmp_path)


def test_lists_in_linked_folders_are_in_force_and_loops_end(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "w12345_20250101.csv").write_text("9000001\n")
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "lists").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(raw)
    assert read_withdrawals(raw).eids == {9000001}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("participants_withdrawn.csv", "eid\n9000001\n"),
        ("Copy of w12345_20230425.csv", "9000001\n"),
        ("consent-withdrawn 2026.TXT", "9000001\r\n"),
    ],
)
def test_withdrawal_lists_by_names_that_people_give(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_withdrawals(tmp_path).eids == {9000001}


@pytest.mark.parametrize(
    "name", ["w12345.csv.gz", "w12345", "consent_withdrawn.xlsx", "exclude_x.tsv"]
)
def test_lists_that_are_not_read_stop(tmp_path, name):
    (tmp_path / name).write_bytes(b"9000001\n")
    with pytest.raises(InputError, match="would not be applied"):
        read_withdrawals(tmp_path)


def test_lists_of_one_reason_are_joined(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "exclude_qc.csv").write_text("9000001\n9000002\n")
    (tmp_path / "b" / "exclude_qc.txt").write_text("9000003\n")
    assert read_withdrawals(tmp_path).excluded == {"qc": {9000001, 9000002, 9000003}}


def test_a_list_with_a_header_and_a_name_that_says_nothing_stops(tmp_path):
    (tmp_path / "optout.csv").write_text("eid\n9000001\n")
    with pytest.raises(InputError, match="its name does not say"):
        read_withdrawals(tmp_path)
