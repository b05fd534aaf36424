import numpy as np
import pandas as pd
import pytest

from ukb_brain.tables.blocks import apply_scaling, fit_scaling
from ukb_brain.tables.splits import fingerprint

TRAITS = ["a", "b", "rare"]


@pytest.fixture
def splits():
    parts = ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
    hold_out = pd.DataFrame({"eid": range(100, 120), "fold": 0, "part": parts})
    return pd.concat([hold_out, hold_out.assign(fold=1, part=parts[::-1])], ignore_index=True)


@pytest.fixture
def targets(splits):
    rng = np.random.default_rng(4)
    first = pd.DataFrame({"eid": np.arange(100, 120), "instance": 2})
    both = pd.concat([first, first[::3].assign(instance=3)], ignore_index=True)
    values = {trait: rng.normal(50, 7, len(both)) for trait in TRAITS}
    table = both.assign(**values)
    table.loc[rng.random(len(both)) < 0.2, "a"] = np.nan
    return table


def table_of(scaling):
    return scaling.to_csv(index=False).encode()


def test_scaling_by_hand():
    targets = pd.DataFrame({"eid": [1, 1, 2, 3, 4], "instance": [3, 2, 2, 2, 2]})
    targets["a"] = [100.0, 1.0, 3.0, np.nan, 9.0]
    splits = pd.DataFrame({"eid": [1, 2, 3, 4], "fold": 0})
    splits["part"] = ["train", "train", "train", "test"]
    scaling = fit_scaling(targets, splits, ["a"])
    assert scaling.iloc[0].tolist() == [0, "a", 2.0, 1.0, 2, fingerprint([3, 2, 1])]
    blocks = apply_scaling(targets, splits, scaling)
    assert blocks["eid"].tolist() == [1, 1, 2, 3, 4]
    assert blocks["a"].tolist() == [-1, 98, 1, 0, 7]
    assert blocks["a__missing"].tolist() == [0, 0, 0, 1, 0]
    assert {str(blocks[c].dtype) for c in ("a", "a__missing")} == {"float32"}


def test_training_people_have_mean_zero_and_sd_one_in_every_fold(targets, splits):
    blocks = apply_scaling(targets, splits, fit_scaling(targets, splits, TRAITS))
    train = blocks.merge(splits, on=["eid", "fold"]).query("part == 'train' and instance == 2")
    for _, fold in train.groupby("fold"):
        answered = fold.loc[fold["a__missing"] == 0, "a"]
        assert abs(answered.mean()) < 1e-5
        assert abs(answered.std(ddof=0) - 1) < 1e-5


def test_the_order_of_rows_changes_no_byte(targets, splits):
    shuffled = targets.sample(frac=1, random_state=1)
    expected = table_of(fit_scaling(targets, splits, TRAITS))
    assert table_of(fit_scaling(shuffled, splits, TRAITS)) == expected


def test_constant_and_unanswered_traits_give_finite_blocks(targets, splits):
    targets["b"] = 0.1
    targets["rare"] = np.nan
    scaling = fit_scaling(targets, splits, TRAITS).set_index(["target", "fold"])
    assert (scaling.loc[["b", "rare"], "sd"] == 1).all()
    blocks = apply_scaling(targets, splits, scaling.reset_index())
    assert np.isfinite(blocks.to_numpy()).all()
    assert (blocks["rare"] == 0).all()
    assert (blocks["rare__missing"] == 1).all()


def leaky_fit(targets, splits, traits):
    return fit_scaling(targets, splits.assign(part="train"), traits)


def canary_scaling_ignores(part, fit, targets, splits):
    """Alter each value of each person of a part, by value, by loss and by the whole column."""
    hold_out = splits[splits["fold"] == 0]
    before = table_of(fit(targets, hold_out, TRAITS))
    others = targets["eid"].isin(hold_out.loc[hold_out["part"] == part, "eid"])
    assert others.any()
    for trait in TRAITS:
        for altered in (1e6, np.nan):
            for row in targets.index[others]:
                changed = targets.copy()
                changed.loc[row, trait] = altered
                assert table_of(fit(changed, hold_out, TRAITS)) == before
    overwritten = targets.copy()
    overwritten.loc[others, "b"] = overwritten.loc[others, "a"]
    assert table_of(fit(overwritten, hold_out, TRAITS)) == before


@pytest.mark.parametrize("part", ["validation", "test"])
def test_canary_nobody_outside_training_is_fitted_on(part, targets, splits):
    canary_scaling_ignores(part, fit_scaling, targets, splits)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_canary_sings_for_a_leaky_scaler(part, targets, splits):
    with pytest.raises(AssertionError):
        canary_scaling_ignores(part, leaky_fit, targets, splits)


def test_training_people_do_count(targets, splits):
    changed = targets.copy()
    changed.loc[changed["eid"] == 100, "b"] = 1e6
    before, after = (table_of(fit_scaling(t, splits, TRAITS)) for t in (targets, changed))
    assert before != after
