import numpy as np
import pytest

from ukb_brain.synthetic.factors import (
    COMPOSITES,
    FACTORS,
    factor_values,
    latent_of,
    site_indicators,
)
from ukb_brain.synthetic.people import SITES

ALL = [(group, k, f) for group, factors in FACTORS.items() for k, f in enumerate(factors)]


@pytest.fixture(scope="module")
def seen(people):
    z = people[1]
    rng = np.random.default_rng(1)
    return {g: factor_values(g, z, rng.standard_normal((20_000, len(FACTORS[g])))) for g in FACTORS}


@pytest.mark.parametrize(("group", "k", "factor"), ALL, ids=[f.name for *_, f in ALL])
def test_a_factor_shows_its_latent_as_strongly_as_it_says(people, seen, group, k, factor):
    values, latent = seen[group][:, k], latent_of(factor, people[1])
    assert np.corrcoef(values, latent)[0, 1] == pytest.approx(factor.rho, abs=0.025)
    assert values.std() == pytest.approx(1, abs=0.05)


def test_names_differ_since_effect_maps_are_seeded_by_them():
    names = [factor.name for *_, factor in ALL]
    assert len(set(names)) == len(names)


def test_factors_vary_on_their_own_beyond_their_latents(people, seen):
    left = []
    for group, k, factor in ALL:
        latent = latent_of(factor, people[1])
        slope = np.polyfit(latent, seen[group][:, k], 1)
        left.append(seen[group][:, k] - np.polyval(slope, latent))
    together = np.corrcoef(left) - np.eye(len(left))
    # Latents are correlated, so a little stays; own variation is not shared.
    assert abs(together).max() < 0.1


def test_speed_needs_structural_and_diffusion_together(people, seen):
    speed = people[1]["speed"]

    def explained(*columns):
        X = np.column_stack([np.ones_like(speed), *columns])
        residual = speed - X @ np.linalg.lstsq(X, speed, rcond=None)[0]
        return 1 - residual.var() / speed.var()

    tissue = seen["structural"][:, [f.name for f in FACTORS["structural"]].index("speed_tissue")]
    fa = seen["diffusion"][:, [f.name for f in FACTORS["diffusion"]].index("white_matter_fa")]
    assert explained(tissue) < 0.13
    assert explained(fa) < 0.01
    assert explained(tissue, fa) > 0.6


@pytest.mark.parametrize("weights", COMPOSITES.values(), ids=COMPOSITES)
def test_composites_have_unit_variance(weights):
    assert sum(w**2 for w in weights.values()) == pytest.approx(1)


def test_no_imaging_group_shows_what_is_planted_as_unseen():
    shown = {name for *_, f in ALL for name in COMPOSITES.get(f.latent, {f.latent: 1})}
    assert shown.isdisjoint({"neuroticism", "complaint", "motion", "height"})


def test_site_indicators(people):
    z = people[1]
    sites = site_indicators(z)
    assert sites.shape == (20_000, len(SITES))
    np.testing.assert_array_equal(sites.sum(axis=1), 1)
    np.testing.assert_array_equal(np.asarray(SITES)[sites.argmax(axis=1)], z["site_code"])
