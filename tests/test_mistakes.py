"""A user's mistake ends in one line that says what to do, and leaves nothing half-written."""

import re
import shutil

import pytest

TRACEBACK = "Traceback (most recent call last)"


def last_line(done):
    """The one line a run ends with; Kedro's own output before it is not looked at."""
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert TRACEBACK not in text
    lines = [line for line in text.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, text
    return lines[0]


def files(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def half_written(root):
    return [name for name in files(root) if re.search(r"\.partial-|\.part\b", name)]


def test_no_raw_files(run_kedro, tmp_path):
    line = last_line(run_kedro(root=tmp_path))
    assert "kedro run --pipelines synthetic_cohort" in line
    assert "kedro run --env ukb" in line
    assert files(tmp_path) == []


def test_a_synthetic_cohort_where_real_data_belong(run_kedro, tmp_path):
    line = last_line(run_kedro("--pipelines", "synthetic_cohort", root=tmp_path, env="ukb"))
    assert "--env test" in line
    assert files(tmp_path) == []


def test_a_synthetic_cohort_in_a_folder_of_something_else(run_kedro, tmp_path):
    raw = tmp_path / "01_raw"
    raw.mkdir()
    (raw / "ukb_table.csv").write_text("eid\n1\n")
    line = last_line(run_kedro("--pipelines", "synthetic_cohort", root=tmp_path))
    assert "1 file(s)" in line
    assert files(tmp_path) == ["01_raw/ukb_table.csv"]


def test_too_few_people_to_split(run_kedro, cohort, tmp_path):
    shutil.copytree(cohort / "01_raw", tmp_path / "01_raw", ignore=shutil.ignore_patterns("bulk"))
    done = run_kedro("--pipelines", "data_engineering", root=tmp_path, splitting__min_per_part=60)
    assert "too small to split" in last_line(done)
    assert not (tmp_path / "03_primary/splits.parquet").exists()
    assert half_written(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"grid__targets__age__domain": "dreams"}, "dreams"),
        ({"grid__targets__mood.field": 1}, "mood"),
        ({"modelling__encoders__epoch": 3}, "epoch"),
        ({"preset": "huge"}, "study64"),
    ],
)
def test_an_unknown_target_domain_setting_or_preset(run_kedro, tmp_path, given, named):
    assert named in last_line(run_kedro(root=tmp_path, **given))
    assert files(tmp_path) == []


def test_a_target_whose_field_is_not_in_the_table(run_kedro, cohort, tmp_path):
    shutil.copytree(cohort / "01_raw", tmp_path / "01_raw", ignore=shutil.ignore_patterns("bulk"))
    done = run_kedro("--pipelines", "data_engineering", root=tmp_path, grid__targets__hb__field=46)
    assert "46" in last_line(done)


def test_a_store_of_another_source(run_kedro, finished_run, tmp_path):
    for folder in ("01_raw", "02_intermediate", "03_primary"):
        shutil.copytree(finished_run / folder, tmp_path / folder)
    done = run_kedro("--pipelines", "imaging_preprocess", root=tmp_path, source="ukb")
    line = last_line(done)
    assert "synthetic" in line
    assert "data_root" in line


def test_a_full_disk(run_kedro, tmp_path):
    """A limit on the size of files stands in for it: writing fails in the same place."""
    line = last_line(
        run_kedro("--pipelines", "synthetic_cohort", root=tmp_path, largest_file_kb=40)
    )
    assert "full" in line
    assert half_written(tmp_path) == []


def test_a_corrupt_zip_is_counted_and_the_run_goes_on(run_kedro, finished_run, tmp_path):
    import pandas as pd

    for folder in ("01_raw", "03_primary"):
        shutil.copytree(finished_run / folder, tmp_path / folder)
    (tmp_path / "02_intermediate").mkdir()
    index = "02_intermediate/bulk_index.parquet"
    shutil.copyfile(finished_run / index, tmp_path / index)
    before = pd.read_parquet(tmp_path / "03_primary/quality.parquet")
    victim = before.query("modality == 'dwi' and status == 'ok'").iloc[0]
    name = f"{victim['eid']}_20250_{victim['instance']}_0.zip"
    (tmp_path / "01_raw/bulk/20250" / name).write_bytes(b"PK\x03\x04 not a zip")
    done = run_kedro("--pipelines", "imaging_preprocess", root=tmp_path)
    assert done.returncode == 0, done.stderr
    after = pd.read_parquet(tmp_path / "03_primary/quality.parquet")
    changed = after[(after["status"] != before["status"]).to_numpy()]
    assert changed[["eid", "modality", "status"]].to_numpy().tolist() == [
        [victim["eid"], "dwi", "broken"]
    ]
