import hashlib
import logging
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ukb_brain.errors import InputError
from ukb_brain.tables.splits import (
    PARTS,
    SET_ASIDE,
    Splitting,
    check_disjoint,
    make_splits,
    training_fingerprints,
)

SITES = [11025, 11026, 11027]
BANDS = (55, 60, 65, 70, 75)


def cohort(n=400, seed=0, family_size=1.2):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "eid": 9_000_001 + rng.permutation(n),
            "instance": 2,
            "family": rng.integers(0, max(1, int(n / family_size)), n),
            "site": rng.choice(SITES, n, p=[0.5, 0.3, 0.2]),
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


def test_the_hold_out_is_what_it_was_before_there_were_folds():
    i = np.arange(300)
    family = i // 2 * (i % 3 > 0) + (1000 + i) * (i % 3 == 0)
    people = pd.DataFrame({"eid": 9_000_001 + i, "instance": 2, "family": family})
    people = people.assign(site=11025 + i % 3, age=45.0 + i * 7 % 40, sex=(i % 2).astype(float))
    # Bands were fixed then.
    splits = make_splits(people, Splitting(age_bands=BANDS), 7)
    assert set(splits["fold"]) == {0}
    parts = "".join(splits["part"].str[0]).encode()
    assert hashlib.sha256(parts).hexdigest()[:16] == "628908deaf220760"


def k_fold(folds=5, **settings):
    return Splitting(scheme="k_fold", folds=folds, min_per_part=1, **settings)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(120, 300),
    size=st.floats(1, 3),
    folds=st.integers(2, 10),
    validation=st.sampled_from([0.05, 0.1, 0.3]),
)
def test_in_k_folds_everybody_is_tested_once_in_whole_families(seed, n, size, folds, validation):
    people = cohort(n, seed, size)
    fractions = {"train": 0.9 - validation, "validation": validation}
    splits = make_splits(people, k_fold(folds, **fractions), seed)
    assert (splits.groupby("eid")["fold"].agg(set) == set(range(folds))).all()
    assert len(splits) == folds * n
    assert (splits.loc[splits["part"] == "test", "eid"].value_counts() == 1).all()
    assert (splits["part"] == "test").sum() == n
    merged = splits.merge(people, on="eid")
    assert (merged.groupby(["fold", "family"])["part"].agg(set).str.len() == 1).all()
    largest = people["family"].value_counts().max()
    share = validation / 0.9
    for _, fold in splits.groupby("fold"):
        counts = fold["part"].value_counts()
        assert abs(counts["test"] - n / folds) <= largest
        assert abs(counts["validation"] - share * (n - counts["test"])) <= largest


def test_k_folds_are_in_proportion_and_differ():
    people = cohort(2000, family_size=0.01).assign(family=np.arange(2000))
    merged = make_splits(people, k_fold(age_bands=BANDS), 3).merge(people, on="eid")
    for stratum in (["site"], ["sex"], ["site", "sex"]):
        for part, share in (("test", 0.2), ("validation", 0.8 / 9)):
            shares = (
                (merged["part"] == part).groupby([merged[s] for s in ["fold", *stratum]]).mean()
            )
            assert shares.between(share - 0.01, share + 0.01).all(), shares
    old = merged[merged["age"] >= 75]
    tested = (old["part"] == "test").groupby(old["fold"]).sum()
    assert tested.max() - tested.min() <= 6
    assert len(set(training_fingerprints(merged).values())) == 5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.floats(1, 3), moved=st.integers(0, 30))
def test_a_left_out_site_is_tested_and_nothing_tied_to_it_is_learned_from(seed, size, moved):
    first = cohort(300, seed, size)
    # Some come back, to another site.
    again = first[:moved].assign(instance=3, site=np.roll(first["site"], 7)[:moved])
    visits = pd.concat([first, again])
    splitting = Splitting(scheme="leave_one_site_out", min_per_part=1)
    splits = make_splits(visits, splitting, seed)
    assert splits["fold"].unique().tolist() == [0, 1, 2]
    absent = 0
    for fold, site in enumerate(SITES):
        part = splits[splits["fold"] == fold].set_index("eid")["part"]
        assert set(part.index[part == "test"]) == set(first.loc[first["site"] == site, "eid"])
        tied = set(visits.loc[visits["site"] == site, "family"])
        learned = first[first["eid"].isin(part.index[part != "test"])]
        assert not tied & set(learned["family"])
        # Nobody else is left out.
        assert set(learned["eid"]) == set(first.loc[~first["family"].isin(tied), "eid"])
        share = (part == "validation").sum() / len(learned)
        assert abs(share - 1 / 9) <= first["family"].value_counts().max() / len(learned)
        absent += len(first) - len(part)
    assert absent > 0 or size < 1.1
    assert (splits.loc[splits["part"] == "test", "eid"].value_counts() == 1).all()


def test_a_small_site_is_learned_from_and_never_tested(caplog):
    people = cohort(family_size=0.01).assign(family=range(400))
    people.loc[:3, "site"] = 11028
    with caplog.at_level(logging.INFO):
        splits = make_splits(people, Splitting(scheme="leave_one_site_out"), 1)
    assert "4 people at 1 sites with fewer than 5 people are never tested" in caplog.text
    assert "9000" not in caplog.text
    small = splits[splits["eid"].isin(people["eid"][:4])]
    assert len(small) == 3 * 4
    assert set(small["part"]) <= {"train", "validation"}


def test_somebody_with_relatives_at_every_site_has_no_turn_and_that_is_no_error():
    people = cohort(family_size=0.01).assign(
        family=range(400), site=[*SITES[:2] * 199, 11028, 11028]
    )
    people.loc[[0, 1, 399], "family"] = 1000
    splits = make_splits(people, Splitting(scheme="leave_one_site_out"), 1)
    assert people["eid"][399] not in set(splits["eid"])
    assert people["eid"][398] in set(splits["eid"])
    check_disjoint(splits, people)


def test_one_site_cannot_be_left_out():
    with pytest.raises(InputError, match=r"1 of 1 sites have at least 5 people.*hold_out"):
        make_splits(cohort().assign(site=11025), Splitting(scheme="leave_one_site_out"), 1)


def test_a_fold_that_is_too_small_stops():
    apart = cohort(30, family_size=0.01).assign(family=range(30))
    with pytest.raises(InputError, match=r"30 participants give train 21, validation 3, test 6"):
        make_splits(apart, Splitting(scheme="k_fold"), 1)


@pytest.mark.parametrize("scheme", ["k_fold", "leave_one_site_out"])
def test_the_order_of_rows_changes_no_fold(scheme):
    people = cohort()
    expected = make_splits(people, Splitting(scheme=scheme), 7)
    renumbered = people.assign(family=1000 - people["family"]).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(make_splits(renumbered, Splitting(scheme=scheme), 7), expected)
    pd.testing.assert_frame_equal(expected.sort_values(["fold", "eid"]), expected)


def splits_of(*rows):
    return pd.DataFrame(rows, columns=["eid", "fold", "part"])


def test_a_person_in_two_parts_is_counted_and_never_named():
    leaky = splits_of((9000001, 0, "train"), (9000001, 0, "test"), (9000002, 0, "test"))
    with pytest.raises(InputError, match=r"1 participants.*1 in test and train") as caught:
        check_disjoint(leaky)
    assert "9000001" not in str(caught.value)


def test_parts_may_differ_between_folds():
    check_disjoint(splits_of((1, 0, "train"), (1, 1, "test"), (2, 0, "test"), (2, 1, "train")))


def test_a_person_tested_in_two_folds_is_counted_and_never_named():
    twice = splits_of((9000001, 0, "test"), (9000001, 1, "test"), (9000002, 0, "test"))
    with pytest.raises(InputError, match="1 participants are in the test part of more") as caught:
        check_disjoint(twice)
    assert "9000001" not in str(caught.value)


def test_a_family_in_two_parts_is_refused():
    splits = splits_of((1, 0, "train"), (2, 0, "test"))
    check_disjoint(splits, pd.DataFrame({"eid": [1, 2], "family": [0, 1]}))
    with pytest.raises(InputError, match="1 families are in more than one part"):
        check_disjoint(splits, pd.DataFrame({"eid": [1, 2], "family": [0, 0]}))


def test_everybody_needs_a_part():
    people = pd.DataFrame({"eid": [1, 2, 3], "family": [0, 1, 2]})
    with pytest.raises(InputError, match="2 of 3 participants have no part"):
        check_disjoint(splits_of((1, 0, "train")), people)


@pytest.mark.parametrize("youngest", [0, 20, 50])
def test_age_bands_follow_the_cohort(youngest):
    people = cohort(2000, family_size=0.01).assign(family=np.arange(2000), site=11025, sex=0.0)
    # A cohort younger than UK Biobank's is split in proportion too.
    people["age"] = youngest + np.random.default_rng(1).gamma(2, 5, len(people))
    merged = make_splits(people, Splitting(), 3).merge(people, on="eid")
    bands = pd.qcut(merged["age"], 6)
    tested = (merged["part"] == "test").groupby(bands, observed=True).mean()
    assert tested.between(0.095, 0.105).all(), tested


def test_ages_of_one_value_or_none_are_one_band():
    for age in (60.0, np.nan):
        splits = make_splits(cohort().assign(age=age), Splitting(), 1)
        assert splits["eid"].nunique() == 400


def own_parts(people):
    parts = make_splits(people, Splitting(), 9)
    return parts.sample(frac=1, random_state=0)


OF_FILE = Splitting(scheme="file")


def test_the_users_own_parts_are_taken_as_they_are():
    people = cohort()
    own = own_parts(people)
    expected = own.sort_values(["fold", "eid"], ignore_index=True)
    pd.testing.assert_frame_equal(make_splits(people, OF_FILE, 1, own), expected)
    more = pd.concat([own, splits_of((1, 0, "train"))])
    pd.testing.assert_frame_equal(make_splits(people, OF_FILE, 1, more), expected)


def no_parts(people):
    return own_parts(people)[:-1]


def straddling(people):
    family = people.groupby("family").filter(lambda f: len(f) > 1).sort_values("family")[:2]
    own = own_parts(people)
    own.loc[own["eid"] == family["eid"].iloc[0], "part"] = "train"
    own.loc[own["eid"] == family["eid"].iloc[1], "part"] = "test"
    return own


OWN_PARTS = {
    "`splitting.scheme` file without a file": (
        lambda people: None,
        "there is no splits.csv among the raw files",
    ),
    "`splits.csv` without a column `fold`": (
        lambda people: own_parts(people).drop(columns="fold"),
        "splits.csv lacks column(s) fold",
    ),
    "`splits.csv` with parts of other names": (
        lambda people: own_parts(people).replace("validation", "dev"),
        "splits.csv has parts called dev; expected train, validation, test",
    ),
    "`splits.csv` with somebody twice": (
        lambda people: pd.concat([own_parts(people), own_parts(people)[:2]]),
        "splits.csv has 2 row(s) of people who have a part in that fold",
    ),
    "`splits.csv` without somebody of the cohort": (
        no_parts,
        "splits.csv gives no part to 1 of 400 participants",
    ),
    "`splits.csv` that parts a family": (
        straddling,
        "1 families are in more than one part of the splits",
    ),
    "`splits.csv` without validation people": (
        lambda people: own_parts(people).replace("validation", "train"),
        "validation 0",
    ),
}


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(own, marks=pytest.mark.bad_input(given=given, says=says), id=given)
        for given, (own, says) in OWN_PARTS.items()
    ],
)
def test_own_parts_that_cannot_be_used(own, says):
    people = cohort()
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        make_splits(people, OF_FILE, 1, own(people))
    assert "9000" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_people_set_aside_are_whole_families_of_the_site_and_are_not_tested():
    people = cohort()
    plain = Splitting(scheme="leave_one_site_out")
    aside = plain.model_copy(update={"set_aside": 12})
    before, after = (make_splits(people, some, 3) for some in (plain, aside))
    for fold, site in enumerate(SITES):
        old, new = (s[s["fold"] == fold].set_index("eid")["part"] for s in (before, after))
        chosen = new.index[new == SET_ASIDE]
        mine = people.set_index("eid").loc[chosen]
        assert (mine["site"] == site).all()
        assert 12 <= len(chosen) < 12 + people["family"].value_counts().max()
        assert (old[chosen] == "test").all()
        pd.testing.assert_series_equal(old.drop(chosen), new.drop(chosen))
        assert not set(mine["family"]) & set(
            people.loc[people["eid"].isin(new.index[new == "test"]), "family"]
        )
    check_disjoint(after, people)
    # More of them are those and others; another seed takes others.
    more = make_splits(people, aside.model_copy(update={"set_aside": 30}), 3)
    first = {
        *zip(*after.loc[after["part"] == SET_ASIDE, ["eid", "fold"]].T.to_numpy(), strict=True)
    }
    assert first < {
        *zip(*more.loc[more["part"] == SET_ASIDE, ["eid", "fold"]].T.to_numpy(), strict=True)
    }
    other = make_splits(people, aside, 4)
    assert not other.equals(after)


def test_a_site_that_has_not_enough_for_both_is_not_tested(caplog):
    people = cohort().assign(family=range(400))
    few = int((people["site"] == 11027).sum())
    splitting = Splitting(scheme="leave_one_site_out", set_aside=few - 4)
    with caplog.at_level(logging.INFO):
        splits = make_splits(people, splitting, 1)
    assert splits["fold"].nunique() == 2
    assert "are never tested" in caplog.text
