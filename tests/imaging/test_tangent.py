"""Tangent space, held to scipy's matrix functions and to scikit-learn's covariances."""

import numpy as np
import pytest
from scipy.linalg import expm, logm, sqrtm
from sklearn.covariance import ledoit_wolf

from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.imaging.tangent import (
    completed,
    covariances,
    logarithms,
    regions_lacking,
    shrinkage_of_time_series,
    tangents,
    whitening,
)

REGIONS = 7


def series(seed, points=40, scale=1.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(REGIONS, 3))
    values = mixing @ rng.normal(size=(3, points)) + rng.normal(size=(REGIONS, points))
    return 10 + scale * values


@pytest.fixture(scope="module")
def matrices():
    people = [series(seed) for seed in range(6)]
    z = np.stack([fisher_z_of_time_series(x) for x in people])
    return covariances(z, np.array([shrinkage_of_time_series(x) for x in people]))


@pytest.mark.parametrize("points", [5, 40, 400])
def test_covariances_are_those_of_ledoit_and_wolf(points):
    x = series(3, points, scale=5.0)
    standard = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    expected, _ = ledoit_wolf(standard.T)
    z, shrinkage = fisher_z_of_time_series(x), shrinkage_of_time_series(x)
    found = covariances(z[None], np.array([shrinkage]))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.linalg.eigvalsh(found).min() > 0


def test_a_region_that_does_not_vary_says_nothing_of_the_others():
    x = series(2)
    more = np.vstack([x, np.full(x.shape[1], 3.0)])
    assert shrinkage_of_time_series(more) == shrinkage_of_time_series(x)


def test_logarithms_are_scipys(matrices):
    expected = [logm(matrix) for matrix in matrices]
    np.testing.assert_allclose(logarithms(matrices), expected, atol=1e-10)


def test_a_matrix_with_filled_gaps_has_a_logarithm():
    broken = np.array([[[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]]])
    assert np.linalg.eigvalsh(broken).min() < 0
    assert np.isfinite(logarithms(broken)).all()


def test_tangents_are_logarithms_about_the_log_euclidean_mean(matrices):
    reference = expm(np.mean([logm(m) for m in matrices], axis=0))
    root = np.linalg.inv(sqrtm(reference))
    expected = np.stack([logm(root @ m @ root) for m in matrices])
    white = whitening(logarithms(matrices).mean(axis=0))
    found = tangents(matrices, white)
    assert found.shape == (len(matrices), REGIONS * (REGIONS + 1) // 2)
    # Distances between vectors are those between matrices.
    for k in range(1, len(matrices)):
        distance = np.linalg.norm(found[k] - found[0])
        assert distance == pytest.approx(np.linalg.norm(expected[k] - expected[0]), rel=1e-4)
    rows, columns = np.tril_indices(REGIONS)
    apart = rows != columns
    np.testing.assert_allclose(found[:, ~apart], expected[:, rows, columns][:, ~apart], atol=1e-5)
    np.testing.assert_allclose(
        found[:, apart], np.sqrt(2) * expected[:, rows, columns][:, apart], atol=1e-5
    )


def test_the_reference_itself_is_the_origin(matrices):
    mean = logarithms(matrices).mean(axis=0)
    at_mean = expm(mean)[None]
    np.testing.assert_allclose(tangents(at_mean, whitening(mean)), 0, atol=1e-6)


# --- regions that somebody lacks --------------------------------------------------------------


def test_a_region_is_lacking_where_no_edge_of_it_is_known():
    z = np.ones((3, 6))  # edges 10, 20, 21, 30, 31, 32 of four regions
    z[1, [0, 1, 3]] = np.nan
    z[2, 0] = np.nan
    expected = [[False] * 4, [True, False, False, False], [False] * 4]
    np.testing.assert_array_equal(regions_lacking(z), expected)


def test_what_is_lacking_is_as_the_references_regressions_imply(matrices):
    """Of a normal distribution: what is there is the person's, what is not follows from it."""
    reference, lacking = matrices[1:].mean(0), np.zeros((6, REGIONS), dtype=bool)
    lacking[0, [2, 5]] = True
    found = completed(matrices, lacking, reference)
    np.testing.assert_array_equal(found[1:], matrices[1:])
    gone, there = [2, 5], [0, 1, 3, 4, 6]
    rng = np.random.default_rng(0)
    known = rng.multivariate_normal(np.zeros(5), matrices[0][np.ix_(there, there)], 400_000)
    slopes = np.linalg.solve(reference[np.ix_(there, there)], reference[np.ix_(there, gone)])
    rest = reference[np.ix_(gone, gone)] - reference[np.ix_(gone, there)] @ slopes
    other = known @ slopes + rng.multivariate_normal(np.zeros(2), rest, len(known))
    drawn = np.empty((len(known), REGIONS))
    drawn[:, there], drawn[:, gone] = known, other
    np.testing.assert_allclose(found[0], np.cov(drawn.T), atol=0.02)


def test_who_lacks_a_region_keeps_an_inverse_and_the_reference_stays_at_the_origin(matrices):
    reference = expm(logarithms(matrices).mean(0))
    lacking = np.zeros((1, REGIONS), dtype=bool)
    lacking[0, 3] = True
    broken = matrices[:1].copy()
    broken[0, 3], broken[0, :, 3] = np.nan, np.nan
    assert np.linalg.eigvalsh(completed(broken, lacking, reference)[0]).min() > 0
    mean = reference[None].copy()
    mean[0, 3], mean[0, :, 3] = np.nan, np.nan
    white = whitening(logarithms(matrices).mean(0))
    np.testing.assert_allclose(tangents(completed(mean, lacking, reference), white), 0, atol=1e-6)
