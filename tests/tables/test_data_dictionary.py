import numpy as np
import pandas as pd
import pytest
import yaml
from reporting_cases import ROOT, study_grid

from ukb_brain.grid import Grid
from ukb_brain.tables import data_dictionary
from ukb_brain.tables.derivations import derive_targets
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.visits import derive_confounds

CODINGS = Codings(
    yaml.safe_load((ROOT / "conf/base/parameters_codings.yml").read_text())["codings"]
)
STUDY = study_grid()
N = 120
NO_TABLES = TableFolder(ROOT / "nowhere", ROOT / "nowhere/codings")
NAN = np.nan


def grid_of(*kept, **added):
    dump = STUDY.model_dump()
    targets = {key: dump["targets"][key] for key in kept} | added
    return Grid(**(dump | {"targets": targets}))


HIGH_FAT = {
    "name": "High body fat",
    "domain": "disease",
    "kind": "binary",
    "field": 23099,
    "rule": "binned",
    "quantile": 0.5,
}
GRID = grid_of("sex", "age", "weight", "smoking", "body_fat", "hb", fat=HIGH_FAT)


@pytest.fixture(scope="module")
def described():
    rng = np.random.default_rng(2)
    eid = np.arange(9_000_001, 9_000_001 + N)
    table = pd.DataFrame(
        {
            "eid": eid,
            "53-0.0": pd.Timestamp("2008-01-01"),
            "53-2.0": pd.Timestamp("2016-01-01"),
            "31-0.0": (np.arange(N) % 2).astype(float),
            "21003-2.0": rng.normal(60, 7, N),
            "21002-2.0": rng.normal(75, 12, N),
            "20116-2.0": rng.choice([0.0, 1, 2, -3], N),
            "23099-2.0": rng.normal(30, 6, N),
            "30020-0.0": rng.normal(14, 1, N),
            "30020-2.0": np.where(np.arange(N) < 30, 15.0, NAN),
            "6153-2.0": np.where(np.arange(N) % 2 == 0, -7.0, NAN),
            "6177-2.0": np.where(np.arange(N) % 2 == 1, 2.0, NAN),
            "6177-2.1": np.where(np.arange(N) % 4 == 1, 3.0, NAN),
        }
    )
    people = table[["eid"]].assign(
        instance=2, chosen=True, site=11025, date=table["53-2.0"], age=table["21003-2.0"],
        sex=table["31-0.0"], deprivation=rng.normal(-1, 2, N),
    )  # fmt: skip
    part = np.repeat(["train", "validation", "test"], [60, 30, 30])
    splits = pd.DataFrame({"eid": eid, "fold": 0, "part": part})
    values, lags, sources = derive_targets(table, people, GRID.targets)
    confounds = derive_confounds(table, people)
    found = data_dictionary.describe(
        values, lags, sources, confounds, people, splits, GRID, CODINGS, NO_TABLES
    )
    # Age and sex are confounds, too.
    return table, found[found["role"] != "confound"].set_index("key")


def test_field_title_coding_and_derivation_in_words(described):
    _, found = described
    smoking = found.loc["smoking"]
    assert smoking["title"] == "Smoking status"
    assert smoking["coding"] == "90"
    assert "1 (Previous), 2 (Current)" in smoking["derivation"]
    assert "-3 (Prefer not to answer): no answer" in smoking["derivation"]
    assert "latest visit not after the scan" in smoking["derivation"]


def test_numbers_are_those_of_the_table(described):
    table, found = described
    age = found.loc["age"]
    assert (age["n"], age["missing"], age["train_n"]) == (N, 0, 60)
    assert age["train_mean"] == pytest.approx(table["21003-2.0"][:60].mean())
    assert age["test_sd"] == pytest.approx(table["21003-2.0"][90:].std())
    answered = table["20116-2.0"] != -3
    assert found.loc["smoking", "missing"] == (~answered).sum()
    yes = table["20116-2.0"].isin([1, 2])[:60].sum()
    assert found.loc["smoking", "train_events"] == yes


def test_where_answers_are_from_and_how_old_they_are(described):
    _, found = described
    hb = found.loc["hb"]
    assert (hb["from_0"], hb["from_2"]) == (90, 30)
    assert hb["lag_median"] == pytest.approx(8, abs=0.01)
    assert hb["lag_low"] == pytest.approx(6, abs=2.01)
    assert found.loc["age", "lag_median"] == 0


def test_a_fitted_cut_off_is_named_and_its_shares_are_those_of_the_fold(described):
    table, found = described
    fat = found.loc["fat"]
    assert "quantile 0.5 of training people" in fat["derivation"]
    assert f"{table['23099-2.0'][:60].median():.4g} in the first fold" in fat["derivation"]
    assert fat["train_events"] == 30
    expected = (table["23099-2.0"][90:] > table["23099-2.0"][:60].median()).sum()
    assert fat["test_events"] == expected


def test_algebra_is_flagged_with_the_targets_that_enter(described):
    _, found = described
    assert "impedance, sex, age, height and weight" in found.loc["body_fat", "algebra"]
    assert "targets here: sex, age, weight" in found.loc["body_fat", "algebra"]
    assert "same field as fat" in found.loc["body_fat", "algebra"]
    assert found.loc["age", "algebra"] == ""


def test_medication_is_a_covariate_and_no_input(described):
    _, found = described
    pressure = found.loc["medication_blood_pressure"]
    assert pressure["role"] == "covariate"
    assert pressure["n"] == N
    assert pressure["train_events"] == 30
    assert found.loc["medication_insulin", "train_events"] == 15
    assert found.loc["medication_cholesterol", "train_events"] == 0
    assert not {"medication_insulin", "deprivation"} & set(GRID.targets)


def test_a_medication_is_a_target_where_it_is_asked_for():
    asked = {"name": "Blood pressure medication", "domain": "disease", "kind": "binary"}
    asked |= {"field": 6177, "rule": "any_of", "values": [2], "missing": [-1, -3]}
    grid = grid_of("sex", "age", pressure=asked)
    assert "pressure" in grid.targets_of("disease")


def test_every_rule_is_said_in_words():
    some = {"name": "A", "domain": "disease"}
    grid = grid_of(
        "age",
        grip=some | {"name": "B", "kind": "continuous", "fields": [46, 47], "rule": "mean"},
        weaker=some | {"name": "C", "kind": "continuous", "fields": [47, 46], "rule": "difference"},
        pace=some | {"name": "D", "kind": "continuous", "field": 20023, "rule": "log"},
        high=some | {"kind": "binary", "field": 30750, "rule": "binned", "threshold": 48},
    )
    words = {k: data_dictionary.in_words(t, CODINGS) for k, t in grid.targets.items()}
    assert words["grip"].startswith("the mean of answers of 46 and 47")
    assert words["weaker"].startswith("47 less 46")
    assert "natural logarithm" in words["pace"]
    assert words["high"].startswith("1 where above 48, else 0")
