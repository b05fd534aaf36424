"""Simulate regional time series whose covariance follows the functional factors."""

import zlib

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
# What changes how regions follow the networks, and how much per unit: factors, sites, and styles,
# in which people differ for no known reason.
EFFECTS = (
    {factor.name: FACTOR_SIZE for factor in FACTORS["functional"]}
    | {f"site {site}": SITE_SIZE for site in SITES}
    | {f"style {k}": STYLE_SIZE for k in range(N_STYLES)}
)

# Areas of Glasser et al., Nature 536:171 (2016), in the order of its table and with pOFC for its
# pOFC2. Held against the list of labels by the makers of field 31016
# (github.com/sina-mansour/UKB-connectomics).
AREAS = (
    "V1", "MST", "V6", "V2", "V3", "V4", "V8", "4", "3b", "FEF", "PEF", "55b", "V3A", "RSC",
    "POS2", "V7", "IPS1", "FFC", "V3B", "LO1", "LO2", "PIT", "MT", "A1", "PSL", "SFL", "PCV",
    "STV", "7Pm", "7m", "POS1", "23d", "v23ab", "d23ab", "31pv", "5m", "5mv", "23c", "5L",
    "24dd", "24dv", "7AL", "SCEF", "6ma", "7Am", "7PL", "7PC", "LIPv", "VIP", "MIP", "1", "2",
    "3a", "6d", "6mp", "6v", "p24pr", "33pr", "a24pr", "p32pr", "a24", "d32", "8BM", "p32",
    "10r", "47m", "8Av", "8Ad", "9m", "8BL", "9p", "10d", "8C", "44", "45", "47l", "a47r", "6r",
    "IFJa", "IFJp", "IFSp", "IFSa", "p9-46v", "46", "a9-46v", "9-46d", "9a", "10v", "a10p",
    "10pp", "11l", "13l", "OFC", "47s", "LIPd", "6a", "i6-8", "s6-8", "43", "OP4", "OP1",
    "OP2-3", "52", "RI", "PFcm", "PoI2", "TA2", "FOP4", "MI", "Pir", "AVI", "AAIC", "FOP1",
    "FOP3", "FOP2", "PFt", "AIP", "EC", "PreS", "H", "ProS", "PeEc", "STGa", "PBelt", "A5",
    "PHA1", "PHA3", "STSda", "STSdp", "STSvp", "TGd", "TE1a", "TE1p", "TE2a", "TF", "TE2p",
    "PHT", "PH", "TPOJ1", "TPOJ2", "TPOJ3", "DVT", "PGp", "IP2", "IP1", "IP0", "PFop", "PF",
    "PFm", "PGi", "PGs", "V6A", "VMV1", "VMV3", "PHA2", "V4t", "FST", "V3CD", "LO3", "VMV2",
    "31pd", "31a", "VVC", "25", "s32", "pOFC", "PoI1", "Ig", "FOP5", "p10p", "p47r", "TGv",
    "MBelt", "LBelt", "A4", "STSva", "TE1m", "PI", "a32pr", "p24",
)  # fmt: skip


def region_labels(regions: int) -> tuple[str, ...]:
    """Name at most 360 regions of the Glasser parcellation, as the makers of field 31016 do.

    Such as ``R_V1_ROI``: half of each side, the right one first.
    """
    right = (regions + 1) // 2
    sides = [("R", right), ("L", regions - right)]
    return tuple(f"{side}_{area}_ROI" for side, count in sides for area in AREAS[:count])


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
