from collections import Counter
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ukb_brain.statistics.certainty.exchange import Exchange, coarse_strata


def of(eid, family, block, instance=None, seed=1):
    eid = np.asarray(eid)
    visit = np.column_stack([eid, np.full(len(eid), 2) if instance is None else instance])
    return Exchange(visit, np.asarray(family), np.asarray(block), seed)


def singles(n, block=0):
    return of(np.arange(n), np.arange(n), np.broadcast_to(block, n))


cohorts = st.lists(
    st.tuples(st.integers(0, 14), st.integers(0, 2), st.integers(0, 2), st.booleans()),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(cohorts)
def test_labels_keep_blocks_and_families_and_who_has_none(rows):
    person, block, second, eligible = (np.array(column) for column in zip(*rows, strict=True))
    # People of a family: 3f to 3f + 2; those drawn twice have a second visit.
    seen = Counter()
    instance = []
    for one in person:
        instance.append(seen[one])
        seen[one] += 1
    exchange = of(person, person // 3, block + 3 * second, np.array(instance))
    source = exchange.sources(exchange.draw(0, 5), eligible)
    n = len(person)
    moves = exchange.movable(eligible)
    for one in source:
        assert sorted(one) == list(range(n))
        assert (block[one] == block).all()
        assert eligible[one[moves]].all()
        assert (one[~moves] == np.flatnonzero(~moves)).all()
        for family in set(person // 3):
            mine = person // 3 == family
            (giver,) = set((person // 3)[one[mine]])
            assert ((person // 3) == giver).sum() == mine.sum()
        # Visits of one person get labels of one person.
        assert len(set(zip(person, person[one], strict=True))) == len(set(person))


@pytest.mark.parametrize("eligible", [[1, 1, 1], [1, 1, 0, 1], [0, 1, 0, 0, 1, 0, 1, 0]])
def test_each_permutation_of_who_has_a_label_is_equally_likely(eligible):
    eligible = np.array(eligible, dtype=bool)
    exchange = singles(len(eligible))
    source = exchange.sources(exchange.draw(0, 6000), eligible)
    counts = Counter(map(tuple, source[:, eligible].tolist()))
    possible = list(permutations(np.flatnonzero(eligible).tolist()))
    assert set(counts) == set(possible)
    assert chisquare([counts[one] for one in possible]).pvalue > 1e-3


def test_a_permutation_depends_on_its_number_only():
    exchange = singles(50)
    whole = exchange.draw(0, 20)
    np.testing.assert_array_equal(exchange.draw(7, 5), whole[7:12])
    assert (whole[0] != whole[1]).any()


def test_targets_that_few_people_lack_share_nearly_all_of_a_permutation():
    rng = np.random.default_rng(0)
    exchange = singles(1000)
    drawn = exchange.draw(0, 20)
    one = exchange.sources(drawn, np.ones(1000, dtype=bool))
    np.testing.assert_array_equal(one, drawn)
    lacking = rng.random(1000) < 0.05
    other = exchange.sources(drawn, ~lacking)
    assert (one == other)[:, ~lacking].mean() > 0.9


def test_families_of_the_same_blocks_are_exchanged_whatever_the_order_of_eids():
    # Families 0 and 1 are of blocks (7, 8) and (8, 7); family 2 has no counterpart.
    exchange = of([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2], [7, 8, 8, 7, 7, 7])
    assert exchange.movable(np.ones(6, dtype=bool)).tolist() == [True] * 4 + [False] * 2
    assert set(map(tuple, exchange.draw(0, 50).tolist())) == {
        (0, 1, 2, 3, 4, 5),
        (3, 2, 1, 0, 4, 5),
    }


def test_two_visits_of_a_person_are_not_two_relatives():
    exchange = of([1, 1, 2, 3], [0, 0, 1, 1], [7, 7, 7, 7], instance=np.array([2, 3, 2, 2]))
    assert not exchange.movable(np.ones(4, dtype=bool)).any()


def test_a_family_without_a_label_in_part_stays():
    exchange = of([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2], [7] * 6)
    eligible = np.array([1, 1, 1, 0, 1, 1], dtype=bool)
    assert exchange.movable(eligible).tolist() == [True, True, False, False, True, True]
    source = exchange.sources(exchange.draw(0, 50), eligible)
    assert set(map(tuple, source.tolist())) == {(0, 1, 2, 3, 4, 5), (4, 5, 2, 3, 0, 1)}


def people(n=900, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "site": rng.choice([11025, 11026, 11027], n, p=[0.5, 0.3, 0.2]),
            "sex": rng.integers(0, 2, n),
            "age": rng.normal(64, 7, n),
        }
    )


def same_groups(code, *columns):
    """Whether two labellings split the rows in the same way."""
    other = pd.factorize(pd.MultiIndex.from_arrays(columns))[0]
    return len(set(zip(code, other, strict=True))) == len(set(code)) == len(set(other))


@pytest.mark.parametrize("bands", [3, 5])
def test_strata_are_those_of_a_table_grouped_by_pandas(bands):
    table = people()
    band = pd.qcut(table["age"], bands, labels=False)
    found = {key: coarse_strata(table, key, bands, 1) for key in ("weight", "sex", "age")}
    code = {key: one for key, (one, _) in found.items()}
    assert same_groups(code["weight"], table["site"], table["sex"], band)
    assert same_groups(code["sex"], table["site"], band)
    assert same_groups(code["age"], table["site"], table["sex"])
    assert [by for _, by in found.values()] == [
        ("site", "sex", "age"), ("site", "age"), ("site", "sex"),
    ]  # fmt: skip


def written_out(*counts):
    rows = [key for key, n in counts for _ in range(n)]
    site, sex, age = zip(*rows, strict=True)
    return pd.DataFrame({"site": site, "sex": sex, "age": age})


def test_small_strata_give_up_age_then_sex_then_site():
    table = written_out(
        (("a", 0, 50.0), 6), (("a", 0, 70.0), 3), (("a", 0, 75.0), 2),
        (("a", 1, 50.0), 2), (("b", 0, 50.0), 3),
        (("c", 0, 50.0), 2), (("d", 1, 50.0), 2),
    )  # fmt: skip
    # Bands are cut at 50 and 50 and at the highest third, so 70 and 75 share the last one.
    code, _ = coarse_strata(table, "weight", bands=2, smallest=5)
    assert len(set(code[:6])) == 1
    assert len(set(code[6:11])) == 1
    assert code[0] != code[6]
    # 2 of site a, 3 of b, 2 of c and 2 of d are fewer than five in all but the last step.
    assert len(set(code[11:])) == 1
    assert len(set(code)) == 3


def test_each_step_takes_only_who_is_left():
    table = written_out(
        (("a", 0, 50.0), 20), (("a", 0, 70.0), 2), (("a", 0, 80.0), 2), (("a", 1, 50.0), 4),
        (("b", 1, 50.0), 20), (("b", 1, 70.0), 5), (("b", 1, 80.0), 5),
    )  # fmt: skip
    wide, _ = coarse_strata(table, "weight", bands=1, smallest=4)
    assert len(set(wide)) == 3
    fine, _ = coarse_strata(table, "weight", bands=10, smallest=4)
    # The four of site a and sex 0 who are too few in their bands become one stratum of their own.
    assert len(set(fine[20:24])) == 1
    assert fine[20] not in set(fine[:20]) | set(fine[24:])
    assert np.bincount(fine).min() == 4


def test_the_target_is_left_out_when_small_strata_give_up_parts():
    table = people(60)
    code, by = coarse_strata(table, "age", smallest=30)
    assert set(by) == {"sex", "site"}
    assert len(code) == 60
    assert code.min() == 0


def test_what_is_absent_is_a_category_of_its_own():
    table = people(400)
    table.loc[:49, "age"] = np.nan
    code, _ = coarse_strata(table, "weight", smallest=1)
    assert not set(code[:50]) & set(code[50:])


def test_nobody_has_no_strata():
    assert len(coarse_strata(people(0), "weight")[0]) == 0
