from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ukb_brain.synthetic.people import (
    AGE_HIGH,
    AGE_LOW,
    FAMILY_BLOCK,
    HERITABLE,
    ITEMS,
    OWN,
    SITES,
    VARIATES,
    family_of,
    latents,
    variates,
)

# Shares of UK Biobank's imaging sub-sample that are 1.
SHARES = {
    "sex": 0.47, "handedness": 0.89, "smoking": 0.37, "hypertension": 0.24, "asthma": 0.12,
    "atopy": 0.25, "mood_swings": 0.40, "miserableness": 0.38, "irritability": 0.25,
    "sensitivity": 0.52, "fed_up": 0.36, "nervous": 0.20, "anxious": 0.52, "tense": 0.14,
    "worry": 0.45, "lonely": 0.15, "guilty": 0.27,
}  # fmt: skip
# Mean and SD, of everyone or of men and women.
AMOUNTS = {
    "age": ((64, 7.7), (64, 7.7)),
    "weight": ((83.5, 13), (68.5, 13)),
    "body_fat": ((25, 6), (36, 7)),
    "hb": ((15.0, 1.0), (13.5, 0.9)),
    "hdl": ((1.28, 0.31), (1.60, 0.38)),
    "hba1c": ((35, 5), (35, 5)),
    "ldl": ((3.6, 0.85), (3.6, 0.85)),
    "reaction_time": ((594, 105), (594, 105)),
}


def test_all_25_targets_have_a_known_marginal(people):
    assert set(people[2]) == set(SHARES) | set(AMOUNTS)


@pytest.mark.parametrize(("target", "share"), SHARES.items())
def test_shares(people, target, share):
    values = people[2][target]
    assert set(np.unique(values)) == {0.0, 1.0}
    assert values.mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("target", "of_sexes"), AMOUNTS.items())
def test_amounts(people, target, of_sexes):
    _, z, traits = people
    for male, (mean, sd) in zip((1, 0), of_sexes, strict=True):
        values = traits[target][z["male"] == male]
        assert values.mean() == pytest.approx(mean, abs=0.2 * sd)
        assert values.std() == pytest.approx(sd, rel=0.08)


def test_ages_stay_within_their_range(people):
    age = people[2]["age"]
    assert age.min() >= AGE_LOW
    assert age.max() <= AGE_HIGH


@pytest.mark.parametrize("target", ["hba1c", "reaction_time"])
def test_some_amounts_are_skewed_to_the_right(people, target):
    assert 0.5 < scipy.stats.skew(people[2][target]) < 3
    assert people[2][target].min() > 0


@pytest.mark.parametrize("target", ["weight", "hb", "ldl"])
def test_other_amounts_are_not(people, target):
    assert abs(scipy.stats.skew(people[2][target])) < 0.4


def test_latents_are_standardised(people):
    for name, values in people[1].items():
        if name not in ("age_years", "male", "site_code"):
            assert abs(values.mean()) < 0.06, name
            assert values.std() == pytest.approx(1, abs=0.08), name


def test_variates_are_independent(people):
    together = np.corrcoef(list(people[0].values()))
    assert abs(together - np.eye(len(VARIATES))).max() < 0.04
    assert set(HERITABLE).isdisjoint(OWN)


def test_psychology_shares_one_factor(people):
    items = np.corrcoef([people[2][name] for name in ITEMS if name != "guilty"])
    values, vectors = np.linalg.eigh(items)
    assert values[-1] > 2.2
    assert values[-2] < 1.1
    loadings = vectors[:, -1] * np.sign(vectors[:, -1].sum())
    assert (loadings > 0.1).all()


@pytest.mark.parametrize(
    ("one", "other", "sign"),
    [
        ("age", "reaction_time", 1), ("age", "hypertension", 1), ("body_fat", "hdl", -1),
        ("weight", "body_fat", 1), ("hypertension", "mood_swings", 1), ("sex", "lonely", -1),
        ("sex", "weight", 1), ("asthma", "body_fat", 1), ("hba1c", "weight", 1),
        ("smoking", "mood_swings", 1),
    ],
)  # fmt: skip
def test_traits_are_related_as_is_plausible(people, one, other, sign):
    """Sexes apart, and given age where neither is age or sex."""
    _, z, traits = people
    if "sex" in (one, other):
        assert sign * scipy.stats.spearmanr(traits[one], traits[other]).statistic > 0.03
        return
    for male in (0, 1):
        some = z["male"] == male
        x, y = traits[one][some], traits[other][some]
        if "age" not in (one, other):
            age = z["age"][some]
            x, y = (v - np.polyval(np.polyfit(age, v, 1), age) for v in (x, y))
        assert sign * np.corrcoef(x, y)[0, 1] > 0.03


@pytest.mark.parametrize("target", ["guilty", "ldl"])
def test_traits_without_signal_are_related_to_nothing(people, target):
    _e, z, traits = people
    others = [traits[name] for name in traits if name != target] + [z[name] for name in z]
    found = [abs(np.corrcoef(traits[target], other)[0, 1]) for other in others]
    assert max(found) < 0.035


def test_atopy_depends_on_the_site_and_on_nothing_else(people):
    _, z, traits = people
    shares = {code: traits["atopy"][z["site_code"] == code].mean() for code in SITES}
    assert max(shares.values()) - min(shares.values()) > 0.25
    within = [
        abs(np.corrcoef(traits["atopy"][at], z[name][at])[0, 1])
        for code in SITES
        for name in ("age", "sex", "adiposity", "complaint", "neuroticism")
        for at in [z["site_code"] == code]
    ]
    assert max(within) < 0.09


def test_hb_is_carried_by_age_and_sex(people):
    _e, z, traits = people
    X = np.column_stack([np.ones_like(z["age"]), z["age"], z["male"]])
    residual = traits["hb"] - X @ np.linalg.lstsq(X, traits["hb"], rcond=None)[0]
    for name in z:
        assert abs(np.corrcoef(residual, z[name])[0, 1]) < 0.03, name


def test_a_trait_never_reads_another_persons_numbers(people):
    e, z, _traits = people
    few = {name: values[5:9] for name, values in e.items()}
    for name, values in latents(few).items():
        np.testing.assert_allclose(values, z[name][5:9], err_msg=name)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), numbers=st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_a_person_is_the_same_whoever_else_is_there(seed, numbers):
    together = variates(seed, numbers)
    for k, number in enumerate(numbers):
        alone = variates(seed, [number])
        assert all(together[name][k] == alone[name][0] for name in VARIATES)


def test_people_differ_by_number_and_seed():
    first = variates(1, [1])
    for other in (variates(1, [2]), variates(2, [1])):
        assert not any(first[name][0] == other[name][0] for name in VARIATES)


def test_the_cohorts_own_draws_follow_the_model():
    drawn = variates(3, range(1, 1501))
    for name, values in drawn.items():
        assert abs(values.mean()) < 0.12, name
        assert values.std() == pytest.approx(1, abs=0.1), name


def test_families_are_two_or_three_within_a_block():
    families = {n: family_of(5, n) for n in range(1, 2001)}
    sizes = Counter(Counter(families.values()).values())
    assert set(sizes) == {1, 2, 3}
    # One family in each block of twenty.
    assert sizes[2] + sizes[3] == 2000 // FAMILY_BLOCK
    assert sizes[2] > sizes[3] > 0
    for number, family in families.items():
        assert family <= number
        assert (family - 1) // FAMILY_BLOCK == (number - 1) // FAMILY_BLOCK
        assert families[family] == family


def test_siblings_share_half_the_variance_of_what_is_heritable():
    pairs = [(family_of(s, n), n) for s in range(40) for n in range(1, 201)]
    seeds = [s for s in range(40) for _ in range(200)]
    siblings = [(s, a, b) for s, (a, b) in zip(seeds, pairs, strict=True) if a != b]
    assert len(siblings) > 400
    first = [variates(s, [a]) for s, a, _ in siblings]
    second = [variates(s, [b]) for s, _, b in siblings]

    def correlation(names):
        a = np.concatenate([[p[name][0] for name in names] for p in first])
        b = np.concatenate([[p[name][0] for name in names] for p in second])
        return np.corrcoef(a, b)[0, 1]

    assert correlation(HERITABLE) == pytest.approx(0.5, abs=0.06)
    assert correlation(OWN) == pytest.approx(0, abs=0.04)
