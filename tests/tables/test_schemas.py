import numpy as np
import pandas as pd
import pytest
from pandera.errors import SchemaError, SchemaErrors

from ukb_brain.metrics import METRICS, RECOMMENDED
from ukb_brain.tables import reported, schemas

DAY = pd.Timestamp("2016-01-01")
VISITS = {"eid": [1, 1, 2], "instance": [2, 3, 2]}


def performance():
    table = pd.DataFrame(
        {
            "target": ["sex", "age"],
            "domain": "constitutional",
            "kind": ["binary", "continuous"],
            "inputs": "T1",
            "t1": True,
            "n_train": 80,
            "n_val": 10,
            "n_test": 10,
            "status": "ok",
            "train_seconds": 1.0,
            "strategy": "linear",
            "seed": 1,
        }
    )
    for metric in RECOMMENDED:
        own = (metric in METRICS["binary"]) == (table["kind"] == "binary")
        for end, value in (("", 0.5), ("_low", 0.4), ("_high", 0.6)):
            table[metric + end] = np.where(own, value, np.nan)
        table[f"{metric}_seed_sd"] = np.where(own, 0.01, np.nan)
    return table


def cell_fits():
    keys = {"target": ["sex"], "inputs": "T1", "strategy": "linear", "fold": 0, "seed": 1}
    counts = {"n_train": 80, "n_val": 10, "n_test": 10, "status": "ok", "train_seconds": 0.1}
    fitted = {"decision_threshold": 0.5, "train_median": np.nan, "loss": 0.1, "penalty": 1.0}
    cost = {"device": "cpu", "flops": 1e9, "shared_seconds": 0.0, "attempts": 1}
    return pd.DataFrame(keys | counts | fitted | cost)


def mixed_models():
    words = {"source": "run", "domain": "disease", "outcome": "balanced_accuracy", "model": "m"}
    numbers = dict.fromkeys(
        ("estimate", "std_error", "df", "t", "p", "low", "high", "sd_target", "sd_residual"), 0.5
    )
    table = pd.DataFrame({"term": ["t1", "t1:dwi"]}).assign(**words, **numbers)
    return table.assign(log_likelihood=-3.0, n=160)


VALID = {
    "participants": pd.DataFrame(VISITS).assign(
        chosen=[True, False, True], family=0, site=11025, date=DAY, age=60.0, sex=[1.0, 1.0, np.nan]
    ),
    "people_by_visit": pd.DataFrame(VISITS).assign(hb=[14.0, np.nan, 13.0]),
    "exclusion_flow": pd.DataFrame(
        {"step": [0, 1], "reason": ["all", "left"], "excluded": [0, 2], "remaining": [9, 7]}
    ),
    "scan_counts": pd.DataFrame(
        {"modality": ["t1", "dwi"], "people": [9, 8], "undated": [1, 0], "in_cohort": [7, 7]}
    ),
    "splits": pd.DataFrame({"eid": [1, 2], "fold": 0, "part": ["train", "test"]}),
    "blocks": pd.DataFrame(VISITS).assign(fold=0, hb=np.float32(1), hb__missing=np.float32(0)),
    "block_scaling": pd.DataFrame(
        {"fold": [0], "target": ["hb"], "mean": [1.0], "sd": [1.0], "n_train": [3]}
        | {"training_people": ["0123456789abcdef"]}
    ),
    "target_summary": pd.DataFrame(
        {"target": ["hb"], "name": ["Hb"], "n": [3], "missing": [0]}
    ).assign(mean_or_prevalence=1.0, sd=1.0, median_lag_years=np.nan),
    "quality": pd.DataFrame(VISITS).assign(modality="t1", status="ok", reason="", snr=np.nan),
    "predictions": pd.DataFrame(VISITS)
    .assign(target="age", inputs="T1", strategy="linear", fold=0, seed=1, split="test")
    .assign(y_true=60.0, y_pred=61.0),
    "cell_fits": cell_fits(),
    "performance": performance(),
    "mixed_models": mixed_models(),
}

BROKEN = {
    "participants": [
        {"family": [0, 1, 2]},
        {"chosen": [True, True, True]},
        {"chosen": [False, False, True]},
        {"eid": [1, -1, 2]},
        {"instance": [2, 2, 2]},
        {"date": ["2016", "2016", "2016"]},
        {"sex": [2.0, 0.0, 1.0]},
        {"other": 1},
    ],
    "people_by_visit": [{"instance": [2, 2, 2]}, {"hb": ["a", "b", "c"]}, {"eid": [1.0, 1.0, 2.0]}],
    "exclusion_flow": [{"remaining": [9, 8]}, {"excluded": [0, -2]}],
    "scan_counts": [{"people": [-1, 8]}, {"modality": "t1"}],
    "splits": [{"eid": [1, 1]}, {"part": ["train", "tset"]}, {"family": 1}],
    "blocks": [{"hb": np.float32(np.nan)}, {"hb": 1.0}, {"instance": 2}],
    "block_scaling": [{"sd": [0.0]}, {"mean": [np.nan]}],
    "target_summary": [{"n": [-1]}],
    "quality": [{"status": "fine"}, {"instance": 2}, {"reason": None}],
    "predictions": [{"split": "train"}, {"y_pred": np.nan}, {"instance": 2}, {"extra": 1}],
    "cell_fits": [
        *({"strategy": "magic"}, {"n_train": -1}, {"decision_threshold": 2.0}),
        *({"device": 3}, {"flops": -1.0}, {"shared_seconds": -1.0}, {"attempts": 1.5}),
    ],
    "performance": [
        {"kind": ["binary", "ordinal"]},
        {"r2": 0.5},
        {"roc_auc": 0.5},
        {"roc_auc_low": 0.9},
        {"target": "age"},
        {"t1": "yes"},
        {"r2_seed_sd": -0.1},
        {"fold": 0},
    ],
    "mixed_models": [{"term": "t1"}, {"p": 1.5}, {"source": "elsewhere"}],
}


def promised(name):
    return getattr(schemas, name, None) or getattr(reported, name)


@pytest.mark.parametrize("name", VALID)
def test_a_table_as_promised_passes(name):
    promised(name).validate(VALID[name])


@pytest.mark.parametrize("name", VALID)
def test_a_table_read_back_from_parquet_passes(name, tmp_path):
    VALID[name].to_parquet(tmp_path / "table.parquet")
    promised(name).validate(pd.read_parquet(tmp_path / "table.parquet"))


@pytest.mark.parametrize(("name", "change"), [(n, c) for n in BROKEN for c in BROKEN[n]])
def test_a_broken_promise_is_found(name, change):
    with pytest.raises((SchemaError, SchemaErrors)):
        promised(name).validate(VALID[name].assign(**change))


def test_a_cohort_may_have_no_dates_and_none_may_lack_some():
    table = VALID["participants"]
    none = table.assign(date=pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]"))
    schemas.participants.validate(none)
    with pytest.raises((SchemaError, SchemaErrors)):
        schemas.participants.validate(table.assign(date=table["date"].where(table.index > 0)))


@pytest.mark.parametrize("name", VALID)
def test_every_key_column_is_required(name):
    with pytest.raises((SchemaError, SchemaErrors)):
        promised(name).validate(VALID[name].drop(columns=VALID[name].columns[0]))


def test_cost_columns_of_cell_fits_may_be_absent():
    cost = ["device", "flops", "shared_seconds", "attempts"]
    schemas.cell_fits.validate(cell_fits().drop(columns=cost))


def test_the_map_needs_every_spread_and_the_table_of_all_fits_has_none():
    with pytest.raises((SchemaError, SchemaErrors)):
        reported.performance.validate(performance().drop(columns="r2_seed_sd"))
    spreads = [name for name in performance() if name.endswith("_seed_sd")]
    reported.performance.validate(performance().drop(columns=spreads).assign(fold=0))


def test_performance_needs_every_interval():
    with pytest.raises((SchemaError, SchemaErrors)):
        reported.performance.validate(performance().drop(columns="r2_low"))
