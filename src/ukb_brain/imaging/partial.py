"""Partial correlations: of each two regions, given all others."""

import numpy as np
from numpy.typing import NDArray

from ukb_brain.imaging.connectivity import LARGEST_CORRELATION
from ukb_brain.imaging.tangent import Matrices


def partial_z(matrices: Matrices) -> NDArray[np.float32]:
    """Take Fisher's z of the partial correlations that covariances imply.

    Parameters
    ----------
    matrices : ndarray of shape (n, regions, regions)
        With inverses, as `ukb_brain.imaging.tangent.covariances` and ``completed`` give them.

    Returns
    -------
    ndarray of shape (n, regions * (regions - 1) / 2)
        In the order of `ukb_brain.imaging.connectivity.fisher_z_of_time_series`.
    """
    precision = np.linalg.inv(matrices)
    size = np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
    rows, columns = np.tril_indices(matrices.shape[1], -1)
    edges = -precision[:, rows, columns] / (size[:, rows] * size[:, columns])
    return np.arctanh(edges.clip(-LARGEST_CORRELATION, LARGEST_CORRELATION)).astype(np.float32)
