import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ukb_brain.errors import InputError
from ukb_brain.tables.splits import PARTS, Splitting, check_disjoint, make_splits


def cohort(n=400, seed=0, family_size=1.2):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "eid": 9_000_001 + rng.permutation(n),
            "instance": 2,
            "family": rng.integers(0, max(1, int(n / family_size)), n),
            "site": rng.choice([11025, 11026, 11027], n, p=[0.5, 0.3, 0.2]),
            "age": rng.normal(64, 8, n),
            "sex": rng.integers(0, 2, n).astype(float),
        }
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(120, 300), size=st.floats(1, 3))
def test_families_stay_whole_and_fractions_hold(seed, n, size):
    people = cohort(n, seed, size)
    splits = make_splits(people, Splitting(min_per_part=1), seed)
    merged = splits.merge(people, on="eid", validate="one_to_one")
    assert len(merged) == n
    assert (merged.groupby("family")["part"].agg(set).str.len() == 1).all()
    largest = people["family"].value_counts().max()
    counts = merged["part"].value_counts()
    for part, fraction in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
        assert abs(counts[part] - fraction * n) <= largest


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_the_order_of_rows_and_numbers_of_families_change_nothing(seed):
    people = cohort(seed=seed)
    expected = make_splits(people, Splitting(), 7)
    renumbered = people.assign(family=1000 - people["family"]).sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(make_splits(renumbered, Splitting(), 7), expected)


def test_another_seed_gives_another_split():
    people = cohort()
    first, second = (make_splits(people, Splitting(), seed) for seed in (1, 2))
    assert (first["part"] != second["part"]).mean() > 0.1


def test_strata_are_split_in_proportion():
    people = cohort(2000, family_size=0.01).assign(family=np.arange(2000))
    merged = make_splits(people, Splitting(), 3).merge(people, on="eid")
    for stratum in (["site"], ["sex"], ["site", "sex"]):
        test_share = (merged["part"] == "test").groupby([merged[s] for s in stratum]).agg("mean")
        assert test_share.between(0.09, 0.11).all(), test_share
    old = merged["age"] >= 75
    assert abs((merged.loc[old, "part"] == "test").sum() - 0.1 * old.sum()) <= 3


def test_all_visits_of_a_person_share_a_part_and_unknown_strata_are_split_too():
    people = cohort()
    people.loc[:50, ["age", "sex"]] = np.nan
    second = people[:100].assign(instance=3, age=90.0, site=11028)
    both = make_splits(pd.concat([second, people]), Splitting(), 5)
    pd.testing.assert_frame_equal(both, make_splits(people, Splitting(), 5))


def test_a_cohort_that_is_too_small_says_how_many_it_has():
    with pytest.raises(InputError, match=r"30 participants give train 24.*at least 5.*more"):
        make_splits(cohort(30, family_size=0.01).assign(family=range(30)), Splitting(), 1)


def test_fractions_must_add_up():
    with pytest.raises(ValidationError, match="add up to 1"):
        Splitting(train=0.8, validation=0.2, test=0.1)


def splits_of(*rows):
    return pd.DataFrame(rows, columns=["eid", "fold", "part"])


def test_a_person_in_two_parts_is_counted_and_never_named():
    leaky = splits_of((9000001, 0, "train"), (9000001, 0, "test"), (9000002, 0, "test"))
    with pytest.raises(InputError, match=r"1 participants.*1 in test and train") as caught:
        check_disjoint(leaky)
    assert "9000001" not in str(caught.value)


def test_parts_may_differ_between_folds():
    check_disjoint(splits_of((1, 0, "train"), (1, 1, "test"), (2, 0, "test"), (2, 1, "train")))


def test_a_family_in_two_parts_is_refused():
    splits = splits_of((1, 0, "train"), (2, 0, "test"))
    check_disjoint(splits, pd.DataFrame({"eid": [1, 2], "family": [0, 1]}))
    with pytest.raises(InputError, match="1 families are in more than one part"):
        check_disjoint(splits, pd.DataFrame({"eid": [1, 2], "family": [0, 0]}))


def test_everybody_needs_a_part():
    people = pd.DataFrame({"eid": [1, 2, 3], "family": [0, 1, 2]})
    with pytest.raises(InputError, match="2 of 3 participants have no part"):
        check_disjoint(splits_of((1, 0, "train")), people)
