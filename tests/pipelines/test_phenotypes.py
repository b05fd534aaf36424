import numpy as np
import pandas as pd
import pytest

SMALL = {"grid__only": "age+sex+structural+idps", "modelling__strategies": "linear"}


@pytest.mark.slow
def test_phenotypes_are_an_imaging_group_of_the_map(tmp_path, run_kedro):
    """From a cohort that has them to a map that says what scans add to them."""
    also = {"grid__also": "idps", "root": tmp_path}

    def run(*arguments, **given):
        done = run_kedro(*arguments, **also, **given)
        assert done.returncode == 0, done.stdout + done.stderr

    def scores():
        return pd.read_parquet(tmp_path / "08_reporting/performance.parquet")

    run("--pipelines", "synthetic_cohort", synthetic_cohort__idps=300)
    run(**SMALL)
    performance = scores()
    assert performance["idps"].dtype == bool
    inputs = ["FLAIR + T1", "IDPs", "FLAIR + T1 + IDPs"]
    assert performance["inputs"].tolist() == inputs * 2
    assert (performance["status"] == "ok").all()
    truth = pd.read_parquet(tmp_path / "synthetic_truth/truth.parquet")
    of_age = truth[truth["target"] == "age"].set_index("inputs")["reachable"]
    assert of_age["IDPs"] < of_age["FLAIR + T1 + IDPs"]
    quality = pd.read_parquet(tmp_path / "03_primary/quality.parquet")
    left_out = quality[(quality["modality"] == "idps") & (quality["status"] != "ok")]
    assert left_out["reason"].str.contains("of 261 numbers are in the main table").all()
    numbers = pd.read_parquet(tmp_path / "03_primary/imaging_numbers.parquet")
    assert numbers.shape[1] == 2 + 261
    assert {str(dtype) for dtype in numbers.dtypes.iloc[2:]} == {"float32"}
    run(**SMALL)
    again = scores()
    np.testing.assert_array_equal(again[["r2", "roc_auc"]], performance[["r2", "roc_auc"]])


@pytest.mark.slow
def test_a_cohort_without_them_says_which_fields_are_lacking(cohort, run_kedro):
    done = run_kedro("--pipelines", "check", root=cohort, grid__also="idps")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    page = (cohort / "08_reporting/check.html").read_text(encoding="utf-8")
    assert "the main table lacks 261 of 261 fields of idps at the imaging visit" in page
