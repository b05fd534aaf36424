"""Every pipeline through Kedro itself, on a tiny cohort: contracts and counts, not accuracy."""

import re
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ukb_brain.imaging.store import RecordStore

TIMING = ["train_seconds"]
METRICS = {
    "binary": ("balanced_accuracy", "roc_auc", "average_precision", "brier"),
    "continuous": ("r2", "pearson_r", "mae", "median_split_accuracy"),
}
FLAGS = ["t1", "flair", "dwi", "rsfmri", "constitutional", "disease", "serology", "psychology"]
# In DESIGN's order; the published table's own first column is the index.
PUBLISHED = [
    "Mode", "Target", "Inputs", "Balanced accuracy", "Weighted precision", "Weighted recall",
    "Weighted F1", "AUC", "Training time (mins)", "Loss", "r2", "r", "MAE", "Metadata",
    "Constitutional", "Serology", "Psychology", "Disease", "T1", "FLAIR", "DWI",
    "rsfMRI connectivity", "Domain",
]  # fmt: skip


@pytest.fixture(scope="module")
def table(finished_run):
    def read(path):
        return pd.read_parquet(finished_run / f"{path}.parquet")

    return read


def test_the_map_has_a_row_for_each_of_the_studys_cells(table):
    performance = table("08_reporting/performance")
    assert len(performance) == 700
    assert not performance.duplicated(["target", "inputs"]).any()
    assert performance["domain"].value_counts().to_dict() == {
        "psychology": 384, "disease": 160, "serology": 128, "constitutional": 28,
    }  # fmt: skip
    assert (performance.dtypes[FLAGS] == "bool").all()
    assert (performance["strategy"] == "amortised").all()


def test_metrics_are_of_their_kind_and_lie_in_their_intervals(table):
    performance = table("08_reporting/performance")
    fitted = performance[performance["status"] == "ok"]
    assert len(fitted) > 600
    for kind, metrics in METRICS.items():
        of_kind = fitted[fitted["kind"] == kind]
        for metric in metrics:
            assert of_kind[metric].notna().mean() > 0.95, metric
            low, high = of_kind[f"{metric}_low"], of_kind[f"{metric}_high"]
            assert (low <= high)[low.notna()].all()
        others = fitted[fitted["kind"] != kind]
        assert others[list(metrics)].isna().all(axis=None)


def test_every_strategy_is_in_the_table_of_all(table):
    everything = table("08_reporting/performance_all")
    assert everything.groupby("strategy").size().to_dict() == {
        "amortised": 700, "kernels": 700, "linear": 700, "dedicated": 4,
    }  # fmt: skip
    assert (everything.loc[everything["strategy"] == "dedicated", "status"] == "ok").any()


def test_predictions_are_of_people_outside_training_only(table):
    predictions, splits = table("07_model_output/predictions"), table("03_primary/splits")
    assert list(predictions.columns) == [
        "eid", "instance", "target", "inputs", "strategy", "fold", "seed", "split", "y_true",
        "y_pred",
    ]  # fmt: skip
    part = splits.set_index("eid")["part"]
    # Later scans of test people are predicted as well.
    parts = predictions["split"].astype(str).replace("repeat", "test")
    assert (predictions["eid"].map(part) == parts).all()
    assert set(parts) == {"validation", "test"}
    assert set(predictions.loc[predictions["split"] == "repeat", "instance"]) <= {3}
    binary = predictions["target"] == "sex"
    assert predictions.loc[binary, "y_pred"].between(0, 1).all()
    assert predictions.loc[predictions["target"] == "age", "y_pred"].between(20, 110).all()


def test_counts_of_cells_are_those_of_predictions(table):
    fits = table("07_model_output/cell_fits").query("status == 'ok'")
    counts = table("07_model_output/predictions").query("split == 'test'")
    counts = counts.groupby(["target", "inputs", "strategy"], observed=True).size()
    found = counts.loc[pd.MultiIndex.from_frame(fits[["target", "inputs", "strategy"]])]
    assert found.to_list() == fits["n_test"].to_list()


def test_the_exclusion_flow_ends_at_the_participants(table):
    flow, participants = table("03_primary/exclusion_flow"), table("03_primary/participants")
    assert flow["remaining"].iloc[0] == 150
    assert flow["remaining"].iloc[-1] == participants["eid"].nunique()
    assert (flow["remaining"].shift() - flow["excluded"] == flow["remaining"])[1:].all()


def test_families_never_straddle(table):
    people = table("03_primary/participants").drop_duplicates("eid")
    both = people.merge(table("03_primary/splits"), on="eid")
    assert not both[["family", "part"]].drop_duplicates().duplicated("family").any()
    assert (both["family"].value_counts() > 1).any()


def test_withdrawn_people_are_nowhere(finished_run, table):
    lists = list((finished_run / "01_raw").glob("w*12345_*"))
    gone = {int(line) for path in lists for line in path.read_text().split()}
    assert len(lists) == 2
    assert gone
    for name in ("participants", "targets", "confounds", "splits", "quality"):
        assert not gone & set(table(f"03_primary/{name}")["eid"]), name
    for store in ("volumes", "vectors"):
        records = RecordStore(finished_run / f"02_intermediate/{store}.store")
        assert not gone & {eid for m in ("t1", "rsfmri") for eid, _ in records.keys(m)}


def test_every_scan_of_a_participant_is_in_the_quality_table(table):
    quality = table("03_primary/quality")
    assert len(quality) == 4 * len(table("03_primary/participants"))
    summary = table("03_primary/quality_summary")
    assert summary["n"].sum() == len(quality)
    assert {"ok", "missing"} <= set(summary["status"])


def test_the_published_layout(finished_run):
    published = pd.read_csv(finished_run / "08_reporting/metrics_comparison_test.csv", index_col=0)
    assert list(published.columns) == PUBLISHED
    assert len(published) == 700
    assert published["Target"].nunique() == 25
    assert set(published["DWI"]) == {"Yes", "No"}
    assert "rsfMRI Connectivity + DWI + FLAIR + T1 + Non-imaging data (C + D)" in set(
        published["Inputs"]
    )


def test_mean_images_are_on_the_common_grid(finished_run):
    for modality in ("t1", "flair", "dwi"):
        image = nib.load(finished_run / f"08_reporting/mean_images/{modality}.nii.gz")
        assert image.shape == (20, 24, 20)
        assert np.ptp(image.get_fdata()) > 0


def test_truth_has_every_cell_and_what_is_planted(table):
    truth = table("synthetic_truth/truth")
    assert len(truth) == 700
    assert set(truth["metric"]) == {"r2", "roc_auc"}
    assert truth.loc[truth["planted"] != "", "target"].nunique() >= 5


def test_models_are_safetensors_with_cards(finished_run):
    models = finished_run / "06_models"
    names = {path.name for path in models.rglob("*") if path.is_file()}
    assert names == {"model.safetensors", "card.json", "complete.json"}
    counts = {kind.name: len(list(kind.glob("*/card.json"))) for kind in models.iterdir()}
    shared = {"steps": 1, "vectors": 1, "grams": 3, "kernels": 8, "encoders": 4}
    assert counts == shared | {"cells": 25, "dedicated": 4}


def test_the_run_ends_with_a_summary_and_shows_nobody(finished_run, table):
    output = (finished_run / "output.txt").read_text()
    assert "Best read" in output
    assert "Worst read" in output
    eids = {str(eid) for eid in table("03_primary/participants")["eid"]}
    exportable = ["summary.md", "dashboard.html", "metrics_comparison_test.csv"]
    exportable += ["data_dictionary.html"]
    for text in (output, *((finished_run / f"08_reporting/{e}").read_text() for e in exportable)):
        # Whole numbers: seven digits within a decimal, such as a training time, name nobody.
        assert not eids & set(re.findall(r"(?<![\d.])\d{7}(?!\d)", text))
    assert "SYNTHETIC" in (finished_run / "08_reporting/dashboard.html").read_text()


def test_running_again_for_what_is_missing_writes_nothing(finished_run, run_kedro):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file()}
    done = run_kedro("--only-missing-outputs", root=finished_run)
    assert done.returncode == 0, done.stderr
    after = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file()}
    assert after == before


def test_the_number_of_workers_changes_nothing(finished_run, run_kedro, tmp_path):
    """And the same seed gives the same map twice; a part that was lost is made again."""
    for folder in ("03_primary", "04_feature", "02_intermediate", "07_model_output"):
        shutil.copytree(finished_run / folder, tmp_path / folder)
    shutil.copytree(finished_run / "01_raw", tmp_path / "01_raw")
    shutil.rmtree(tmp_path / "07_model_output")
    (tmp_path / "04_feature" / "blocks.parquet").unlink()
    done = run_kedro(root=tmp_path, compute__workers=1)
    assert done.returncode == 0, done.stderr
    one, two = (
        pd.read_parquet(root / "08_reporting/performance.parquet").drop(columns=TIMING)
        for root in (finished_run, tmp_path)
    )
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def stamps(folder):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    }


STEPS = ("claim_raw_folder", "write_tables", "write_scans")


@pytest.mark.slow
def test_a_cohort_as_on_the_platform_gives_the_same_map(finished_run, run_kedro, tmp_path):
    """Labels, several answers in a cell, scans by kind and prefix, in a read-only folder."""
    made = run_kedro(
        "--pipelines", "synthetic_cohort",
        "--nodes", ",".join(f"synthetic_cohort.{step}" for step in STEPS),
        root=tmp_path, synthetic_cohort__style="exporter labels",
        synthetic_cohort__arrangement="platform",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    raw, worker = tmp_path / "01_raw", tmp_path / "worker"
    assert "High blood pressure" in (raw / "data_participant.csv").read_text()
    assert list((raw / "Bulk/Brain MRI/T2 FLAIR/90").glob("*_20253_2_0.zip"))
    for path in [raw, *raw.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    before = stamps(raw)
    done = run_kedro("--to-outputs", "reporting.performance", root=worker, raw_folder=raw)
    assert done.returncode == 0, done.stderr
    assert stamps(raw) == before
    for name in ("03_primary/participants", "03_primary/quality", "08_reporting/performance"):
        there, expected = (
            pd.read_parquet(root / f"{name}.parquet").drop(columns=TIMING, errors="ignore")
            for root in (worker, finished_run)
        )
        pd.testing.assert_frame_equal(there, expected, check_exact=True, obj=name)
    assert len(there) == 700


def texts_of(root):
    """Every name under a data root, and all that can be read in the files; not raw ones."""
    for path in root.rglob("*"):
        at = path.relative_to(root)
        if at.parts[0] == "01_raw":
            continue
        yield at, at.as_posix()
        if path.suffix == ".parquet":
            yield at, pd.read_parquet(path).astype(str).to_csv()
        elif path.is_file() and path.suffix not in (".png", ".gz", ".npz") and "c" not in at.parts:
            # Chunks of scans (their folders are called c) are compressed noise.
            yield at, path.read_bytes().decode("latin-1")


def test_who_withdraws_later_is_erased_everywhere(finished_run, tmp_path, run_kedro):
    root = shutil.copytree(finished_run, tmp_path / "data")
    splits = pd.read_parquet(root / "03_primary/splits.parquet")
    gone = splits.drop_duplicates("part", keep="last").set_index("part")["eid"]
    assert set(gone.index) == {"train", "validation", "test"}
    (root / "run.log").write_text(f"Scan of {gone['test']} took long.\n")
    listed = root / "01_raw/lists from 2027"
    listed.mkdir()
    (listed / "withdraw12345_9_20270101.txt").write_text("".join(f"{eid}\n" for eid in gone))
    alone = re.compile(rf"(?<!\d)({'|'.join(gone.astype(str))})(?!\d)")
    before = {at for at, text in texts_of(root) if alone.search(text)}
    assert {at.parts[0][:2] for at in before} >= {"02", "03", "04", "07"}

    stopped = run_kedro("--pipelines", "bundle", root=root)
    said = " ".join((stopped.stdout + stopped.stderr).split())
    assert stopped.returncode and "kedro run --pipelines purge" in said

    done = run_kedro("--pipelines", "purge", root=root)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert not alone.search(told)
    assert "models, which the next run fits anew" in " ".join(told.split())
    assert [at for at, text in texts_of(root) if alone.search(text)] == []
    assert not list((root / "06_models").rglob("*.safetensors"))

    # Some pipelines go on by themselves, and those that read raw files leave them out too: the
    # others keep their parts.
    names = "bundle,data_engineering,feature_tabular"
    again = run_kedro("--pipelines", names, root=root)
    assert again.returncode == 0, again.stdout + again.stderr
    now = pd.read_parquet(root / "03_primary/splits.parquet")
    stay = splits[~splits["eid"].isin(gone)].reset_index(drop=True)
    pd.testing.assert_frame_equal(now[stay.columns.tolist()], stay)
    assert [at for at, text in texts_of(root) if alone.search(text)] == []
