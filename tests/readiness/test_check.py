import re
import shutil

import pandas as pd
import pytest
from raw_cases import CODINGS, cohort_of, write_raw
from reporting_cases import study_grid
from scan_cases import STUDY, imaging

from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk_index import find_bulk, index_bulk
from ukb_brain.problems import stop_at
from ukb_brain.readiness.check import look
from ukb_brain.synthetic.visits import FLAIR, T1, visits_of
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.splits import Splitting
from ukb_brain.tables.table_file import TableSettings

GRID = study_grid()
IMAGING = imaging([*STUDY, "md", "idps"], shape=(20, 24, 20), voxel_mm=8)


def asked(grid=GRID, source="synthetic", **engineering):
    return (
        grid,
        DataEngineering(**engineering),
        TableSettings(),
        CODINGS,
        IMAGING,
        Splitting(),
        source,
    )


def looked(raw, before=None, **given):
    tables = TableFolder(raw, raw / "codings")
    before = pd.DataFrame() if before is None else before
    return look(tables, find_bulk(raw), before, *asked(**given))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"))


@pytest.fixture
def raw(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "raw")
    return tmp_path / "raw"


def of(ready, section):
    return {(f.item, f.words): f.n for f in ready.findings if f.section == section}


def test_a_folder_with_everything_can_run(whole):
    found = looked(whole)
    assert found.problems == []
    assert found.can_run
    assert found.people > 30
    tables = of(found, "tables")
    assert list(tables.values()) == [40]
    fields = of(found, "fields")
    assert fields["31 Sex", "instance 0"] == 40
    assert fields["31 Sex", "for sex"] is None
    cells = of(found, "cells")
    assert cells["Age", "structural + diffusion + functional"] <= cells["Age", "structural"]
    assert cells["Hb", "no imaging"] <= found.people
    table = found.table()
    assert set(table["severity"]) == {""}
    assert not table.astype(str).apply(lambda c: c.str.contains("90000")).any(axis=None)


@pytest.mark.parametrize("style", ["exporter labels", "dx extract", "ukbconv r"])
@pytest.mark.parametrize("arrangement", ["platform", "flat"])
def test_whatever_the_style_and_arrangement_the_same_is_found(whole, tmp_path, style, arrangement):
    write_raw(tmp_path, cohort_of(style=style, arrangement=arrangement))
    other, first = looked(tmp_path), looked(whole)
    for section in ("fields", "withdrawals", "relatives", "cohort", "scans", "cells"):
        assert of(other, section) == of(first, section)


def test_many_problems_are_told_at_once(raw):
    table = pd.read_csv(raw / "ukb12345.csv", dtype=str)
    lacking = [c for c in table if c.startswith(("30020-", "1920-", "21003-2", "21003-3"))]
    table.drop(columns=lacking).to_csv(raw / "ukb12345.csv", index=False)
    shutil.rmtree(raw / "bulk" / "31016")
    (raw / "w12345_20260101.csv").write_bytes(b"9000001\nM\xe9ni\xe8re\n")
    found = looked(raw)
    assert not found.can_run
    told = " ".join(str(problem) for problem in found.problems)
    for words in (
        "lacks field(s) 30020 (hb), 1920 (mood_swings)",
        "21003 (age",
        "no scan can be used of rsfmri (field 31016, imaging group functional): no file",
        "grid.leave_out=functional",
        "Line 2 of the list",
    ):
        assert words in told
    with pytest.raises(InputError, match="Line 2 of the list"):
        stop_at(found.problems)


def test_a_group_that_the_grid_leaves_out_needs_no_scans(raw):
    shutil.rmtree(raw / "bulk" / "31016")
    grid = type(GRID)(**(GRID.model_dump() | {"leave_out": "functional"}))
    assert looked(raw, grid=grid).can_run


def more(names):
    return type(GRID)(**(GRID.model_dump() | {"also": names}))


def test_numbers_are_looked_for_in_the_table(tmp_path):
    cohort = cohort_of().model_copy(update={"idps": 300})
    found = looked(write_raw(tmp_path, cohort), grid=more("idps"))
    assert found.problems == []
    scans = of(found, "scans")
    place = "idps (numbers of the main table)"
    assert scans[place, "the table has 261 of 261 fields"] is None
    assert 30 < scans[place, "visit 2, ok"] <= 40
    cells = of(found, "cells")
    assert 30 < cells["Age", "structural + idps"] <= cells["Age", "idps"]


def test_a_run_on_numbers_alone_needs_no_scans(tmp_path):
    cohort = cohort_of().model_copy(update={"idps": 300})
    write_raw(tmp_path, cohort, fields=())
    grid = type(GRID)(**(GRID.model_dump() | {"also": "idps", "only": "idps"}))
    found = looked(tmp_path, grid=grid)
    assert found.can_run
    assert of(found, "cells")["Age", "idps"] > 30


def test_fields_that_the_table_lacks_are_one_problem(raw):
    found = looked(raw, grid=more("idps"))
    told = [problem for problem in found.problems if "idps" in problem.what]
    assert told[0].what.startswith("the main table lacks 261 of 261 fields of idps")
    assert told[0].what.endswith(": 25001-25025+25056-25151+25781-25920")
    assert "no scan can be used of idps (numbers of the main table, " in told[1].what


def test_a_member_that_no_zip_has_is_told_before_the_run(raw):
    (problem,) = looked(raw, grid=more("md")).problems
    assert "no scan can be used of md (field 20250, imaging group diffusion)" in problem.what
    assert "missing" in problem.what
    assert "grid.leave_out=md" in problem.remedy


def test_real_data_need_a_withdrawal_list_or_a_word(raw):
    for path in (*raw.glob("w*.csv"), *raw.glob("w*.txt")):
        path.unlink()
    found = looked(raw, source="ukb")
    assert any("legal duty" in str(problem) for problem in found.problems)
    assert looked(raw, source="ukb", no_withdrawals_issued=True).can_run


def test_files_that_match_nobody_are_a_warning(raw):
    for path in raw.glob("ukb_rel*"):
        path.write_text("ID1 ID2 HetHet IBS0 Kinship\n1000001 1000002 0.1 0.01 0.25\n")
    (raw / "w12345_20260101.csv").write_text("1000001\n")
    found = looked(raw)
    told = [str(p) for p in found.problems if p.severity == "warning"]
    assert any("relatedness file none has both people" in words for words in told)
    assert found.can_run


def test_no_table_is_told_with_both_commands(tmp_path):
    with pytest.raises(InputError, match="kedro run --env ukb"):
        looked(tmp_path)


def test_an_index_of_before_spares_opening_zips_again(whole, monkeypatch):
    fields = IMAGING.fields.values()
    index, _ = index_bulk(find_bulk(whole), fields)
    first = looked(whole)
    monkeypatch.setattr("ukb_brain.imaging.bulk_index.directory_of", lambda path: 1 / 0)
    again = looked(whole, before=index)
    assert again.table().equals(first.table())


def test_of_many_zips_a_sample_is_opened_and_all_are_listed(whole, monkeypatch):
    monkeypatch.setattr("ukb_brain.readiness.check.SAMPLE", 10)
    scans, every = of(looked(whole), "scans"), of(looked(whole), "scans")
    (words,) = [words for item, words in scans if item == "opened"]
    opened, listed = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:of|zips)", words))
    assert 4 * 10 <= opened < 4 * 20 < listed
    assert scans["t1 (field 20252)", "visit 2, ok"] == every["t1 (field 20252)", "visit 2, ok"]


def test_the_choice_of_visit_counts_in_cells(whole):
    """Whoever lacks a modality at the first visit and has all at the second counts there."""
    found = looked(whole)
    cells = of(found, "cells")
    both = sum(
        any(
            {T1, FLAIR} <= {s.field for s in v.scans if s.instance == i and s.state == "ok"}
            for i in (2, 3)
        )
        for n in range(1, 41)
        if not (v := visits_of(3, n)).withdrawn
    )
    # Zips of this test hold all members, so that only missing files count.
    assert abs(cells["Sex (Male)", "structural"] - both) <= 3


def test_tables_can_be_made_before_scans_are_there(raw):
    shutil.rmtree(raw / "bulk")
    tables = TableFolder(raw, raw / "codings")
    found = look(tables, find_bulk(raw), pd.DataFrame(), *asked(), reads_scans=False)
    assert found.can_run
    assert not looked(raw).can_run
