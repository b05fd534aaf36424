from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, false_discovery_control, kstest, permutation_test

from ukb_brain.statistics.certainty.permutation import (
    NullInput,
    max_statistic_p,
    null_scores,
    permutation_p,
    permutation_table,
)

SCHEME = ("site", "sex", "age")


def target(y, predicted, strata=None, kind="continuous", family=None, fold=None, eid=None):
    n = len(y)
    eid = np.arange(n) if eid is None else eid
    return NullInput(
        target="t",
        kind=kind,
        threshold=np.zeros((1, predicted.shape[1])),
        folds=(0,),
        inputs=tuple(f"cell {at}" for at in range(predicted.shape[1])),
        visit=np.column_stack([eid, np.full(n, 2)]),
        family=eid if family is None else family,
        fold=np.zeros(n, dtype=int) if fold is None else fold,
        strata=np.zeros(n, dtype=int) if strata is None else strata,
        scheme=SCHEME,
        y=y,
        predicted=predicted,
    )


def within(rejections, trials, level, chance=1e-4):
    """Whether so many rejections are no more than chance allows at the level."""
    return rejections <= binom.isf(chance, trials, level)


def with_strata(rng, n=120, cells=3, effect=0.0, kind="continuous"):
    """Predictions and values that both follow the stratum, and each other only by the effect."""
    strata = rng.integers(0, 4, n)
    level = np.array([-1.0, 0.0, 0.5, 2.0])[strata]
    shared = rng.normal(size=(n, 1))
    predicted = level[:, None] + 0.5 * shared + rng.normal(size=(n, cells))
    y = level + effect * shared[:, 0] + rng.normal(size=n)
    return target((y > 0.5) * 1.0 if kind == "binary" else y, predicted, strata, kind)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_p_is_uniform_though_strata_tell_and_without_strata_it_is_not(kind):
    rng = np.random.default_rng(1)
    trials, p, naive = 200, [], []
    for trial in range(trials):
        one = with_strata(rng, kind=kind)
        for strata, into in ((one.strata, p), (0 * one.strata, naive)):
            found = null_scores({"y": replace(one, strata=strata)}, 99, trial)["y"]
            into.append(permutation_p(found.observed, found.null)[0])
    assert kstest(p, "uniform", alternative="two-sided").pvalue > 1e-3
    assert within(np.sum(np.array(p) <= 0.05), trials, 0.05)
    assert np.mean(np.array(naive) <= 0.05) > 0.8


def test_the_largest_score_of_all_targets_and_cells_is_rarely_called_by_chance():
    rng = np.random.default_rng(2)
    trials, single, corrected = 200, 0, 0
    for trial in range(trials):
        one, other = with_strata(rng), with_strata(rng, kind="binary")
        # Values of the two targets are related, and their predictions are.
        other = replace(
            other,
            strata=one.strata,
            y=(one.y + rng.normal(size=120) > 0.5) * 1.0,
            predicted=one.predicted + rng.normal(size=(120, 3)),
        )
        scores = null_scores({"one": one, "other": other}, 99, trial)
        observed = np.concatenate([found.observed for found in scores.values()])
        null = np.concatenate([found.null for found in scores.values()], axis=1)
        single += (permutation_p(observed, null) <= 0.05).any()
        corrected += (max_statistic_p(observed, null) <= 0.05).any()
    assert within(corrected, trials, 0.05)
    # The correction does something, and is not so strict that it could not fail.
    assert single > 1.5 * corrected
    assert corrected > 0


def test_an_association_within_strata_is_found_in_every_correction():
    rng = np.random.default_rng(3)
    found = 0
    for trial in range(20):
        scores = null_scores({"y": with_strata(rng, effect=1.0)}, 199, trial)
        table = permutation_table(scores, {"y": ["all"] * 3})
        found += (table[["p", "p_bh", "p_max"]] <= 0.05).all(axis=None)
    assert found >= 18


def test_families_are_exchanged_whole_or_relatives_would_count_as_evidence():
    trials, of_families, of_people = 200, [], []
    rng = np.random.default_rng(4)
    for trial in range(trials):
        family = np.repeat(np.arange(30), 4)
        y, p = rng.normal(size=(2, 30))[:, family] + 0.3 * rng.normal(size=(2, 120))
        for relatives, into in ((family, of_families), (np.arange(120), of_people)):
            found = null_scores({"y": target(y, p[:, None], family=relatives)}, 99, trial)["y"]
            into.append(permutation_p(found.observed, found.null)[0])
    assert kstest(of_families, "uniform").pvalue > 1e-3
    assert within(np.sum(np.array(of_families) <= 0.05), trials, 0.05)
    assert np.mean(np.array(of_people) <= 0.05) > 0.12


def test_p_is_that_of_scipy_s_permutation_test():
    rng = np.random.default_rng(5)
    y = rng.normal(size=40)
    p = 0.2 * y + rng.normal(size=40)
    found = null_scores({"y": target(y, p[:, None])}, 4999, 1)["y"]
    theirs = permutation_test(
        (y,), lambda y: -np.sum((y - p) ** 2), permutation_type="pairings",
        n_resamples=4999, alternative="greater", rng=np.random.default_rng(2),
    )  # fmt: skip
    ours = permutation_p(found.observed, found.null)[0]
    assert 0.02 < theirs.pvalue < 0.5
    assert ours == pytest.approx(theirs.pvalue, abs=4 * np.sqrt(0.5 / 4999))


def test_targets_share_their_permutations_and_those_of_another_scheme_do_not():
    rng = np.random.default_rng(6)
    y, p = rng.normal(size=(2, 80))
    one = target(y, p[:, None], rng.integers(0, 3, 80))
    reversed_ = replace(
        one,
        visit=one.visit[::-1], family=one.family[::-1], strata=one.strata[::-1], y=3 * y[::-1],
        predicted=3 * p[::-1, None], fold=one.fold[::-1],
    )  # fmt: skip
    scores = null_scores({"a": one, "b": reversed_}, 50, 1)
    np.testing.assert_allclose(scores["a"].null, scores["b"].null, atol=1e-12)
    elsewhere = replace(one, scheme=("site", "sex"), strata=0 * one.strata)
    scores = null_scores({"a": one, "b": elsewhere}, 50, 1)
    assert (np.abs(scores["a"].null - scores["b"].null) > 1e-6).mean() > 0.9
    np.testing.assert_array_equal(scores["a"].null, null_scores({"a": one}, 50, 1)["a"].null)


def test_scores_of_related_targets_stay_related_though_some_people_lack_one():
    rng = np.random.default_rng(7)
    y, p = rng.normal(size=(2, 300))
    second = y + 0.3 * rng.normal(size=300)
    has = rng.random(300) > 0.05
    whole = target(y, p[:, None])
    part = target(second[has], p[has, None], eid=np.flatnonzero(has))
    scores = null_scores({"whole": whole, "part": part}, 400, 1)
    related = np.corrcoef(scores["whole"].null[:, 0], scores["part"].null[:, 0])[0, 1]
    assert related > 0.75


def test_labels_stay_in_their_fold_and_among_people_with_the_same_inputs():
    rng = np.random.default_rng(8)
    n = 90
    predicted = rng.normal(size=(n, 2))
    scanned, fold = rng.random(n) < 0.6, rng.integers(0, 2, n)
    predicted[~scanned, 0] = np.nan
    # People without a scan have other values: as labels of scanned people they would stand out.
    y = rng.normal(size=n) + 100 * ~scanned + 1000 * fold
    found = null_scores({"y": target(y, predicted, fold=fold)}, 30, 1)["y"]
    total = [np.sum((y[who] - y[who].mean()) ** 2) for who in (scanned, np.full(n, True))]
    # R² of the scanned is near that of their own mean squares, since their labels are the same.
    expected = 1 - np.sum((y - predicted[:, 0])[scanned] ** 2) / total[0]
    np.testing.assert_allclose(found.null[:, 0], expected, rtol=0.05)
    # A cell that predicts the fold keeps on doing so under every permutation.
    predicted[:, 1] += 1000 * fold
    found = null_scores({"y": target(y, predicted, fold=fold)}, 30, 1)["y"]
    assert (found.null[:, 1] > 0.9).all()
    assert (found.null.std(axis=0) > 0).all()


def test_pieces_and_the_order_of_targets_change_nothing(monkeypatch):
    rng = np.random.default_rng(9)
    one, other = with_strata(rng), with_strata(rng)
    other = replace(other, strata=one.strata)
    whole = null_scores({"a": one, "b": other}, 40, 1)
    monkeypatch.setattr("ukb_brain.statistics.certainty.permutation.LARGEST_CHUNK", 700)
    pieces = null_scores({"b": other, "a": one}, 40, 1)
    assert list(pieces) == ["b", "a"]
    for key in whole:
        np.testing.assert_allclose(pieces[key].null, whole[key].null, atol=1e-12)


def test_who_cannot_move_is_counted_and_weakens_nothing():
    y, p = np.arange(10.0), np.arange(10.0)
    strata = np.r_[np.arange(4), np.full(6, 4)]
    found = null_scores({"y": target(y, p[:, None], strata)}, 50, 1)["y"]
    assert found.moved == pytest.approx(0.6)
    alone = null_scores({"y": target(y, p[:, None], np.arange(10))}, 50, 1)["y"]
    assert alone.moved == 0
    assert permutation_p(alone.observed, alone.null)[0] == 1
    assert max_statistic_p(alone.observed, alone.null)[0] == 1


def test_p_counts_ties_and_undefined_permutations_against_the_observed():
    observed = np.array([0.5, 0.5, np.nan])
    null = np.array([[0.5 - 1e-13, 0.1, 0.1], [0.1, np.nan, 0.1], [0.2, 0.2, 0.1], [0.6, 0.3, 0.1]])
    np.testing.assert_allclose(permutation_p(observed, null), [3 / 5, 2 / 5, np.nan])


def test_the_maximum_is_of_standardised_scores():
    rng = np.random.default_rng(10)
    null = rng.normal(size=(999, 3)) * [1, 50, 0] + [0, -100, 0.25]
    # Five SD in a narrow null, none in a wide one that would hide it, and a constant prediction.
    found = max_statistic_p(np.array([5.0, -100.0, 0.25]), null)
    assert found[0] == pytest.approx(1 / 1000)
    assert (found[1:] > 0.5).all()
    assert np.isnan(max_statistic_p(np.array([np.nan, 1.0]), null[:, :2])[0])
    assert np.isnan(max_statistic_p(np.array([np.nan]), null[:, :1])).all()


def test_the_table_corrects_within_declared_families():
    rng = np.random.default_rng(11)
    one = with_strata(rng, effect=0.4)
    other = replace(with_strata(rng), strata=one.strata)
    other = replace(other, predicted=np.where([True, True, False], other.predicted, np.nan))
    scores = null_scores({"a": one, "b": other}, 199, 1)
    declared = {"a": ["x", "x", "z"], "b": ["x", "z", "z"]}
    table = permutation_table(scores, declared)
    assert table["target"].tolist() == list("aaabbb")
    assert table["tests"].tolist() == list("xxzxzz")
    assert table.loc[5, ["skill", "p", "p_bh", "p_max", "p_max_family"]].isna().all()
    for family, rows in table[:5].groupby("tests"):
        np.testing.assert_allclose(rows["p_bh"], false_discovery_control(rows["p"]))
        null = np.concatenate([one.null for one in scores.values()], axis=1)[:, rows.index]
        np.testing.assert_allclose(rows["p_max_family"], max_statistic_p(rows["skill"], null))
        assert family in "xz"
    known = table[:5]
    assert (known["p_max"] >= known["p_max_family"] - 0.02).all()
    assert (known["p_max_family"] >= known["p"] - 0.05).all()
    assert set(table["permutations"]) == {199}
    assert not any("eid" in name for name in table)
    assert isinstance(table, pd.DataFrame)


def test_people_without_the_target_and_contradictions_are_refused():
    rng = np.random.default_rng(12)
    one = with_strata(rng)
    with pytest.raises(ValueError, match="not finite"):
        null_scores({"a": replace(one, y=np.r_[np.nan, one.y[1:]])}, 9, 1)
    with pytest.raises(ValueError, match="twice"):
        null_scores({"a": replace(one, visit=0 * one.visit)}, 9, 1)
    with pytest.raises(ValueError, match="disagree"):
        null_scores({"a": one, "b": replace(one, strata=one.strata + 1)}, 9, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_p_values_keep_their_level_over_many_cohorts_with_strata_relatives_and_folds(kind):
    rng = np.random.default_rng(13)
    trials, p, worst = 2000, [], []
    for trial in range(trials):
        one = with_strata(rng, 150, 4, kind=kind)
        family = np.where(np.arange(150) < 60, np.arange(150) // 2, np.arange(150))
        fold = family % 2
        missing = rng.random((150, 4)) < [0, 0.1, 0.1, 0]
        predicted = np.where(missing, np.nan, one.predicted + fold[:, None])
        one = replace(one, family=family, fold=fold, predicted=predicted)
        found = null_scores({"y": one}, 199, trial)["y"]
        p.append(permutation_p(found.observed, found.null))
        worst.append(np.min(max_statistic_p(found.observed, found.null)))
    p, worst = np.array(p), np.array(worst)
    for level in (0.01, 0.05, 0.1):
        for cell in range(4):
            assert within((p[:, cell] <= level).sum(), trials, level)
        assert within((worst <= level).sum(), trials, level)
    assert (worst <= 0.05).mean() > 0.03
