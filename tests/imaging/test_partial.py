"""Partial correlations and tangent space, held to nilearn's."""

import numpy as np
import pytest
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import LedoitWolf

from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.imaging.partial import partial_z
from ukb_brain.imaging.tangent import covariances, shrinkage_of_time_series, tangents


def people(n, regions, points, seed=0):
    """Time series of regions that follow some networks, and each other in time."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        mixing = rng.normal(size=(regions, 8))
        signal = np.cumsum(rng.normal(size=(8, points)), axis=1)
        signal /= signal.std(axis=1, keepdims=True)
        scale = rng.uniform(1, 20, size=(regions, 1))
        out.append(scale * (mixing @ signal + rng.normal(size=(regions, points))) + 100)
    return out


def matrices_of(series):
    z = np.stack([fisher_z_of_time_series(x) for x in series])
    return covariances(z, np.array([shrinkage_of_time_series(x) for x in series]))


def of_nilearn(kind, series):
    """Of series that were standardised, as its maskers do; it takes them as they are."""
    standard = [(x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) for x in series]
    measure = ConnectivityMeasure(LedoitWolf(store_precision=False), kind=kind)
    return measure, measure.fit_transform([x.T for x in standard])


@pytest.mark.parametrize(("regions", "points"), [(21, 490), (100, 490), (360, 490), (60, 40)])
def test_partial_correlations_are_nilearns(regions, points):
    series = people(2, regions, points)
    _, expected = of_nilearn("partial correlation", series)
    rows, columns = np.tril_indices(regions, -1)
    found = np.tanh(partial_z(matrices_of(series)))
    np.testing.assert_allclose(found, expected[:, rows, columns], atol=5e-6)
    assert np.abs(found).max() > 0.01


def test_a_third_region_explains_what_two_have_in_common():
    """Of a chain 0 - 1 - 2, the ends have a correlation and no partial one."""
    r = 0.6
    chain = np.array([[[1, r, r * r], [r, 1, r], [r * r, r, 1]]])
    z = partial_z(chain)[0]
    assert z[1] == pytest.approx(0, abs=1e-6)
    # Of 0 and 1, given 2: by the formula of three variables.
    expected = (r - r * r * r) / np.sqrt((1 - r**4) * (1 - r * r))
    assert np.tanh(z[0]) == pytest.approx(expected, rel=1e-6)


def test_regions_that_move_as_one_stay_finite():
    almost = 1 - 1e-9
    assert np.isfinite(partial_z(np.array([[[1, almost], [almost, 1]]]))).all()


# Of nilearn's geometric mean, which is as near as it need be here.
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize(("regions", "points"), [(21, 490), (100, 490)])
def test_tangents_at_nilearns_reference_are_nilearns(regions, points):
    """References differ: a geometric mean there, and a log-Euclidean one here."""
    series = people(6, regions, points)
    measure, expected = of_nilearn("tangent", series)
    rows, columns = np.tril_indices(regions)
    found = tangents(matrices_of(series), measure.whitening_)
    scale = np.where(rows == columns, 1, np.sqrt(2))
    np.testing.assert_allclose(found, expected[:, rows, columns] * scale, atol=5e-6)
