import numpy as np
import pandas as pd
import pytest

from ukb_brain.statistics.certainty.exchange import coarse_strata


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
