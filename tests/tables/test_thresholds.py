import numpy as np
import pandas as pd
import pytest

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.tables.blocks import apply_scaling, fit_scaling
from ukb_brain.tables.thresholds import as_tested, fit_cut, fit_thresholds, in_fold

GRID = Grid(
    base_domain="body",
    domains={"body": {"letter": "B"}},
    imaging={"structural": {"t1": {"name": "T1", "order": 1}}},
    targets={
        "age": {
            "name": "Age",
            "domain": "body",
            "kind": "continuous",
            "field": 21003,
            "rule": "value",
        },
        "heavy": {
            "name": "Heavy",
            "domain": "body",
            "kind": "binary",
            "field": 21002,
            "rule": "binned",
            "quantile": 0.5,
        },
    },
)
N, FOLDS = 60, 3


@pytest.fixture
def tables():
    rng = np.random.default_rng(4)
    eid = np.arange(9_000_001, 9_000_001 + N)
    participants = pd.DataFrame({"eid": eid, "instance": 2, "chosen": True})
    again = participants.iloc[:6].assign(instance=3, chosen=False)
    participants = pd.concat([participants, again], ignore_index=True)
    targets = participants[["eid", "instance"]].assign(
        age=rng.normal(60, 7, len(participants)), heavy=rng.normal(80, 12, len(participants))
    )
    targets.loc[::11, "heavy"] = np.nan
    parts = [
        pd.DataFrame({"eid": eid, "fold": fold, "part": "train"}).assign(
            part=lambda t, fold=fold: np.select(
                [t["eid"] % FOLDS == fold, t["eid"] % 7 == 0], ["test", "validation"], "train"
            )
        )
        for fold in range(FOLDS)
    ]
    return targets, participants, pd.concat(parts, ignore_index=True)


def test_the_cut_off_is_the_training_peoples_quantile(tables):
    targets, participants, splits = tables
    fitted = fit_thresholds(targets, participants, splits, GRID)
    assert fitted["target"].unique().tolist() == ["heavy"]
    first = targets[targets["instance"] == 2].set_index("eid")["heavy"]
    for _, row in fitted.iterrows():
        mine = splits[(splits["fold"] == row["fold"]) & (splits["part"] == "train")]
        answers = first.loc[mine["eid"]].dropna()
        assert row["threshold"] == pytest.approx(answers.median())
        assert row["n_train"] == len(answers)
    assert fitted["threshold"].nunique() == FOLDS


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("fold", range(FOLDS))
def test_people_who_are_not_trained_on_move_nothing(tables, part, fold):
    targets, participants, splits = tables
    held = splits[(splits["fold"] == fold) & (splits["part"] == part)]["eid"]
    moved = targets.assign(heavy=targets["heavy"].mask(targets["eid"].isin(held), 1e6))
    others = ~targets["eid"].isin(held)
    before = fit_cut(targets, participants, splits, GRID)(targets, fold)
    after = fit_cut(moved, participants, splits, GRID)(moved, fold)
    pd.testing.assert_frame_equal(before[others], after[others])
    # A training person's value does move it, so that the test could fail.
    trained = splits[(splits["fold"] == fold) & (splits["part"] == "train")]["eid"]
    mine = targets["eid"].isin(trained.iloc[: len(trained) // 2])
    moved = targets.assign(heavy=targets["heavy"].mask(mine, 1e6))
    after = fit_cut(moved, participants, splits, GRID)(targets, fold)
    assert not before["heavy"].equals(after["heavy"])


def test_a_cut_keeps_other_targets_and_those_without_an_answer(tables):
    targets, participants, splits = tables
    cut = in_fold(targets, fit_thresholds(targets, participants, splits, GRID), GRID, 0)
    pd.testing.assert_series_equal(cut["age"], targets["age"])
    np.testing.assert_array_equal(cut["heavy"].isna(), targets["heavy"].isna())
    assert set(cut["heavy"].dropna()) == {0.0, 1.0}


def test_each_person_is_cut_as_in_the_fold_that_tests_them(tables):
    targets, participants, splits = tables
    thresholds = fit_thresholds(targets, participants, splits, GRID).set_index("fold")["threshold"]
    cut = as_tested(targets, participants, splits, GRID)
    assert cut[["eid", "instance"]].equals(targets[["eid", "instance"]])
    expected = targets["heavy"] > (targets["eid"] % FOLDS).map(thresholds)
    known = targets["heavy"].notna()
    np.testing.assert_array_equal(cut.loc[known, "heavy"] == 1, expected[known])


def test_a_grid_without_quantiles_is_left_as_it_is(tables):
    targets, participants, splits = tables
    plain = Grid(**(GRID.model_dump() | {"targets": {"age": GRID.targets["age"].model_dump()}}))
    assert fit_thresholds(targets, participants, splits, plain).empty
    assert as_tested(targets, participants, splits, plain) is targets


def test_as_a_trait_it_is_what_it_is_as_a_target(tables):
    targets, participants, splits = tables
    cut = fit_cut(targets, participants, splits, GRID)
    once = targets[targets["instance"] == 2]
    scaling = fit_scaling(once, splits, ["heavy"], cut)
    blocks = apply_scaling(targets, splits, scaling, cut)
    for fold, rows in blocks.groupby("fold"):
        there = rows[rows["heavy__missing"] == 0]
        assert there["heavy"].nunique() == 2
        truth = cut(targets, fold).set_index(["eid", "instance"])["heavy"]
        keys = pd.MultiIndex.from_frame(there[["eid", "instance"]])
        np.testing.assert_array_equal(there["heavy"] > 0, truth.loc[keys] == 1)


def test_no_answer_of_any_training_person_is_told(tables):
    targets, participants, splits = tables
    with pytest.raises(InputError, match="'heavy' has no answer from any training person"):
        fit_thresholds(targets.assign(heavy=np.nan), participants, splits, GRID)
