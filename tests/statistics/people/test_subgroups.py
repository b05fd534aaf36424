import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from statsmodels.stats.multitest import multipletests

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.inputs.comparisons import two_sided_p
from ukb_brain.statistics.people.subgroups import (
    flag_differences,
    label_subgroups,
    score_subgroups,
)

N = 400


def participants():
    return pd.DataFrame(
        {
            "sex": [0.0, 1, np.nan, 1],
            "age": [54.9, 55, 75, np.nan],
            "site": [11025, 11026, -1, 11025],
            "ethnic_background": [1001.0, 3, -3, np.nan],
            "deprivation": [-4.0, -1, 5, np.nan],
        }
    )


def case(seed=0, n=N, noise=(1.0, 1.0)):
    """Continuous target, read with another noise in either half."""
    rng = np.random.default_rng(seed)
    half = rng.permutation(np.repeat([0, 1], [n - n // 3, n // 3]))
    y = rng.normal(size=n)
    p = 0.5 * y + 0.5 * np.array(noise)[half] * rng.normal(size=n)
    return y, p, pd.DataFrame({"half": np.array(["a", "b"])[half]})


def draws(n=N, number=300, seed=1):
    return FamilyDraws(range(n), number, seed).weights(range(n))


def test_labels_name_what_is_known():
    labels = label_subgroups(participants())
    assert labels["sex"].tolist()[:2] == ["female", "male"]
    assert labels["age_band"].tolist()[:3] == ["under 55", "55 to under 65", "75 and over"]
    assert labels["site"].tolist()[:2] == ["11025", "11026"]
    assert labels["ethnic_background"].tolist()[:2] == ["White", "Asian"]
    assert labels["deprivation"].tolist()[:3] == ["least", "middle", "most"]
    missing = {"sex": 2, "age_band": 3, "site": 2, "ethnic_background": 3, "deprivation": 3}
    assert all(pd.isna(labels.loc[row, column]) for column, row in missing.items())


def test_columns_that_are_not_there_are_no_subgroups():
    few = participants().drop(columns=["ethnic_background", "deprivation"])
    assert list(label_subgroups(few)) == ["sex", "age_band", "site"]


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_scores_are_those_of_scikit_learn(kind):
    y, p, labels = case()
    y = (y > 0).astype(float) if kind == "binary" else y
    labels.loc[:4, "half"] = None
    table = score_subgroups(kind, y, p, labels, draws()).set_index("subgroup")
    score = sk.roc_auc_score if kind == "binary" else sk.r2_score
    a, b = ((labels["half"] == one).to_numpy() for one in "ab")
    assert table.loc["a", "score"] == pytest.approx(score(y[a], p[a]))
    expected = score(y[a], p[a]) - score(y[b], p[b])
    assert table["difference"].tolist() == pytest.approx([expected, -expected])
    assert table.loc["a", "difference_low"] == pytest.approx(-table.loc["b", "difference_high"])
    assert table["n"].tolist() == [a.sum(), b.sum()]
    assert table["n"].sum() == N - 5


def test_a_planted_difference_is_flagged_and_others_are_not():
    y, p, labels = case(noise=(0.3, 1.5))
    labels["arbitrary"] = np.where(np.arange(N) % 2, "odd", "even")
    table = flag_differences(score_subgroups("continuous", y, p, labels, draws()))
    assert table.set_index("subgroup")["differs"].to_dict() == {
        "a": True,
        "b": True,
        "even": False,
        "odd": False,
    }


def test_small_subgroups_have_neither_scores_nor_counts():
    y, p, labels = case()
    labels["half"] = ["few"] * 9 + ["many"] * (N - 9)
    row = score_subgroups("continuous", y, p, labels, draws()).set_index("subgroup")
    assert row.loc["few", "status"] == "few people: under 10"
    assert row.loc["many", "status"] == "few others: under 10 people, or in a class"
    # The number of the many would give that of the few away.
    assert row.drop(columns=["subgroup_of", "status"]).isna().all(axis=None)
    rare = (np.arange(N) % 40 == 0).astype(float)
    labels["half"] = np.where(np.arange(N) < N // 2, "a", "b")
    table = score_subgroups("binary", rare, p, labels, draws())
    assert table["status"].tolist() == ["few people in a class: under 10"] * 2
    assert table["n"].isna().all()


def test_p_agrees_with_the_interval():
    rng = np.random.default_rng(2)
    for shift in (0.0, 1.0, 1.9, 2.1, 3.0):
        drawn = rng.normal(shift, 1, 4000)
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert (two_sided_p(shift, drawn) < 0.05) == (low > 0 or high < 0)
    assert two_sided_p(1.0, np.ones(99)) == pytest.approx(0.02)
    assert two_sided_p(0.0, np.zeros(99)) == 1
    # Few draws do not keep it from being small where the difference is large.
    assert two_sided_p(6.0, rng.normal(6, 1, 999)) < 1e-6


def test_flags_are_those_of_statsmodels():
    p = np.array([0.001, 0.04, np.nan, 0.02, 0.6, 0.03])
    table = flag_differences(pd.DataFrame({"p": p}), 0.04)
    known = np.isfinite(p)
    rejected, adjusted, *_ = multipletests(p[known], 0.04, "fdr_bh")
    np.testing.assert_allclose(table["p_adjusted"][known], adjusted)
    assert table["differs"][known].tolist() == rejected.tolist()
    assert not table["differs"][2]
    assert not flag_differences(pd.DataFrame({"p": [np.nan]}))["differs"].any()


def test_labels_of_others_are_refused():
    y, p, labels = case()
    with pytest.raises(ValueError, match="399 labels of 400 people"):
        score_subgroups("continuous", y, p, labels.iloc[1:], draws())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_false_flags_are_rare_without_differences(kind):
    """Subgroups of a third, 300 people in all: p below .05 in about 5 % of trials."""
    significant = []
    for trial in range(600):
        y, p, labels = case(trial, 300)
        y = (y > 0).astype(float) if kind == "binary" else y
        table = score_subgroups(kind, y, p, labels, draws(300, 399, trial))
        significant.append(table["p"][0] < 0.05)
    print(kind, np.mean(significant))
    assert np.mean(significant) <= 0.08
