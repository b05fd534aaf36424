"""Distance correlation between targets: dependence of any shape, bias-corrected."""

from itertools import combinations

import numpy as np
import pandas as pd

from ukb_brain.statistics.relations.relations import Related, blank_relation
from ukb_brain.statistics.weighted_sums import Floats

# Distances of all pairs of people are held in memory; more people tell little more.
MOST_PEOPLE = 1000
FEWEST_PEOPLE = 10


def squared_distance_correlation(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Squared distance correlation without bias, under many weightings of people at once.

    Distance covariance as a U-statistic: means over pairs, triples and quadruples of *different*
    people. With the counts of a bootstrap draw a person is never compared with a copy of itself, so
    that draws of independent people are centred on the estimate.

    Székely GJ, Rizzo ML (2014). Partial distance correlation with methods for dissimilarities.
    Annals of Statistics 42:2382. Huo X, Székely GJ (2016). Fast computing for distance covariance.
    Technometrics 58:435.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        One number a person, in any unit.
    weights : ndarray, shape (draws, n)
        Non-negative counts of each person.

    Returns
    -------
    ndarray, shape (draws,)
        About 0 where x and y are independent, possibly below it; 1 where they are linear in each
        other. NaN where either is constant or fewer than four people count.
    """
    a, b = _distances(x), _distances(y)
    row_a, row_b = weights @ a, weights @ b
    shared = _covariance(a * b, row_a, row_b, weights)
    spread = _covariance(a * a, row_a, row_a, weights) * _covariance(b * b, row_b, row_b, weights)
    enough = ((weights > 0).sum(axis=1) > 3) & (spread > np.finfo(float).eps)
    scale = np.sqrt(np.where(enough, spread, 1.0))
    return np.asarray(np.where(enough, shared / scale, np.nan))


def _distances(x: Floats) -> Floats:
    spread = x.std()
    scaled = (x - x.mean()) / (spread if spread > 0 else 1.0)
    return np.asarray(np.abs(scaled[:, None] - scaled[None, :]))


def _covariance(product: Floats, row_a: Floats, row_b: Floats, weights: Floats) -> Floats:
    """Distance covariance from the product of distances and their weighted sums, by draw."""
    of_pairs, of_squares = weights @ product, weights**2 @ product
    pairs = (weights * of_pairs).sum(axis=1)
    repeated = (weights**2 * of_squares).sum(axis=1)
    products = row_a * row_b
    triples = (weights * (products - of_squares)).sum(axis=1)
    sums = (weights * row_a).sum(axis=1) * (weights * row_b).sum(axis=1)
    quadruples = sums - 4 * (weights**2 * products).sum(axis=1) + 2 * repeated
    one, two, three, four = (np.sum(weights**power, axis=1) for power in (1, 2, 3, 4))
    n_pairs = one**2 - two
    n_triples = one**3 - 3 * one * two + 2 * three
    n_quadruples = one**4 - 6 * one**2 * two + 3 * two**2 + 8 * one * three - 6 * four
    with np.errstate(divide="ignore", invalid="ignore"):
        found = pairs / n_pairs + quadruples / n_quadruples - 2 * triples / n_triples
    return np.asarray(np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0))


def distance_correlations(targets: pd.DataFrame, weights: Floats, seed: int = 0) -> Related:
    """Measure dependence of any shape between pairs of targets.

    At most `MOST_PEOPLE` people, chosen by the seed, are compared. Intervals are of these, so wider
    than those of everybody. Coverage is measured in
    ``test_intervals_of_distance_correlation_cover``.

    Parameters
    ----------
    targets : pandas.DataFrame
        One row a person, one column a target; NaN where it is not known.
    weights : ndarray, shape (draws, people)

    Returns
    -------
    Related
        ``distance_correlation``, of people known in both: the root of the squared one, 0 where
        that is below 0. Not tested: `ukb_brain.statistics.relations.mutual_information` gives
        p values.
    """
    if weights.shape[1:] != (len(targets),):
        raise ValueError(f"{len(targets)} people, weights {weights.shape}")
    values = targets.to_numpy(float)
    found = blank_relation("distance_correlation", list(targets.columns), len(weights))
    # One order for all pairs, so that pairs share as many people as they can.
    order = np.random.default_rng(seed).permutation(len(values))
    for one, two in combinations(range(values.shape[1]), 2):
        places = ([one, two], [two, one])
        known = order[np.isfinite(values[order][:, [one, two]]).all(axis=1)][:MOST_PEOPLE]
        found.n[places] = len(known)
        if len(known) < FEWEST_PEOPLE:
            continue
        x, y = values[known, one], values[known, two]
        squared = squared_distance_correlation(x, y, np.ones((1, len(known))))[0]
        found.estimate[places] = np.sqrt(np.maximum(squared, 0))
        by_draw = squared_distance_correlation(x, y, weights[:, known])
        found.drawn[:, places[0], places[1]] = np.sqrt(np.maximum(by_draw, 0))[:, None]
    return found
