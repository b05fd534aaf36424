"""Connectivity vectors from regional time series or from UK Biobank's own matrices."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError

Vector = NDArray[np.float32]

# Keeps Fisher's z finite where two regions move as one.
LARGEST_CORRELATION = 0.999999


def fisher_z_of_time_series(series: NDArray[np.floating]) -> Vector:
    """Fisher's z of the correlations between all pairs of regions.

    Parameters
    ----------
    series : ndarray of shape (regions, time_points)

    Returns
    -------
    ndarray of shape (regions * (regions - 1) / 2,)
        The strict upper triangle in MATLAB's column-wise order, as UK Biobank writes it. NaN where
        one of the two regions is constant or has no voxels.

    Raises
    ------
    InputError
        If fewer than two regions vary, or there are too few time points.

    Examples
    --------
    >>> regions = np.random.default_rng(0).standard_normal((21, 490))
    >>> fisher_z_of_time_series(regions).shape
    (210,)
    """
    if series.ndim != 2 or series.shape[0] < 2 or series.shape[1] < 4:
        raise InputError(
            f"A time series of shape {series.shape} gives no correlations: "
            "expected one row a region and at least 4 time points."
        )
    there = regions_there(series)
    if there.sum() < 2:
        raise InputError("Fewer than two regions have a time series that varies.")
    correlation = np.full((len(series), len(series)), np.nan)
    correlation[np.ix_(there, there)] = np.corrcoef(series[there])
    edges = correlation[np.tril_indices(len(series), -1)]
    limit = LARGEST_CORRELATION
    return np.arctanh(np.clip(edges, -limit, limit)).astype(np.float32)


def regions_there(series: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell which regions, one a row, have a time series that is finite and varies."""
    finite = np.isfinite(series).all(axis=1, keepdims=True)
    return np.ptp(np.where(finite, series, 0), axis=1) > 0


def matched(
    labels: Sequence[str], series: NDArray[np.floating], wanted: Sequence[str]
) -> NDArray[np.float64]:
    """Bring regions, shape (regions, time_points), into the order of a cohort.

    A region that the person lacks is NaN; others than the cohort's are left out.
    """
    return pd.DataFrame(series, index=list(labels)).reindex(list(wanted)).to_numpy(np.float64)


def nodes_of(n_edges: int) -> int:
    """Count the nodes whose strict upper triangle has so many entries: 21 for 210, 55 for 1,485.

    Raises `InputError` if no whole number of nodes fits.
    """
    nodes = round((1 + np.sqrt(1 + 8 * n_edges)) / 2)
    if nodes * (nodes - 1) // 2 != n_edges or n_edges < 1:
        raise InputError(f"{n_edges} numbers are not the upper triangle of a square matrix.")
    return int(nodes)


def vector_of_matrix_file(text: str) -> Vector:
    """Read a file of field 25750 to 25753, in its order.

    It has white-space separated numbers: already z values, so they are taken as they are.

    Raises
    ------
    InputError
        If there is something else than finite numbers, or not a triangle of them.
    """
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            values = np.array(text.split(), dtype=np.float32)
    except ValueError as error:
        raise InputError("The matrix file holds something that is not a number.") from error
    if not np.isfinite(values).all():
        raise InputError("The matrix file holds numbers that are not finite.")
    nodes_of(len(values))
    return values
