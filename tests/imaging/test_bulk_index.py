import builtins
import io
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scan_cases import imaging, series_members, zipped

from ukb_brain.errors import InputError
from ukb_brain.imaging import bulk_index
from ukb_brain.imaging.bulk import BulkFile, ScanError
from ukb_brain.imaging.bulk_index import (
    changed_since,
    find_bulk,
    index_bulk,
    list_files,
    problems_of_atlases,
    states,
)
from ukb_brain.imaging.time_series import Wanted
from ukb_brain.problems import stop_at

FIELDS = (20252, 31016)
T1 = {"T1/T1_unbiased_brain.nii.gz": b"", "T1/transforms/T1_to_MNI_linear.mat": b""}
SETTINGS = imaging()
# Three people, two of them with a repeat scan.
SCANS = [(1234567, 20252, 2), (1234567, 20252, 3), (2345678, 20252, 2), (2345678, 31016, 2)]


def put(path, members=T1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(members))
    return path


def name_of(eid, field, instance, array=0, ending="zip"):
    return f"{eid}_{field}_{instance}_{array}.{ending}"


KINDS = {20252: "T1", 31016: "Functional time series"}


def arrange(folder, pattern, ending="zip"):
    for eid, field, instance in SCANS:
        name = name_of(eid, field, instance, ending=ending)
        place = pattern.format(
            name=name, field=field, eid=eid, kind=KINDS[field], prefix=str(eid)[:2]
        )
        put(folder / place)
    return folder


def found(folder, fields=FIELDS):
    index, _ = index_bulk(folder, fields)
    return list(zip(index["eid"], index["field"], index["instance"], strict=True))


@pytest.mark.parametrize(
    "pattern",
    [
        "{name}",
        "{field}/{name}",
        "{eid}/{name}",
        pytest.param(
            "{kind}/{prefix}/{name}",
            marks=pytest.mark.bad_input(
                given="bulk files in folders by the first digits of the eid, as on the Platform",
                says="read: in any arrangement",
            ),
        ),
    ],
)
def test_scans_are_found_in_any_arrangement(tmp_path, pattern):
    index, others = index_bulk(arrange(tmp_path, pattern), FIELDS)
    assert list(zip(index["eid"], index["field"], index["instance"], strict=True)) == SCANS
    assert others == []
    assert (index["array"] == 0).all()
    assert (
        index[["eid", "field", "instance", "array", "size", "mtime_ns"]].dtypes.eq(np.int64).all()
    )
    for row in index.itertuples():
        about = (tmp_path / row.path).stat()
        assert (row.size, row.mtime_ns) == (about.st_size, about.st_mtime_ns)
        assert set(row.members.split("\n")) == set(T1)


@pytest.mark.bad_input(given="bulk files that end in `.ZIP`", says="read: endings in any case")
def test_endings_in_any_case(tmp_path):
    assert found(arrange(tmp_path, "{name}", ending="ZIP")) == SCANS


@pytest.mark.bad_input(given="a bulk folder that is a link", says="read: links are followed")
@pytest.mark.parametrize("linked", ["the folder", "folders in it", "files in it"])
def test_links_are_followed(tmp_path, linked):
    there, folder = arrange(tmp_path / "there", "{field}/{name}"), tmp_path / "bulk"
    if linked == "the folder":
        folder.symlink_to(there)
    elif linked == "folders in it":
        folder.mkdir()
        for place in there.iterdir():
            (folder / place.name).symlink_to(place)
    else:
        folder.mkdir()
        for path in there.rglob("*.zip"):
            (folder / path.name).symlink_to(path)
    assert found(folder) == SCANS


@pytest.mark.bad_input(given="links among bulk files that loop", says="read: each folder once")
def test_links_that_loop_are_walked_once(tmp_path):
    arrange(tmp_path, "{field}/{name}")
    (tmp_path / "20252/up").symlink_to(tmp_path)
    (tmp_path / "20252/itself").symlink_to(tmp_path / "20252/itself")
    listed = [Path(path).name for path, _, _ in list_files(tmp_path)]
    assert len(listed) == len(set(listed)) == len(SCANS) + 1
    assert found(tmp_path) == SCANS


@pytest.mark.bad_input(
    given="a broken second file of a visit (`_2_1.zip`) beside a good `_2_0.zip`",
    says="read: `_0` is used, `_1` is listed and not used",
)
def test_a_second_file_is_recorded_and_never_taken_for_the_first(tmp_path):
    put(tmp_path / name_of(1234567, 20252, 2))
    (tmp_path / name_of(1234567, 20252, 2, array=1)).write_bytes(b"broken")
    index, _ = index_bulk(tmp_path, FIELDS)
    assert index["array"].tolist() == [0, 1]
    assert states(index, SETTINGS.members).tolist() == ["ok", "broken"]


def test_what_is_not_recognised_is_told_by_kind_without_numbers(tmp_path):
    arrange(tmp_path, "{name}")
    for name in ("1234567_20252_2.zip", "7654321_20252_2.zip", ".partial-1234567_20252_2_0.zip"):
        (tmp_path / name).write_bytes(b"")
    index, others = index_bulk(tmp_path, FIELDS)
    assert len(index) == len(SCANS)
    assert others == ["#######_#####_#.zip", ".partial-#######_#####_#_#.zip"]


def test_a_folder_that_is_not_there_or_empty_has_no_files(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        index, others = index_bulk(folder, FIELDS)
        assert (len(index), others) == (0, [])
        assert states(index, SETTINGS.members).empty
        assert problems_of_atlases(index, [Wanted(31016, None, "atlas")]) == []


def test_a_folder_that_cannot_be_opened_is_told_by_count(tmp_path, monkeypatch, caplog):
    arrange(tmp_path, "{eid}/{name}")
    scandir = os.scandir

    def refuses(place):
        if str(place).rstrip("/").endswith("1234567"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(bulk_index.os, "scandir", refuses)
    assert found(tmp_path) == SCANS[2:]
    assert "cannot be opened: 1" in caplog.text
    assert "1234567" not in caplog.text


def test_members_have_no_participants_number(tmp_path):
    put(tmp_path / name_of(1234567, 20252, 2), {"1234567_20252/T1.nii.gz": b"", "T1/": b""})
    index, _ = index_bulk(tmp_path, FIELDS)
    assert index["members"].tolist() == ["#_20252/T1.nii.gz"]


# --- states ---------------------------------------------------------------------------------


def state_of(tmp_path, field, content):
    ending = "txt" if field == 25750 else "zip"
    path = tmp_path / name_of(1234567, field, 2, ending=ending)
    path.write_bytes(content if isinstance(content, bytes) else zipped(content))
    (state,) = states(index_bulk(tmp_path, (*FIELDS, 25750))[0], SETTINGS.members)
    return state


@pytest.mark.parametrize(
    ("field", "content", "state"),
    [
        (20252, T1, "ok"),
        (20252, {name.replace("/", "\\"): b"" for name in T1}, "ok"),
        (20252, {"T1/T1_brain.nii.gz": b""}, "missing"),
        (20252, {"T1/unusable/T1_unbiased_brain.nii.gz": b""}, "unusable"),
        (20252, {"T1\\unusable\\T1_unbiased_brain.nii.gz": b""}, "unusable"),
        (20252, b"no zip", "broken"),
        (20252, b"", "broken"),
        (31016, series_members(), "ok"),
        (31016, series_members(name="fMRI.Glasser.csv.gz"), "ok"),
        (31016, {"fMRI.csv.gz": b""}, "missing"),
        (25750, b"1 2 3", "ok"),
        (25750, b"", "broken"),
    ],
)
def test_states_are_judged_by_directories(tmp_path, field, content, state):
    assert state_of(tmp_path, field, content) == state


def test_a_link_that_leads_nowhere_is_missing(tmp_path):
    (tmp_path / name_of(1234567, 20252, 2)).symlink_to(tmp_path / "gone.zip")
    index, _ = index_bulk(tmp_path, FIELDS)
    assert states(index, SETTINGS.members).tolist() == ["missing"]


def test_a_link_that_leads_nowhere_hides_no_file(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name_of(1234567, 20252, 2)).symlink_to(tmp_path / "gone.zip")
    put(tmp_path / "b" / name_of(1234567, 20252, 2))
    index, _ = index_bulk(tmp_path, FIELDS)
    assert index["path"].tolist() == [f"b/{name_of(1234567, 20252, 2)}"]
    assert states(index, SETTINGS.members).tolist() == ["ok"]


def test_a_zip_that_may_not_be_read_is_broken_and_the_others_are_listed(tmp_path, monkeypatch):
    arrange(tmp_path, "{name}")
    whole = bulk_index.zipfile.ZipFile

    def refuses(path, *more):
        if path.name == name_of(*SCANS[1]):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path, *more)

    monkeypatch.setattr(bulk_index.zipfile, "ZipFile", refuses)
    index, _ = index_bulk(tmp_path, (20252,))
    assert states(index, SETTINGS.members).tolist() == ["ok", "broken", "ok", "missing"]


@pytest.mark.bad_input(
    given="a bulk file that vanishes between listing and reading",
    says="that scan is missing, and the run goes on",
)
def test_a_file_that_vanishes_after_it_was_listed_is_broken(tmp_path, monkeypatch):
    arrange(tmp_path, "{name}")
    directory_of = bulk_index.directory_of

    def vanishes(path):
        if path.name == name_of(*SCANS[0]):
            path.unlink()
        return directory_of(path)

    monkeypatch.setattr(bulk_index, "directory_of", vanishes)
    index, _ = index_bulk(tmp_path, FIELDS)
    assert states(index, SETTINGS.members).tolist()[0] == "broken"
    assert found(tmp_path) == SCANS[1:]


# --- the index of the run before ------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch):
    """Names of zips whose directories are read."""
    names = []
    directory_of = bulk_index.directory_of

    def read(path):
        names.append(path.name)
        return directory_of(path)

    monkeypatch.setattr(bulk_index, "directory_of", read)
    return names


def saved(index, tmp_path):
    """As the catalog keeps it."""
    path = tmp_path / "index.parquet"
    index.to_parquet(path)
    return pd.read_parquet(path)


def test_only_new_and_changed_zips_are_read_again(tmp_path, opened):
    folder = arrange(tmp_path / "bulk", "{eid}/{name}")
    index = saved(index_bulk(folder, FIELDS)[0], tmp_path)
    assert len(opened) == len(SCANS)
    opened.clear()
    again, _ = index_bulk(folder, FIELDS, index)
    pd.testing.assert_frame_equal(saved(again, tmp_path), index)
    assert opened == []
    new, changed = folder / name_of(3456789, 20252, 2), folder / "1234567" / name_of(*SCANS[0])
    put(new)
    put(changed, T1 | {"T1/more": b""})
    again, _ = index_bulk(folder, FIELDS, index)
    assert sorted(opened) == sorted([new.name, changed.name])
    pd.testing.assert_frame_equal(
        saved(again, tmp_path), saved(index_bulk(folder, FIELDS)[0], tmp_path)
    )


def test_a_zip_that_could_not_be_read_is_tried_again(tmp_path, opened):
    (tmp_path / name_of(1234567, 20252, 2)).write_bytes(b"broken")
    index, _ = index_bulk(tmp_path, FIELDS)
    index_bulk(tmp_path, FIELDS, index)
    assert len(opened) == 2


def test_fields_that_were_not_asked_for_before_are_read(tmp_path, opened):
    arrange(tmp_path, "{name}")
    index, _ = index_bulk(tmp_path, (20252,))
    opened.clear()
    both, _ = index_bulk(tmp_path, FIELDS, index)
    assert opened == [name_of(*SCANS[3])]
    assert (both["members"].astype(str) != "").all()


def test_changes_are_counted(tmp_path):
    arrange(tmp_path, "{eid}/{name}")
    # The same file by a link, a second one of a visit, and another field.
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / name_of(*SCANS[0])).symlink_to(tmp_path / "1234567" / name_of(*SCANS[0]))
    index, _ = index_bulk(tmp_path, FIELDS)
    assert changed_since(tmp_path, index, FIELDS) == 0
    put(tmp_path / name_of(1234567, 20227, 2))
    (tmp_path / "readme.txt").write_text("")
    assert changed_since(tmp_path, index, FIELDS) == 0
    put(tmp_path / name_of(3456789, 20252, 2))
    put(tmp_path / "1234567" / name_of(*SCANS[0]), T1 | {"T1/more": b""})
    assert changed_since(tmp_path, index, FIELDS) == 2


def test_files_of_people_who_withdrew_are_passed_over(tmp_path, opened):
    arrange(tmp_path, "{eid}/{name}")
    everybody, _ = index_bulk(tmp_path, FIELDS)
    opened.clear()
    gone = {int(everybody["eid"].iloc[0])}
    index, _ = index_bulk(tmp_path, FIELDS, None, gone)
    stay = everybody[~everybody["eid"].isin(gone)]
    assert 0 < len(stay) < len(everybody)
    assert index["path"].tolist() == stay["path"].tolist()
    assert not [name for name in opened if name.startswith(str(*gone))]
    assert changed_since(tmp_path, index, FIELDS, gone) == 0
    assert changed_since(tmp_path, index, FIELDS) == len(everybody) - len(stay)


# --- atlases --------------------------------------------------------------------------------


def index_of_atlases(tmp_path):
    several = {f"fMRI/fMRI.{name}.csv.gz": b"" for name in ("Schaefer7n100p", "Schaefer17n100p")}
    put(tmp_path / name_of(1234567, 31018, 2), several)
    return index_bulk(tmp_path, (31018,))[0]


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(
            None,
            marks=pytest.mark.bad_input(
                given="two atlases in one zip, none of them named",
                says="zips of field 31018 hold time series of Schaefer17n100p, Schaefer7n100p, "
                "and no atlas is named: name one of them: "
                "--params imaging_preprocess.atlas=Schaefer17n100p.",
            ),
        ),
        pytest.param(
            "Glasser",
            marks=pytest.mark.bad_input(
                given="an atlas named that no zip has",
                says="zips of field 31018 hold time series of Schaefer17n100p, Schaefer7n100p, "
                "and none of atlas Glasser: name one of them: "
                "--params imaging_preprocess.atlas=Schaefer17n100p.",
            ),
        ),
    ],
)
def test_an_atlas_that_is_not_clear_stops_in_one_message(tmp_path, wanted, says):
    with pytest.raises(InputError, match=f"^{re.escape(says)}$"):
        stop_at(problems_of_atlases(index_of_atlases(tmp_path), [Wanted(31018, wanted, "atlas")]))


def test_an_atlas_that_is_named_is_the_one_that_must_be_there(tmp_path):
    index = index_of_atlases(tmp_path)
    assert problems_of_atlases(index, [Wanted(31018, "Schaefer7n100p", "atlas")]) == []
    for atlas, state in (("Schaefer7n100p", "ok"), ("Schaefer7n1000p", "missing")):
        settings = SETTINGS.model_copy(update={"connectivity_field": 31018, "atlas": atlas})
        assert states(index, settings.members).tolist() == [state]


def test_one_atlas_needs_no_name(tmp_path):
    put(tmp_path / name_of(1234567, 31016, 2), series_members())
    assert (
        problems_of_atlases(index_bulk(tmp_path, FIELDS)[0], [Wanted(31016, None, "atlas")]) == []
    )


# --- where bulk files lie -------------------------------------------------------------------


@pytest.mark.parametrize("place", ["Bulk/Brain MRI", "bulk/Brain MRI", "bulk", "Bulk"])
def test_the_folder_of_bulk_files_is_found(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    assert find_bulk(tmp_path) == tmp_path / place


def test_bulk_files_may_lie_among_the_tables(tmp_path):
    (tmp_path / "ukb12345.csv").write_text("eid,31-0.0\n")
    arrange(tmp_path, "{name}")
    assert find_bulk(tmp_path) == tmp_path
    assert found(tmp_path) == SCANS


def test_nothing_is_written(tmp_path, monkeypatch):
    folder = arrange(tmp_path / "Bulk/Brain MRI", "{kind}/{prefix}/{name}")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    opens = builtins.open

    def reads(path, mode="r", *more, **named):
        assert not set(mode) & set("wax+")
        return opens(path, mode, *more, **named)

    monkeypatch.setattr(builtins, "open", reads)
    assert found(folder) == SCANS
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_folder_that_is_gone_since_has_lost_its_files(tmp_path):
    folder = arrange(tmp_path / "bulk", "{name}")
    index, _ = index_bulk(folder, FIELDS)
    shutil.rmtree(folder)
    again, _ = index_bulk(folder, FIELDS, index)
    assert again.empty


def test_a_log_or_a_cut_copy_does_not_hide_a_scan(tmp_path):
    good = packed("T1/T1_unbiased_brain.nii.gz")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "1000001_20252_2_0.txt").write_text("a log")
    (tmp_path / "a" / "1000001_20252_2_0.zip").write_bytes(good[:40])
    (tmp_path / "b" / "1000001_20252_2_0.zip").write_bytes(good)
    index, _ = index_bulk(tmp_path, [20252])
    assert index["path"].tolist() == ["b/1000001_20252_2_0.zip"]


def packed(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, b"x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("T1/T1_unbiased_brain.nii.gz", "ok"),
        ("1000001/T1/T1_unbiased_brain.nii.gz", "ok"),
        ("./T1/T1_unbiased_brain.nii.gz", "ok"),
        ("T1_unbiased_brain.nii.gz", "missing"),
        ("T1/Unusable/T1_unbiased_brain.nii.gz", "unusable"),
        ("../T1/T1_unbiased_brain.nii.gz", "broken"),
    ],
)
def test_the_index_judges_as_reading_does(tmp_path, name, state):
    path = tmp_path / "1000001_20252_2_0.zip"
    path.write_bytes(packed(name))
    index, _ = index_bulk(tmp_path, [20252])
    needed = imaging().members
    assert states(index, needed).tolist() == [state]
    try:
        BulkFile(path).member("T1/T1_unbiased_brain.nii.gz")
        read = "ok"
    except ScanError as error:
        read = error.status
    assert read == state


def test_a_number_that_no_eid_has_is_another_file(tmp_path):
    (tmp_path / f"{'9' * 20}_20252_2_0.zip").write_bytes(b"")
    index, others = index_bulk(tmp_path, [20252])
    assert index.empty
    assert others == ["#" * 20 + "_#####_#_#.zip"]
