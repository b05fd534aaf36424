import numpy as np
import pytest

from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.synthetic.connectomes import (
    EFFECTS,
    MOTION,
    NODES_25750,
    REGION_NOISE,
    SCALE_25750,
    loadings,
    matrix_25750,
    readout_error,
    simulate,
    streamlines,
)
from ukb_brain.synthetic.factors import FACTORS
from ukb_brain.synthetic.people import SITES

N_FACTORS = len(FACTORS["functional"])


def weights_of(*factors):
    """Weights of someone with these factors, and average in all else."""
    weights = np.zeros(len(EFFECTS))
    weights[: len(factors)] = factors
    return weights


def test_shapes_of_series_and_matrix():
    series, nodes = simulate(weights_of(), 0.0, 31, 70, np.random.default_rng(0))
    assert series.shape == (31, 70)
    assert nodes.shape == (21, 70)
    assert matrix_25750(nodes).shape == (210,)


def test_a_structural_connectome_follows_the_factors_of_diffusion():
    first, second = np.eye(len(FACTORS["diffusion"]))[:2]

    def drawn(factors, seed):
        return streamlines(factors, 60, np.random.default_rng(seed))

    one = drawn(first, 0)
    assert (one == one.T).all()
    assert (one >= 0).all()
    assert (one % 1 == 0).all()
    assert 0.5 < (one > 0).mean() < 0.65
    # A factor changes everybody's in the same pattern, and another factor in another.
    changes = [
        np.log1p(drawn(4 * of, seed)) - np.log1p(drawn(-4 * of, seed + 1))
        for of, seed in ((first, 2), (first, 4), (second, 6))
    ]
    among = np.corrcoef([change.ravel() for change in changes])
    assert among[0, 1] > 0.5
    assert abs(among[0, 2]) < 0.2


def test_covariance_is_that_of_the_loadings():
    person = weights_of(1.5, -1, 0.5, 2.0)
    series, _ = simulate(person, 0.0, 26, 60_000, np.random.default_rng(0))
    base = loadings(person, 26)
    expected = base @ base.T + MOTION**2 + REGION_NOISE**2 * np.eye(26)
    np.testing.assert_allclose(np.cov(series), expected, atol=0.12)


def test_matrix_is_scaled_fisher_z_with_values_beyond_one():
    _, nodes = simulate(weights_of(), 0.0, 25, 490, np.random.default_rng(0))
    values = matrix_25750(nodes)
    np.testing.assert_allclose(values, SCALE_25750 * fisher_z_of_time_series(nodes), rtol=1e-6)
    assert np.abs(values).max() > 2
    # Column-wise: the second entry is of nodes 1 and 3, the third of nodes 2 and 3.
    r = np.corrcoef(nodes)
    np.testing.assert_allclose(
        values[:3], 10.65 * np.arctanh([r[0, 1], r[0, 2], r[1, 2]]), rtol=1e-4
    )


@pytest.mark.parametrize("k", range(N_FACTORS), ids=[f.name for f in FACTORS["functional"]])
def test_a_factor_shows_in_both_kinds_of_file(k):
    for nodes in (40, NODES_25750):
        one = weights_of(*np.eye(N_FACTORS)[k])
        change = loadings(one, nodes) - loadings(weights_of(), nodes)
        assert np.abs(change).mean() > 0.03


def test_motion_raises_connectivity():
    means = {}
    for motion in (-2.0, 4.0):
        zs = [
            fisher_z_of_time_series(
                simulate(weights_of(), motion, 40, 200, np.random.default_rng(k))[0]
            ).mean()
            for k in range(20)
        ]
        means[motion] = np.mean(zs)
    assert means[4.0] > means[-2.0] + 0.01


def test_a_longer_scan_with_more_regions_reads_better():
    short, longer = readout_error(25, 60, 300), readout_error(25, 240, 300)
    n = N_FACTORS + len(SITES)
    assert short.shape == (n, n)
    np.testing.assert_allclose(short, short.T, atol=1e-9)
    assert np.linalg.eigvalsh(longer).min() > 0
    assert (np.diag(longer)[:N_FACTORS] < np.diag(short)[:N_FACTORS]).all()
    more = readout_error(50, 240, 300)
    assert np.diag(more)[:N_FACTORS].mean() < np.diag(longer)[:N_FACTORS].mean()


def test_readout_error_is_the_same_each_time():
    np.testing.assert_array_equal(readout_error(25, 60, 50), readout_error(25, 60, 50))
