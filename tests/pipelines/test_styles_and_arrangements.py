"""A cohort is the same in whatever style, order, number of files and arrangement it comes."""

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reporting_cases import ROOT, study_grid

from ukb_brain.cluster import Compute
from ukb_brain.imaging.bulk_index import find_bulk
from ukb_brain.imaging.preprocess import ImagingPreprocess
from ukb_brain.imaging.store import RecordStore
from ukb_brain.pipelines.data_engineering import nodes as engineering
from ukb_brain.pipelines.imaging_preprocess.nodes import preprocess_scans
from ukb_brain.pipelines.synthetic_cohort import nodes as generator
from ukb_brain.synthetic.settings import Arrangement, SyntheticCohort
from ukb_brain.synthetic.table import main_table, write_lists
from ukb_brain.synthetic.table_styles import STYLES, write_table
from ukb_brain.tables.codings import Codings
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.people_lists import read_withdrawals
from ukb_brain.tables.relatives import find_relatedness, read_relatedness
from ukb_brain.tables.table_file import TableSettings
from ukb_brain.tables.table_folder import TableFolder

ARRANGEMENTS = Arrangement.__args__
CODINGS = Codings(
    yaml.safe_load((ROOT / "conf/base/parameters_codings.yml").read_text())["codings"]
)
IMAGING = ImagingPreprocess(shape=(20, 24, 20), voxel_mm=8)
NO_INDEX = pd.DataFrame()
PEOPLE = 40


def cohort(participants, **changes):
    size = {"voxel_mm": 8, "regions": 25, "time_points": 60, "seed": 3}
    return SyntheticCohort(participants=participants, **(size | changes))


def index_of(raw):
    return engineering.index_bulk(find_bulk(raw), NO_INDEX, IMAGING, read_withdrawals(raw))


def engineered(raw):
    """Tables that data engineering makes of a raw folder."""
    grid, asked = study_grid(), DataEngineering()
    folder = TableFolder(raw, raw / "codings")
    related = read_relatedness(find_relatedness(raw))
    people, scans, flow, counts = engineering.select_cohort(
        folder, read_withdrawals(raw), related, index_of(raw), grid, asked, TableSettings(),
        CODINGS, IMAGING, "synthetic",
    )  # fmt: skip
    participants = engineering.describe_participants(people, related, scans, NO_INDEX, asked)
    targets, summary = engineering.derive_targets(people, participants, grid, folder, CODINGS)
    confounds = engineering.derive_confounds(people, participants)
    return {
        "participants": participants, "targets": targets, "confounds": confounds,
        "flow": flow, "counts": counts, "summary": summary,
    }  # fmt: skip


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)


@pytest.fixture(scope="module")
def table():
    return main_table(cohort(PEOPLE))


@pytest.fixture(scope="module")
def expected(table, tmp_path_factory):
    raw = tmp_path_factory.mktemp("expected")
    write_table(table, raw, "ukbconv csv", CODINGS)
    write_lists(cohort(PEOPLE), raw)
    found = engineered(raw)
    assert len(found["participants"]) > PEOPLE / 2
    assert found["targets"].notna().mean().min() > 0.3
    return found


@pytest.mark.parametrize("style", STYLES)
def test_a_cohort_in_any_style_is_the_same_cohort(style, table, expected, tmp_path):
    write_table(table, tmp_path, style, CODINGS)
    write_lists(cohort(PEOPLE), tmp_path)
    assert_same(engineered(tmp_path), expected)


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_order_and_number_of_files_change_nothing(data, table, expected, tmp_path_factory):
    """Rows, columns and files in any order and style, by columns and by rows."""
    raw = tmp_path_factory.mktemp("shuffled")
    style = st.sampled_from(STYLES)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="order"))
    fields = rng.permutation(sorted({c.partition("-")[0] for c in table.columns.drop("eid")}))
    rows = rng.permutation(PEOPLE)
    n_files = data.draw(st.integers(1, 3), label="files by columns")
    two_by_rows = data.draw(st.booleans(), label="two files by rows")
    halves = np.array_split(rows, 2) if two_by_rows else [rows]
    for k, some in enumerate(np.array_split(fields, n_files)):
        columns = [c for c in table.columns if c.partition("-")[0] in set(some)]
        part = table[["eid", *rng.permutation(columns)]]
        for half, people in enumerate(halves):
            folder = raw / f"{data.draw(st.sampled_from('abc'))}{k}{half}"
            write_table(part.iloc[people], folder, data.draw(style, label="style"), CODINGS)
    write_lists(cohort(PEOPLE), raw)
    assert_same(engineered(raw), expected)


def records(path, modalities):
    store = RecordStore(path)
    return {(m, key): store.read(m, key) for m in modalities for key in store.keys(m)}


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    """By arrangement, what data engineering and imaging make of a cohort of few people."""
    root, found = tmp_path_factory.mktemp("arrangements"), {}
    compute = Compute(workers=1)
    for arrangement, style in zip(ARRANGEMENTS, STYLES, strict=False):
        raw = root / arrangement / "01_raw"
        asked = cohort(8, arrangement=arrangement, style=style)
        generator.claim_raw_folder(raw, asked, "synthetic")
        generator.write_tables(asked, raw, CODINGS)
        generator.write_scans(asked, raw, root / "synthetic_truth", compute)
        tables = engineered(raw)
        *stores, quality = preprocess_scans(
            find_bulk(raw), index_of(raw), tables["participants"], root / arrangement,
            study_grid(), IMAGING, "synthetic", compute,
        )  # fmt: skip
        volumes = records(stores[0].path, ("t1", "flair", "dwi"))
        found[arrangement] = (tables, quality, volumes | records(stores[1].path, ("rsfmri",)))
    return found


@pytest.mark.parametrize("arrangement", ARRANGEMENTS[1:])
def test_scans_in_any_arrangement_are_the_same_scans(arrangement, preprocessed):
    tables, quality, scans = preprocessed[ARRANGEMENTS[0]]
    other_tables, other_quality, other_scans = preprocessed[arrangement]
    assert_same(other_tables, tables)
    pd.testing.assert_frame_equal(other_quality, quality)
    assert (quality["status"] == "ok").sum() > 15
    assert list(other_scans) == list(scans)
    for key, record in scans.items():
        np.testing.assert_array_equal(other_scans[key], record)


def test_time_series_lie_at_the_top_of_the_zip_for_some_and_in_a_folder_for_others(tmp_path):
    asked = cohort(4)
    generator.write_scans(asked, tmp_path / "raw", tmp_path / "truth", Compute(workers=1))
    index = index_of(tmp_path / "raw")
    members = index.loc[(index["field"] == 31016) & (index["state"] == "ok"), "members"]
    assert set(members) == {"fMRI.Glasser.csv.gz", "fMRI/fMRI.Glasser.csv.gz"}


def test_answers_come_in_quotes_and_without(table, tmp_path):
    paths = write_table(table, tmp_path, "dx extract", CODINGS)
    assert len(paths) == 2
    written = pd.concat([pd.read_csv(path, dtype=str) for path in paths])
    answers = set(written.filter(like="p6152_i").to_numpy().ravel())
    assert {"[-7]", '["-7"]'} <= answers
