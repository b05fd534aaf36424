"""A cohort is the same in whatever style, order, number of files and arrangement it comes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.runner import SequentialRunner
from reporting_cases import study_grid
from scan_cases import imaging
from test_data_engineering import catalog_of, parameters

from ukb_brain.cluster import Compute
from ukb_brain.imaging.bulk_index import find_bulk
from ukb_brain.imaging.store import RecordStore
from ukb_brain.pipelines import synthetic_cohort as generator
from ukb_brain.pipelines.data_engineering import create_pipeline as engineering
from ukb_brain.pipelines.imaging_preprocess import create_pipeline as preprocessing
from ukb_brain.synthetic.folder import claim
from ukb_brain.synthetic.settings import Arrangement, SyntheticCohort
from ukb_brain.synthetic.table import main_table, write_lists
from ukb_brain.synthetic.table_styles import STYLES, write_table
from ukb_brain.tables.dictionary import Codings

ARRANGEMENTS = Arrangement.__args__
CODINGS = Codings(parameters("codings")["codings"])
ONE = Compute(workers=1)
PEOPLE = 40
TABLES = (
    "primary.participants", "primary.targets", "primary.confounds", "primary.exclusion_flow",
    "primary.scan_counts", "primary.target_summary", "primary.imaging_numbers",
    "intermediate.bulk_index",
)  # fmt: skip


def cohort(participants, **changes):
    size = {"voxel_mm": 8, "regions": 25, "time_points": 60, "seed": 3}
    return SyntheticCohort(participants=participants, **(size | changes))


def engineered(root, imaging=False):
    """Tables that data engineering makes of the raw folder of a root, and imaging its quality."""
    catalog = catalog_of(root, "data_engineering", "imaging_preprocess")
    catalog["raw.bulk"] = find_bulk(root / "01_raw")
    catalog["params:compute"] = ONE
    SequentialRunner().run(engineering().to_outputs(*TABLES), catalog)
    names = TABLES
    if imaging:
        SequentialRunner().run(preprocessing().only_nodes("preprocess_scans"), catalog)
        names = (*TABLES, "primary.quality")
    return {name: catalog.load(name) for name in names}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)


@pytest.fixture(scope="module")
def table():
    return main_table(cohort(PEOPLE))


@pytest.fixture(scope="module")
def expected(table, tmp_path_factory):
    root = tmp_path_factory.mktemp("expected")
    raw = root / "01_raw"
    write_table(table, raw, "ukbconv csv", CODINGS)
    write_lists(cohort(PEOPLE), raw)
    found = engineered(root)
    assert len(found["primary.participants"]) > PEOPLE / 2
    assert found["primary.targets"].notna().mean().min() > 0.3
    return found


@pytest.mark.parametrize("style", STYLES)
def test_a_cohort_in_any_style_is_the_same_cohort(style, table, expected, tmp_path):
    write_table(table, tmp_path / "01_raw", style, CODINGS)
    write_lists(cohort(PEOPLE), tmp_path / "01_raw")
    assert_same(engineered(tmp_path), expected)


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_order_and_number_of_files_change_nothing(data, table, expected, tmp_path_factory):
    """Rows, columns and files in any order and style, by columns and by rows."""
    root = tmp_path_factory.mktemp("shuffled")
    raw = root / "01_raw"
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
    assert_same(engineered(root), expected)


def records(root):
    stores = {"volumes": ("t1", "flair", "dwi"), "vectors": ("rsfmri",)}
    found = {}
    for name, modalities in stores.items():
        store = RecordStore(root / f"02_intermediate/{name}.store")
        found |= {(m, key): store.read(m, key) for m in modalities for key in store.keys(m)}
    return found


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    """By arrangement, what data engineering and imaging make of a cohort of few people."""
    top, found = tmp_path_factory.mktemp("arrangements"), {}
    for arrangement, style in zip(ARRANGEMENTS, STYLES, strict=False):
        raw = top / arrangement / "01_raw"
        asked = cohort(8, arrangement=arrangement, style=style)
        claim(raw, asked, "synthetic")
        generator.write_tables(asked, raw, CODINGS)
        generator.write_scans(asked, raw, top / "synthetic_truth", study_grid(), imaging(), ONE)
        tables = engineered(top / arrangement, imaging=True)
        index = tables.pop("intermediate.bulk_index")
        found[arrangement] = (tables, index, records(top / arrangement))
    return found


@pytest.mark.parametrize("arrangement", ARRANGEMENTS[1:])
def test_scans_in_any_arrangement_are_the_same_scans(arrangement, preprocessed):
    tables, _, scans = preprocessed[ARRANGEMENTS[0]]
    other_tables, _, other_scans = preprocessed[arrangement]
    assert_same(other_tables, tables)
    assert (tables["primary.quality"]["status"] == "ok").sum() > 15
    assert list(other_scans) == list(scans)
    for key, record in scans.items():
        np.testing.assert_array_equal(other_scans[key], record)


def test_time_series_lie_at_the_top_of_the_zip_for_some_and_in_a_folder_for_others(preprocessed):
    index = preprocessed["by_field"][1]
    members = index.loc[(index["field"] == 31016) & (index["state"] == "ok"), "members"]
    assert set(members) == {"fMRI.Glasser.csv.gz", "fMRI/fMRI.Glasser.csv.gz"}


def test_answers_come_in_quotes_and_without(table, tmp_path):
    paths = write_table(table, tmp_path, "dx extract", CODINGS)
    assert len(paths) == 2
    written = pd.concat([pd.read_csv(path, dtype=str) for path in paths])
    answers = set(written.filter(like="p6152_i").to_numpy().ravel())
    assert {"[-7]", '["-7"]'} <= answers
