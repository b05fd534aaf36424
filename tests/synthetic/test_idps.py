import numpy as np
import pandas as pd
import pytest
from population import population

from ukb_brain.synthetic import idps
from ukb_brain.synthetic.factors import FACTORS, own_at, site_indicators
from ukb_brain.synthetic.people import SITES, latents, variates
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.table import main_table
from ukb_brain.tables.dictionary import known_of

SIZES = {"voxel_mm": 8, "regions": 25, "time_points": 60, "seed": 20240}
COUNT = 300
NAMES = [f.name for group in idps.GROUPS for f in FACTORS[group]]


def table_of(participants, count):
    return main_table(SyntheticCohort(participants=participants, idps=count, **SIZES))


@pytest.fixture(scope="module")
def table():
    return table_of(400, COUNT)


@pytest.fixture(scope="module")
def first(table):
    """Numbers of the first imaging visit."""
    columns = [f"{field}-2.0" for field in idps.FIELDS[:COUNT]]
    return table[columns].replace("", np.nan).astype(float)


def test_fields_are_uk_biobanks_and_each_comes_once():
    assert len(set(idps.FIELDS)) == len(idps.FIELDS) == 840
    titles = [known_of(field).title for field in idps.FIELDS]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    assert {known_of(field).value_type for field in idps.FIELDS} == {"continuous"}


def test_they_change_nothing_else_of_the_table(table):
    without = table_of(400, 0)
    assert table[without.columns].equals(without)
    fewer = table_of(40, 30)
    assert table.loc[:39, fewer.columns].equals(fewer)


def test_they_are_plausible_amounts(first):
    means = first.mean()
    assert means["25011-2.0"] == pytest.approx(7.6e3, rel=0.05)
    assert means["25056-2.0"] == pytest.approx(0.5, rel=0.05)
    assert means["25104-2.0"] == pytest.approx(7.6e-4, rel=0.05)
    assert (first.min() > 0).all()
    assert first["25781-2.0"].skew() > 1


def test_some_are_missing_by_themselves_and_some_with_their_scan(first):
    structural = [idps.group_of(field) == "structural" for field in idps.FIELDS[:COUNT]]
    missing = first[first.notna().any(axis=1)].isna()
    alone = missing.mean(axis=1)
    assert 0.002 < alone[alone < 0.2].mean() < 0.01
    for mine, share in ((structural, 0.02), (np.logical_not(structural), 0.05)):
        assert 0.2 * share < missing.loc[:, mine].all(axis=1).mean() < 3 * share


def test_they_follow_the_factors_that_the_persons_images_have(first):
    """With nothing but own noise left once factors and styles are known."""
    z = latents(variates(20240, range(1, 401)))
    people = [{name: column[k : k + 1] for name, column in z.items()} for k in range(400)]
    seen = np.concatenate([idps.seen_by(p, own_at(2, 20240, k)) for k, p in enumerate(people, 1)])
    known = idps.loadings(COUNT)
    for column in (3, 20, 40, 200, 280):
        values = first.iloc[:, column]
        there = values.notna().to_numpy()
        expected = np.corrcoef(values[there], (seen @ known.seen[column])[there])[0, 1]
        rest = known.noise[column] ** 2 + (known.styles[column] ** 2).sum()
        shown = np.var(seen @ known.seen[column])
        assert expected == pytest.approx(np.sqrt(shown / (shown + rest)), abs=0.1)


def test_a_repeat_is_mostly_the_same(table):
    both = [(f"{f}-2.0", f"{f}-3.0") for f in idps.FIELDS[:COUNT:10]]
    numbers = table.replace("", np.nan)
    again = [numbers[[a, b]].astype(float).dropna().corr().iloc[0, 1] for a, b in both]
    assert 0.7 < np.mean(again) < 0.98


def test_signs_are_those_of_ageing(first):
    age = pd.Series(latents(variates(20240, range(1, 401)))["age"])
    signs = {"25003": 1, "25005": -1, "25781": 1, "25056": -1, "25104": 1}
    for field, sign in signs.items():
        assert sign * first[f"{field}-2.0"].corr(age) > 0.05, field


@pytest.mark.parametrize("count", [261, 300])
def test_the_oracle_reads_factors_with_the_error_that_it_claims(count):
    known, error = idps.loadings(count), idps.readout_error(count)
    assert error.shape == (len(NAMES) + 1 + len(SITES),) * 2
    rng = np.random.default_rng(0)
    n = 4000
    _e, z, _values = population(n, rng)
    own = {g: rng.standard_normal((n, len(FACTORS[g]))) for g in idps.GROUPS}
    seen = idps.seen_by(z, own)
    noise = known.styles @ known.styles.T + np.diag(known.noise**2)
    values = seen @ known.seen.T + rng.multivariate_normal(np.zeros(count), noise, n)
    read = values @ np.linalg.solve(noise, known.seen) @ error
    # Of factors and the head; sites are told apart by a prior.
    k = len(NAMES) + 1
    found = np.cov((read - seen)[:, :k].T)
    np.testing.assert_allclose(np.diag(found), np.diag(error)[:k], rtol=0.15)


def test_more_phenotypes_are_read_better():
    few, many = (np.diag(idps.readout_error(count)) for count in (261, 840))
    assert (many < few + 1e-9).all()


def test_sites_are_seen():
    z = latents(variates(1, range(1, 9)))
    own = {g: np.zeros((8, len(FACTORS[g]))) for g in idps.GROUPS}
    np.testing.assert_array_equal(idps.seen_by(z, own)[:, -len(SITES) :], site_indicators(z))
