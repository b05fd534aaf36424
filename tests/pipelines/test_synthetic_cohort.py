import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from reporting_cases import ROOT, study_grid
from scan_cases import imaging

from ukb_brain.atomic import PARTIAL
from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.pipelines import synthetic_cohort
from ukb_brain.synthetic.folder import MARKER
from ukb_brain.synthetic.settings import FIRST_EID, SyntheticCohort
from ukb_brain.tables.dictionary import Codings

FEW, MORE = 4, 7


def cohort(participants):
    return SyntheticCohort(
        participants=participants, voxel_mm=8, regions=25, time_points=60, seed=3
    )


def run(root, participants=MORE, workers=1, only=None, source="synthetic"):
    text = (ROOT / "conf/base/catalog_synthetic_cohort.yml").read_text()
    entries = yaml.safe_load(text.replace("${_root}", str(root)))
    catalog = DataCatalog.from_config({k: v for k, v in entries.items() if k[0] != "_"})
    codings = yaml.safe_load((ROOT / "conf/base/parameters_codings.yml").read_text())["codings"]
    given = {"synthetic_cohort": cohort(participants), "source": source}
    given |= {"codings": Codings(codings), "imaging_preprocess": imaging()}
    given |= {"compute": Compute(workers=workers), "grid": study_grid()}
    for name, value in given.items():
        catalog[f"params:{name}"] = value
    pipeline = synthetic_cohort.create_pipeline()
    # The truth is for benchmarks, and takes longest.
    pipeline -= pipeline.only_nodes("tabulate_truth")
    SequentialRunner().run(pipeline.only_nodes(*only) if only else pipeline, catalog)
    return root


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def stamps(root):
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Data root of a cohort; not to be changed."""
    return run(tmp_path_factory.mktemp("written"))


@pytest.fixture
def again(written, tmp_path):
    """A copy of it."""
    for name, content in contents(written).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def of_people(files, participants):
    """Bulk files of the first people."""
    bulk = {name: content for name, content in files.items() if "/bulk/" in name}
    return {n: c for n, c in bulk.items() if int(Path(n).name[:7]) < FIRST_EID + participants}


def table_of(root):
    return pd.read_csv(root / "01_raw/ukb12345.csv", dtype=str, keep_default_na=False)


def test_raw_files_are_all_there(written):
    assert {p.name for p in (written / "01_raw").iterdir() if p.is_file()} == {
        MARKER,
        "ukb12345.csv",
        "w12345_20260101.csv",
        "withdraw12345_88_20260601.txt",
        "ukb_rel_a12345_s488130.dat",
    }
    assert table_of(written)["eid"].tolist() == [str(FIRST_EID + k) for k in range(MORE)]
    people = {int(Path(name).name[:7]) for name in of_people(contents(written), MORE)}
    assert len(people) >= MORE - 1


def test_a_persons_files_do_not_depend_on_the_number_of_participants(written, tmp_path):
    few, many = contents(run(tmp_path, FEW)), contents(written)
    assert len(of_people(few, FEW)) >= 4 * (FEW - 1)
    assert of_people(few, FEW) == of_people(many, FEW)
    assert of_people(many, FEW) != of_people(many, MORE)
    small, large = table_of(tmp_path), table_of(written)[:FEW]
    pd.testing.assert_frame_equal(small, large[list(small)])
    # A column of answers that none of the few gave is not in their table.
    assert (large.drop(columns=list(small)) == "").all(axis=None)


def test_a_cohort_that_grows_is_as_if_it_had_always_been_large(written, tmp_path):
    run(tmp_path, FEW)
    bulk = stamps(tmp_path / "01_raw/bulk")
    run(tmp_path, MORE)
    assert contents(tmp_path) == contents(written)
    assert {p: s for p, s in stamps(tmp_path / "01_raw/bulk").items() if p in bulk} == bulk


def test_the_number_of_workers_changes_no_byte(written, tmp_path, monkeypatch):
    # Otherwise so few people are one batch.
    monkeypatch.setattr(synthetic_cohort, "PEOPLE_PER_BATCH", 2)
    assert contents(run(tmp_path, workers=2)) == contents(written)


def test_a_second_run_writes_nothing(again):
    before = stamps(again)
    run(again)
    assert stamps(again) == before


def test_a_killed_generation_goes_on(written, again):
    bulk = sorted((again / "01_raw/bulk").rglob("*.*"))
    for path in bulk[::3]:
        path.unlink()
    left = bulk[0].with_name(PARTIAL + bulk[0].name)
    left.write_bytes(b"half a scan")
    (again / "01_raw/.partial-ukb12345.csv").write_text("eid")
    (again / "01_raw/ukb12345.csv").unlink()
    run(again)
    assert not left.exists()
    assert contents(again) == contents(written)


def test_a_generation_that_died_before_its_first_scan_goes_on(written, tmp_path):
    run(tmp_path, only=["claim_raw_folder"])
    assert list(contents(tmp_path)) == [f"01_raw/{MARKER}"]
    assert json.loads((tmp_path / f"01_raw/{MARKER}").read_text())["participants"] == MORE
    assert contents(run(tmp_path)) == contents(written)


def test_nothing_is_written_where_real_data_belong(tmp_path):
    with pytest.raises(InputError, match="source 'ukb'"):
        run(tmp_path, source="ukb")
    assert not contents(tmp_path)
