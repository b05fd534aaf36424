"""Simulate regional time series whose covariance follows the functional factors."""

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import norm

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
# Of structural connectomes: pairs of regions with streamlines, the logarithm of their number in
# most people, its spread over pairs, and what a factor changes in it.
JOINED, STREAMLINES, SPREAD, TRACT_SIZE = 0.6, 3.0, 1.5, 0.15
# Of a streamline, on average.
SIFT2_WEIGHT = 0.0123
# What changes how regions follow the networks, and how much per unit: factors, sites, and styles,
# in which people differ for no known reason.
EFFECTS = (
    {factor.name: FACTOR_SIZE for factor in FACTORS["functional"]}
    | {f"site {site}": SITE_SIZE for site in SITES}
    | {f"style {k}": STYLE_SIZE for k in range(N_STYLES)}
)


def _loadings(name: str, regions: int) -> Array:
    rng = np.random.default_rng([zlib.crc32(name.encode()), regions])
    return rng.standard_normal((regions, NETWORKS))


def loadings(weights: Array, regions: int) -> Array:
    """Weights of networks in each region, shape (regions, networks), of one of each of `EFFECTS`.

    The same base for everyone, plus what the person's own weights change.
    """
    own_network = np.zeros((regions, NETWORKS))
    own_network[np.arange(regions), np.arange(regions) % NETWORKS] = 0.75
    out = own_network + 0.25 * _loadings("base", regions)
    for weight, (name, size) in zip(weights, EFFECTS.items(), strict=True):
        out += size * weight * _loadings(name, regions)
    return out


def simulate(
    weights: Array, motion: float, regions: int, time_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Simulate a resting scan of a person.

    Parameters
    ----------
    weights : ndarray of shape (n_effects,)
        Factors, 1 for the site of the scan, and standard normal weights of styles.
    motion : float
        Head motion in standard units.

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
    moved = MOTION * np.exp(0.4 * motion) * rng.standard_normal(time_points)

    def measured(n: int) -> Array:
        noise = REGION_NOISE * rng.standard_normal((n, time_points))
        return loadings(weights, n) @ networks + moved + noise

    return measured(regions), measured(NODES_25750)


def matrix_25750(nodes: Array) -> Array:
    """Make what UK Biobank's pipeline makes of component time series, shape (21, time_points).

    210 scaled z values, in MATLAB's column-wise order.
    """
    return SCALE_25750 * fisher_z_of_time_series(nodes).astype(np.float64)


def streamlines(factors: Array, regions: int, rng: np.random.Generator) -> Array:
    """Count a person's streamlines between regions, symmetric, of shape (regions, regions).

    Each of the factors of diffusion changes all pairs, by a pattern of its own.
    """

    def pattern(name: str) -> Array:
        seed = [zlib.crc32(name.encode()), regions]
        half = np.tril(np.random.default_rng(seed).standard_normal((regions, regions)))
        return np.asarray(half + np.tril(half, -1).T)

    size = STREAMLINES + SPREAD * pattern("streamlines")
    for value, factor in zip(factors, FACTORS["diffusion"], strict=True):
        size += TRACT_SIZE * value * pattern(f"streamlines {factor.name}")
    joined = pattern("joined") < norm.ppf(JOINED)
    half = np.tril(rng.poisson(np.exp(size) * joined))
    return np.asarray(half + np.tril(half, -1).T, dtype=np.float64)


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

    def expected(weights: Array) -> Array:
        base = loadings(weights, regions)
        covariance = base @ base.T + MOTION**2 + REGION_NOISE**2 * np.eye(regions)
        sd = np.sqrt(np.diag(covariance))
        return np.arctanh((covariance / np.outer(sd, sd))[np.tril_indices(regions, -1)])

    effects = np.stack([expected(step) - expected(-step) for step in 0.5 * np.eye(len(EFFECTS))])
    rng = np.random.default_rng(0)
    wanted, unknown = len(EFFECTS) - N_STYLES, np.zeros(len(EFFECTS))
    projected = []
    for _ in range(simulations):
        unknown[wanted:] = rng.standard_normal(N_STYLES)
        series, _ = simulate(unknown, 0.0, regions, time_points, rng)
        projected.append(effects @ fisher_z_of_time_series(series))
    signal = (effects @ effects.T)[:, :wanted]
    noise = np.cov(np.array(projected).T)
    return np.linalg.inv(signal.T @ np.linalg.solve(noise, signal))
