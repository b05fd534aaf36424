"""Simulate regional time series whose covariance follows the functional factors."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.synthetic.factors import FACTORS
from ukb_brain.synthetic.people import SITES

Array = NDArray[np.float64]

NETWORKS = 8
N_STYLES = 12
NODES_25750 = 21
# UK Biobank scales Fisher's z of full correlations at dimension 25 by about this.
SCALE_25750 = 10.65
FACTOR_SIZE, STYLE_SIZE, SITE_SIZE = 0.11, 0.10, 0.10
REGION_NOISE, MOTION, AUTOREGRESSION = 0.7, 0.10, 0.4


def _loadings(name: str, regions: int) -> Array:
    rng = np.random.default_rng([zlib.crc32(name.encode()), regions])
    return rng.standard_normal((regions, NETWORKS))


@dataclass(frozen=True)
class Connectome:
    """How one person's regions follow the networks.

    Attributes
    ----------
    functional : ndarray of shape (n_factors,)
        Factors.
    site : ndarray of shape (n_sites,)
        1 for the site of the scan.
    styles : ndarray of shape (n_styles,)
        Standard normal weights of differences between people for no known reason.
    motion : float
        Head motion in standard units.
    """

    functional: Array
    site: Array
    styles: Array
    motion: float = 0.0


def loadings(connectome: Connectome, regions: int) -> Array:
    """Weights of networks in each region, shape (regions, networks).

    The same base for everyone, plus what factors, site and style change.
    """
    own_network = np.zeros((regions, NETWORKS))
    own_network[np.arange(regions), np.arange(regions) % NETWORKS] = 0.75
    out = own_network + 0.25 * _loadings("base", regions)
    for k, factor in enumerate(FACTORS["functional"]):
        out += FACTOR_SIZE * connectome.functional[k] * _loadings(factor.name, regions)
    for k, site in enumerate(SITES):
        out += SITE_SIZE * connectome.site[k] * _loadings(f"site {site}", regions)
    for k in range(N_STYLES):
        out += STYLE_SIZE * connectome.styles[k] * _loadings(f"style {k}", regions)
    return out


def simulate(
    connectome: Connectome, regions: int, time_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Simulate a resting scan.

    Returns
    -------
    series : ndarray of shape (regions, time_points)
        Time series of the regions.
    nodes : ndarray of shape (21, time_points)
        Time series of the components of field 25750, from the same networks.
    """
    networks = lfilter(
        [1.0], [1.0, -AUTOREGRESSION], rng.standard_normal((NETWORKS, time_points + 20))
    )[:, 20:]
    networks *= np.sqrt(1 - AUTOREGRESSION**2)
    moved = MOTION * np.exp(0.4 * connectome.motion) * rng.standard_normal(time_points)

    def measured(n: int) -> Array:
        noise = REGION_NOISE * rng.standard_normal((n, time_points))
        return loadings(connectome, n) @ networks + moved + noise

    return measured(regions), measured(NODES_25750)


def matrix_25750(nodes: Array) -> Array:
    """Make what UK Biobank's pipeline makes of component time series, shape (21, time_points).

    210 scaled z values, in MATLAB's column-wise order.
    """
    return SCALE_25750 * fisher_z_of_time_series(nodes).astype(np.float64)


def readout_error(regions: int, time_points: int, simulations: int = 1200) -> Array:
    """Error covariance of factors read from a scan by one who knows every effect.

    Simulated scans are projected on the derivatives of the expected z values (factors, sites,
    styles), and the factors' error is what a generalised least squares on these projections
    leaves, its noise covariance estimated from the simulations.

    Returns
    -------
    ndarray of shape (n_factors + n_sites, n_factors + n_sites)
        Factors first, then sites.
    """
    n_factors, n_sites = len(FACTORS["functional"]), len(SITES)
    sizes = (n_factors, n_sites, N_STYLES)

    def person(weights: Array) -> Connectome:
        functional, site, styles = np.split(weights, np.cumsum(sizes)[:-1])
        return Connectome(functional, site, styles)

    def expected(weights: Array) -> Array:
        base = loadings(person(weights), regions)
        covariance = base @ base.T + MOTION**2 + REGION_NOISE**2 * np.eye(regions)
        sd = np.sqrt(np.diag(covariance))
        return np.arctanh((covariance / np.outer(sd, sd))[np.tril_indices(regions, -1)])

    steps = 0.5 * np.eye(sum(sizes))
    effects = np.stack([expected(step) - expected(-step) for step in steps])
    rng = np.random.default_rng(0)
    unknown = np.zeros(sum(sizes))
    projected = []
    for _ in range(simulations):
        unknown[n_factors + n_sites :] = rng.standard_normal(N_STYLES)
        series, _ = simulate(person(unknown), regions, time_points, rng)
        projected.append(effects @ fisher_z_of_time_series(series))
    wanted = n_factors + n_sites
    signal = (effects @ effects.T)[:, :wanted]
    noise = np.cov(np.array(projected).T)
    return np.linalg.inv(signal.T @ np.linalg.solve(noise, signal))
