"""A project of the Research Analysis Platform: one read-only tree of tables, lists and scans."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from ukb_brain.imaging.store import RecordStore

# As the browser's table exporter and the Platform's own folders leave them.
PROJECT = Path(__file__).parents[1]
WRITTEN = {"style": "exporter labels", "arrangement": "platform", "participants": 80}


def everything(folder):
    """Each file and folder with when it was last changed: a file made and erased shows in it."""
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in [folder, *folder.rglob("*")]}


@pytest.fixture(scope="module")
def mounted(tmp_path_factory, run_kedro):
    """What lies under /mnt/project."""
    root = tmp_path_factory.mktemp("made")
    written = {f"synthetic_cohort__{name}": value for name, value in WRITTEN.items()}
    done = run_kedro("--pipelines", "synthetic_cohort", root=root, **written)
    assert done.returncode == 0, done.stdout + done.stderr
    project = root / "01_raw"
    (project / "synthetic_cohort.json").unlink()
    # What else lies in a project.
    for name in ("Bulk/Exome sequences/10/1000001_23143_0_0.cram", "app12345.dataset"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(b"of no concern")
    (project / "Showcase metadata").mkdir()
    (project / "Showcase metadata/field.tsv").write_text("field_id\ttitle\n31\tSex\n")
    return project


def test_the_platforms_environment_reads_the_mounted_project():
    settings = yaml.safe_load((PROJECT / "conf/rap/globals.yml").read_text())
    assert settings["raw_folder"] == "/mnt/project"
    assert settings["source"] == "ukb"
    assert not settings["data_root"].startswith("/mnt/project")


def test_a_project_is_read_as_it_is_and_nothing_is_written_into_it(mounted, tmp_path, run_kedro):
    before = everything(mounted)
    assert len([p for p in before if p.suffix == ".zip"]) > 200
    assert any(p.parent.parent.name == "Functional time series" for p in before)
    given = {"root": tmp_path / "results", "env": "rap", "raw_folder": mounted, "preset": "test"}
    done = run_kedro("--pipelines", "data_engineering,imaging_preprocess", **given)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert everything(mounted) == before
    participants = pd.read_parquet(tmp_path / "results/03_primary/participants.parquet")
    assert participants["eid"].nunique() > 50
    counts = pd.read_parquet(tmp_path / "results/03_primary/quality_summary.parquet")
    usable = counts[counts["status"] == "ok"].set_index("modality")["n"]
    assert set(usable.index) == {"t1", "flair", "dwi", "rsfmri"}
    assert (usable > 40).all()
    keys = RecordStore(tmp_path / "results/02_intermediate/volumes.store").keys("t1")
    assert len(keys) == usable["t1"]
    assert not any(str(eid) in text for eid in participants["eid"])
