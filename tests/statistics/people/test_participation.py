import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.people.participation import match_participation, score_weighted


def draws(n, number=200):
    return FamilyDraws(range(n), number, 1).weights(range(n))


def test_weights_follow_people_and_who_has_none_is_missing():
    table = pd.DataFrame({"eid": [3, 1, 9], "weight": [0.5, 2.0, 1]})
    found = match_participation([1, 2, 3, 1], table)
    np.testing.assert_array_equal(found, [2.0, np.nan, 0.5, 2.0])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"eid": [1], "w": [1.0]}, "no column weight"),
        ({"eid": [1, 1], "weight": [1.0, 2]}, "1 rows of people that it holds already"),
        ({"eid": [1, 2], "weight": ["0", "many"]}, "2 weights that are not positive"),
        ({"eid": [1, 2], "weight": [0.0, np.nan]}, "2 weights that are not positive"),
        ({"eid": [77], "weight": [1.0]}, "None of 2 imaging visits"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_clear_error(table, says):
    with pytest.raises(InputError, match=says) as error:
        match_participation([1, 2], pd.DataFrame(table))
    assert "\n" not in str(error.value)
    assert "77" not in str(error.value)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_weighted_scores_are_those_of_scikit_learn(kind):
    rng = np.random.default_rng(0)
    y, share = rng.normal(size=80), rng.exponential(size=80)
    p = y + rng.normal(size=80)
    y = (y > 0).astype(float) if kind == "binary" else y
    share[[3, 60]] = np.nan
    row = score_weighted(kind, y, p, share, draws(80))
    at = np.isfinite(share)
    score = sk.roc_auc_score if kind == "binary" else sk.r2_score
    weighted = score(y[at], p[at], sample_weight=share[at])
    assert row["plain"] == pytest.approx(score(y[at], p[at]))
    assert row["weighted"] == pytest.approx(weighted)
    assert row["difference"] == pytest.approx(weighted - row["plain"])
    assert row["n"] == 78
    assert row["n_effective"] == pytest.approx(share[at].sum() ** 2 / (share[at] ** 2).sum())


def test_equal_weights_change_nothing():
    rng = np.random.default_rng(1)
    y, p = rng.normal(size=(2, 50))
    row = score_weighted("continuous", y, p, np.full(50, 3.0), draws(50))
    assert row["difference"] == pytest.approx(0, abs=1e-12)
    # The same in every draw: nothing was compared.
    assert np.isnan([row["difference_low"], row["difference_high"]]).all()
    assert row["n_effective"] == pytest.approx(50)


def test_weights_repair_planted_selection():
    """The healthy take part more, and are read worse."""
    rng = np.random.default_rng(2)
    n = 200_000
    ill = rng.random(n) < 0.4
    y = rng.normal(size=n)
    p = 0.7 * y + np.where(ill, 0.3, 1.0) * rng.normal(size=n)
    population = sk.r2_score(y, p)
    chance = np.where(ill, 0.01, 0.05)
    at = rng.random(n) < chance
    row = score_weighted("continuous", y[at], p[at], 1 / chance[at], draws(at.sum()))
    assert row["weighted_low"] < population < row["weighted_high"]
    assert row["plain_high"] < population
    assert row["difference_low"] > 0
