"""Connectivity in tangent space: covariances as logarithms about the mean of some people.

Covariances live on a curved surface, on which differences between correlations are not straight
lines. In the tangent space at a reference they are (Varoquaux et al., MICCAI 2010). The reference
is the log-Euclidean mean (Arsigny et al., Magnetic Resonance in Medicine 56:411, 2006), which has a
closed form. Covariances are of standardised series and shrunk after Ledoit and Wolf (Journal of
Multivariate Analysis 88:365, 2004), so that they have inverses however short the series are.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage

from ukb_brain.imaging.connectivity import nodes_of, regions_there

Matrices = NDArray[np.float64]
# Matrices with filled gaps may have no inverse.
LEAST_EIGENVALUE = 1e-4


def shrinkage_of_time_series(series: NDArray[np.floating]) -> float:
    """Find how far correlations are to be shrunk towards 0, from 0 to 1.

    Parameters
    ----------
    series : ndarray of shape (regions, time_points)
        Regions that do not vary are left out.
    """
    there = series[regions_there(series)].astype(np.float64)
    standard = (there - there.mean(axis=1, keepdims=True)) / there.std(axis=1, keepdims=True)
    return float(ledoit_wolf_shrinkage(standard.T, assume_centered=True))


def covariances(z: NDArray[np.floating], shrinkage: NDArray[np.floating]) -> Matrices:
    """Turn Fisher's z into shrunk covariances of standardised series.

    Parameters
    ----------
    z : ndarray of shape (n, edges)
        In the order of `ukb_brain.imaging.connectivity.fisher_z_of_time_series`; complete.
    shrinkage : ndarray of shape (n,)
        From `shrinkage_of_time_series`.

    Returns
    -------
    ndarray of shape (n, regions, regions)
        With ones on the diagonal.
    """
    regions = nodes_of(z.shape[1])
    rows, columns = np.tril_indices(regions, -1)
    out = np.broadcast_to(np.eye(regions), (len(z), regions, regions)).copy()
    edges = np.tanh(z.astype(np.float64)) * (1 - np.asarray(shrinkage, float))[:, None]
    out[:, rows, columns] = edges
    out[:, columns, rows] = edges
    return out


def regions_lacking(z: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell of which regions nothing is known.

    Parameters
    ----------
    z : ndarray of shape (n, edges)
        Of Fisher; NaN is not known.

    Returns
    -------
    ndarray of shape (n, regions)
        True where no edge of a region is known.
    """
    regions = nodes_of(z.shape[1])
    rows, columns = np.tril_indices(regions, -1)
    known = np.zeros((len(z), regions), dtype=bool)
    for k, there in enumerate(np.isfinite(z)):
        known[k, rows[there]] = known[k, columns[there]] = True
    return ~known


def completed(
    matrices: Matrices, lacking: NDArray[np.bool_], reference: NDArray[np.float64]
) -> Matrices:
    """Complete covariances of people who lack regions.

    What is lacking is as far from the reference as what is known implies by the reference's own
    regressions, and no further; matrices keep their inverses.

    Parameters
    ----------
    matrices : ndarray of shape (n, regions, regions)
        Anything in rows and columns of regions that a person lacks.
    lacking : ndarray of shape (n, regions)
        From `regions_lacking`.
    reference : ndarray of shape (regions, regions)
        Covariance of other people.
    """
    out = matrices.copy()
    for k in np.flatnonzero(lacking.any(axis=1)):
        gone, there = np.flatnonzero(lacking[k]), np.flatnonzero(~lacking[k])
        inner = reference[np.ix_(there, there)]
        slopes = np.linalg.solve(inner, reference[np.ix_(there, gone)]).T
        known = matrices[k][np.ix_(there, there)]
        rest = reference[np.ix_(gone, gone)] - slopes @ inner @ slopes.T
        out[k][np.ix_(gone, there)] = slopes @ known
        out[k][np.ix_(there, gone)] = (slopes @ known).T
        out[k][np.ix_(gone, gone)] = rest + slopes @ known @ slopes.T
    return out


def logarithms(matrices: Matrices) -> Matrices:
    """Take logarithms of symmetric matrices, shape (n, regions, regions).

    Eigenvalues below `LEAST_EIGENVALUE` are raised to it.
    """
    values, vectors = np.linalg.eigh(matrices)
    logs = np.log(np.maximum(values, LEAST_EIGENVALUE))
    return (vectors * logs[:, None, :]) @ vectors.transpose(0, 2, 1)


def whitening(mean_logarithm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the inverse square root, symmetric, of the matrix with some logarithm.

    All are of shape (regions, regions).
    """
    values, vectors = np.linalg.eigh(mean_logarithm)
    return (vectors * np.exp(-values / 2)) @ vectors.T


def tangents(matrices: Matrices, white: NDArray[np.float64]) -> NDArray[np.float32]:
    """Write matrices as vectors of the tangent space at a reference.

    Parameters
    ----------
    matrices : ndarray of shape (n, regions, regions)
        From `covariances`.
    white : ndarray of shape (regions, regions)
        From `whitening`.

    Returns
    -------
    ndarray of shape (n, regions * (regions + 1) / 2)
        The lower triangle with the diagonal; entries beside the diagonal times √2, so that
        distances between vectors are those between matrices.
    """
    logs = logarithms(white @ matrices @ white)
    rows, columns = np.tril_indices(matrices.shape[1])
    scale = np.where(rows == columns, 1.0, np.sqrt(2.0))
    return (logs[:, rows, columns] * scale).astype(np.float32)
