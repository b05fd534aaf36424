"""ComBat, held to its formulas, to the library as a whole, and to neuroHarmonize."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from neuroCombat import neuroCombat

from ukb_brain.training import combat
from ukb_brain.training.combat import fit_combat

NOBODY = np.empty(0, dtype=np.int64)
GOLDEN = [
    [1.8102, 2.2776, 0.9399, 0.4158],
    [1.9211, 0.4858, 1.2598, 0.0697],
    [0.8989, 1.0234, 1.2358, 0.5657],
]


def several_sites(sizes=(50, 40, 20, 10), numbers=60, seed=0):
    """Sites with a location and a scale of their own in every number."""
    rng = np.random.default_rng(seed)
    site = np.repeat(11025 + np.arange(len(sizes)), sizes)
    at = site - 11025
    values = rng.normal(size=(len(site), numbers)) * rng.uniform(0.5, 2, numbers) + 5
    values *= rng.uniform(0.6, 1.6, (len(sizes), numbers))[at]
    return values + rng.normal(0.3, 0.6, (len(sizes), numbers))[at], site


def harmonised(values, site, others=None, other_site=NOBODY):
    return fit_combat(values, site, values[:0] if others is None else others, other_site)


def by_the_formulas(values, site):
    """Johnson et al. 2007, written down from the paper."""
    residual = values.copy()
    for code in np.unique(site):
        residual[site == code] -= values[site == code].mean(axis=0)
    mean, sd = values.mean(axis=0), np.sqrt((residual**2).mean(axis=0))
    z, found = (values - mean) / sd, np.empty_like(values)
    for code in np.unique(site):
        own = z[site == code]
        n, g, d = len(own), own.mean(axis=0), own.var(axis=0, ddof=1)
        expected, spread = g.mean(), g.var(ddof=1)
        shape = 2 + d.mean() ** 2 / d.var(ddof=1)
        rate = d.mean() * (shape - 1)
        star, delta = g, d
        for _ in range(200):
            star = (n * spread * g + delta * expected) / (n * spread + delta)
            delta = (((own - star) ** 2).sum(axis=0) / 2 + rate) / (n / 2 + shape - 1)
        found[site == code] = (own - star) / np.sqrt(delta) * sd + mean
    return found


def test_it_is_what_the_formulas_say():
    values, site = several_sites()
    found = harmonised(values, site).apply(values, site)
    np.testing.assert_allclose(found, by_the_formulas(values, site), atol=5e-5)
    assert np.abs(found - values).max() > 1


def test_it_is_what_the_library_gives_as_a_whole(monkeypatch):
    values, site = several_sites()
    with contextlib.redirect_stdout(io.StringIO()):
        expected = neuroCombat(values.T, pd.DataFrame({"site": site}), "site")["data"].T
    np.testing.assert_allclose(harmonised(values, site).apply(values, site), expected, atol=1e-5)
    monkeypatch.setattr(combat, "NUMBERS", 7)
    np.testing.assert_allclose(harmonised(values, site).apply(values, site), expected, atol=5e-4)


def test_it_is_what_neuroharmonize_gives():
    """Its release 2.5.2, on these numbers."""
    n = np.arange(12)
    site = n % 3
    values = np.sin(np.outer(n + 1, [1.0, 2.3, 0.7, 3.1])) * (1 + site[:, None])
    values += 0.5 * site[:, None] * np.array([1, 2, -1, 0.5])
    found = harmonised(values, site).apply(values, site)
    np.testing.assert_allclose(found[:3], GOLDEN, atol=2e-4)


def test_location_and_scale_of_large_sites_are_gone():
    values, site = several_sites((3000, 2000), numbers=20)
    found = harmonised(values, site).apply(values, site)
    one, two = found[site == 11025], found[site == 11026]
    sd = found.std(axis=0)
    before = np.abs(values[site == 11025].mean(axis=0) - values[site == 11026].mean(axis=0))
    assert before.max() > 0.5
    assert (np.abs(one.mean(axis=0) - two.mean(axis=0)) / sd).max() < 0.01
    np.testing.assert_allclose(one.std(axis=0), two.std(axis=0), rtol=0.01)


def test_a_new_site_is_made_alike_by_its_own_people_who_change_nothing_else():
    values, site = several_sites((60, 50, 4000), numbers=30)
    trained = site < 11027
    own = np.flatnonzero(site == 11027)[:2000]
    plain = harmonised(values[trained], site[trained])
    found = harmonised(values[trained], site[trained], values[own], site[own])
    np.testing.assert_array_equal(found.sites, [11025, 11026, 11027])
    np.testing.assert_array_equal(found.scale[:2], plain.scale)
    np.testing.assert_array_equal(found.shift[:2], plain.shift)
    # The site's other people come to the mean and the spread of everybody.
    unseen = found.apply(values, site)[np.flatnonzero(site == 11027)[2000:]]
    mean = values[trained].mean(axis=0)
    within = np.sqrt(np.mean([values[site == code].var(axis=0) for code in (11025, 11026)], axis=0))
    assert (np.abs(unseen.mean(axis=0) - mean) / within).max() < 0.15
    np.testing.assert_allclose(unseen.std(axis=0) / within, 1, atol=0.15)
    # Without them it passes through.
    np.testing.assert_array_equal(
        plain.apply(values, site)[site == 11027], values[site == 11027].astype(np.float32)
    )


def test_few_people_of_a_new_site_are_shrunk_towards_its_other_numbers():
    values, site = several_sites((200, 200, 8), numbers=500)
    trained = site < 11027
    own, trained = values[~trained], values[trained]
    found = harmonised(trained, site[:400], own, site[400:])
    z = found.apply(own, site[400:])
    centred = np.abs(z.mean(axis=0) - trained.mean(axis=0))
    # Taken at their word, their mean would be that of everybody.
    assert np.median(centred) > 0.05
    assert np.median(centred) < np.median(np.abs(own.mean(axis=0) - trained.mean(axis=0)))


def test_one_training_site_is_what_a_new_one_is_made_like():
    values, site = several_sites((500, 500), numbers=10)
    first = site == 11025
    found = harmonised(values[first], site[first], values[~first], site[~first])
    np.testing.assert_array_equal(found.scale[0], 1)
    np.testing.assert_array_equal(found.shift[0], 0)
    moved = found.apply(values, site)
    np.testing.assert_allclose(moved[~first].mean(axis=0), values[first].mean(axis=0), atol=0.15)


@pytest.mark.parametrize("numbers", [1, 2])
def test_a_number_alone_is_taken_at_its_word(numbers):
    values, site = several_sites((40, 30), numbers=numbers)
    found = harmonised(values, site).apply(values, site)
    assert np.isfinite(found).all()
    apart = found[site == 11025].mean(axis=0) - found[site == 11026].mean(axis=0)
    assert np.abs(apart).max() < 0.1


def test_numbers_that_are_the_same_say_nothing_of_each_other():
    values, site = several_sites((40, 30), numbers=1)
    values = np.hstack([values, values])
    found = harmonised(values, site, np.full((5, 2), 3.0), np.full(5, 99))
    moved = found.apply(values, site)
    assert np.isfinite(moved).all() and np.isfinite(found.scale).all()
    assert np.abs(moved[site == 11025].mean() - moved[site == 11026].mean()) < 0.1


def test_what_does_not_vary_at_a_site_stays():
    values, site = several_sites((40, 30), numbers=5)
    values[:, 1] = 3
    values[site == 11025, 2] = 7
    found = harmonised(values, site).apply(values, site)
    np.testing.assert_array_equal(found[:, 1:3], values[:, 1:3].astype(np.float32))
    assert np.isfinite(found).all()
    assert not np.allclose(found[:, 0], values[:, 0])


def test_numbers_that_all_stay_are_no_error():
    values, site = np.ones((20, 3)), np.repeat([1, 2], 10)
    np.testing.assert_array_equal(harmonised(values, site).apply(values, site), values)
