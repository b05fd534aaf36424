import json
import zipfile

import pandas as pd
import pandera.pandas as pa
import pytest

from ukb_brain.errors import InputError
from ukb_brain.reports.bundle import COUNTS, MANIFEST, NAME, Rules, write_bundle
from ukb_brain.reports.html import RESTRICTED
from ukb_brain.tables import reported

EIDS = frozenset(range(1_000_001, 1_000_021))
RULES = Rules(EIDS, 10, synthetic=True)
SCORES = pd.DataFrame({"target": ["age", "sex"], "n_test": [9, 120], "r2": [0.5, None]})


@pytest.fixture
def reports(tmp_path):
    SCORES.to_parquet(tmp_path / "performance.parquet")
    (tmp_path / "summary.md").write_text("Age is read well.")
    (tmp_path / "figure.png").write_bytes(b"picture")
    (tmp_path / "published").mkdir()
    SCORES.to_csv(tmp_path / "published/table.csv", index=False)
    (tmp_path / "mean.nii.gz").write_bytes(b"image")
    return tmp_path


def unpacked(folder):
    with zipfile.ZipFile(folder / NAME) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_reports_are_packed_with_their_small_counts_suppressed(reports):
    listed = write_bundle(reports, RULES).set_index("file")
    files = unpacked(reports)
    assert set(files) == {
        "performance.parquet", "summary.md", "figure.png", "published/table.csv", MANIFEST,
    }  # fmt: skip
    assert b"<10" in files["published/table.csv"]
    assert b"age,9" not in files["published/table.csv"]
    (reports / "copy.parquet").write_bytes(files["performance.parquet"])
    copy = pd.read_parquet(reports / "copy.parquet")
    assert copy["n_test"].tolist() == ["<10", "≈ 120"]
    assert copy["r2"].tolist()[0] == 0.5
    # The report itself keeps its counts.
    assert pd.read_parquet(reports / "performance.parquet")["n_test"].tolist() == [9, 120]
    assert listed.loc["performance.parquet", "suppressed"] == 1
    assert not listed.loc["mean.nii.gz", "included"]
    manifest = json.loads(files[MANIFEST])
    assert manifest["synthetic"] is True
    assert manifest["counts_suppressed_below"] == 10


def packed_table(folder, name, table):
    table.to_parquet(folder / name)
    write_bundle(folder, RULES)
    (folder / "copy.parquet").write_bytes(unpacked(folder)[name])
    return pd.read_parquet(folder / "copy.parquet")


def test_a_count_that_is_not_given_cannot_be_found_from_the_others(tmp_path):
    groups = pd.DataFrame({"subgroup": ["a", "b", "c"], "n": pd.array([341, 52, None], "Int64")})
    assert packed_table(tmp_path, "subgroups.parquet", groups)["n"].tolist() == [
        "≈ 340",
        "≈ 50",
        "",
    ]


def test_bins_of_few_events_leave_with_what_was_observed_in_them(tmp_path):
    bins = pd.DataFrame({"n": [40, 40, 40], "events": [3, 20, 35], "observed": [0.075, 0.5, 0.875]})
    copy = packed_table(tmp_path, "calibration_curves.parquet", bins)
    assert copy["observed"].tolist() == [0.5]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"eid": [1, 2], "r2": [0.1, 0.2]}),
        pd.DataFrame({"y_pred": [0.1, 0.2]}),
        pd.DataFrame({"who": [1_000_003, 5]}),
        pd.DataFrame({"who": [1_000_003.0, 0.5]}),
        pd.DataFrame({"note": ["as participant 1000003 says", ""]}),
    ],
    ids=["eid", "prediction", "number", "float", "text"],
)
def test_what_belongs_to_one_person_stops_the_bundle(reports, table):
    write_bundle(reports, RULES)
    table.to_parquet(reports / "new.parquet")
    with pytest.raises(InputError, match=r"new\.parquet") as raised:
        write_bundle(reports, RULES)
    assert "1000003" not in str(raised.value)
    assert not (reports / NAME).exists()
    assert not list(reports.glob("*.zip*"))


def test_an_eid_in_a_page_stops_the_bundle(reports):
    (reports / "page.html").write_text("<p>1000003</p>")
    with pytest.raises(InputError, match=r"page\.html holds 1 participants"):
        write_bundle(reports, RULES)


@pytest.mark.parametrize("text", ["0.1000003", "1000003.5", "21000003", "10000031", "3000003"])
def test_digits_that_are_no_eid_pass(reports, text):
    (reports / "page.html").write_text(f"<p>{text}</p>")
    write_bundle(reports, RULES)


def test_the_same_reports_give_the_same_archive(reports):
    write_bundle(reports, RULES)
    first = (reports / NAME).read_bytes()
    write_bundle(reports, RULES)
    assert (reports / NAME).read_bytes() == first


def test_an_empty_folder_is_said_so(tmp_path):
    with pytest.raises(InputError, match="no reports"):
        write_bundle(tmp_path, RULES)


# Whole numbers of tables of reports that count no people.
NOT_PEOPLE = {
    *("fold", "seed", "bin", "repeat", "eid", "instance", "permutations"),
    *("n_targets", "n_missing", "n_draws", "n_sizes"),
}


def test_whether_a_number_counts_people_is_said_of_every_column_that_might():
    tables = [t for t in vars(reported).values() if isinstance(t, pa.DataFrameSchema)]
    whole = {
        name
        for table in tables
        for name, column in table.columns.items()
        if name.startswith("n_") or str(column.dtype).lower().startswith("int")
    }
    assert whole > NOT_PEOPLE
    assert {name for name in whole if not COUNTS.match(name)} == NOT_PEOPLE


def test_a_restricted_page_stops_it(reports):
    (reports / "scans.html").write_text(f"<head>{RESTRICTED}</head>")
    with pytest.raises(InputError, match=r"scans\.html is a restricted page"):
        write_bundle(reports, RULES)
    assert not (reports / NAME).exists()
