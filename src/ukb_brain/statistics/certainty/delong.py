"""DeLong's variance of AUCs, their intervals and paired tests, with families as clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata, t

from ukb_brain.statistics.weighted_sums import Floats

Ints = NDArray[np.int64]

INSIDE = 1e-9


@dataclass(frozen=True, eq=False)
class Areas:
    """AUC of several cells on the same people.

    Attributes
    ----------
    auc : ndarray, shape (cells,)
        Mean over folds by their people; NaN if a fold has one class.
    covariance : ndarray, shape (cells, cells)
        Of the sampling error; NaN where a class has one family only.
    df : ndarray, shape (cells,)
        Satterthwaite's degrees of freedom of its diagonal: few where the error hangs on a class of
        few families.
    """

    auc: Floats
    covariance: Floats
    df: Floats

    @property
    def se(self) -> Floats:
        """Standard errors, shape (cells,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True)
class PairedAreas:
    """First AUC less second, on the same people; standard error, their ratio, two-sided p value."""

    difference: float
    se: float
    z: float
    p: float


def delong(y: Floats, predicted: Floats, family: ArrayLike, fold: ArrayLike | None = None) -> Areas:
    """AUCs of cells on the same people, and the covariance of their errors.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels 0 or 1.
    predicted : ndarray, shape (n, cells)
        A score of NaN is a ValueError.
    family : array_like of int, shape (n,)
        Relatives, and the visits of one person, have the same.
    fold : array_like of int, shape (n,), optional
        People are compared within folds only, and folds are averaged by their people, as in
        `ukb_brain.statistics.scores.engine.score_draws`.

    Notes
    -----
    Placements by ranks (Sun & Xu, IEEE Signal Process. Lett. 21:1389, 2014) of DeLong et al.,
    Biometrics 44:837 (1988). Families are clusters: their placements are summed, and what
    positives and negatives of one family share is in the covariance (Obuchowski, Biometrics
    53:567, 1997); with families of one it is DeLong's.
    ``tests/statistics/certainty/test_delong.py`` compares it with the sums over all pairs, and with
    the spread of simulated families.
    """
    if np.isnan(predicted).any():
        raise ValueError("a cell lacks some of the people: compare cells on common people")
    families, of_family = np.unique(np.asarray(family), return_inverse=True)
    fold = np.zeros(len(y), dtype=np.int64) if fold is None else np.asarray(fold)
    cells = predicted.shape[1]
    auc = np.zeros(cells)
    # What each family's positives, and its negatives, add to the error; then with each class's
    # own correction for few families.
    errors, corrected = np.zeros((2, 2, len(families), cells))
    free = np.zeros(2)
    for one in np.unique(fold):
        mine = fold == one
        share = mine.mean()
        area, placed = _placed(y[mine], predicted[mine])
        auc += share * area
        for side, of_class in enumerate((y[mine] > 0, ~(y[mine] > 0))):
            error, clusters = _of_families(placed, of_class, of_family[mine], len(families))
            errors[side] += share * error
            few = np.sqrt(clusters / (clusters - 1)) if clusters > 1 else np.nan
            corrected[side] += share * few * error
            free[side] += clusters - 1
    within = [side.T @ side for side in corrected]
    across = errors[0].T @ errors[1] * (len(families) / max(len(families) - 1, 1))
    return Areas(auc, within[0] + within[1] + across + across.T, _freedom(within, free))


def _freedom(within: list[Floats], free: Floats) -> Floats:
    """Degrees of freedom of a sum of two variances; infinite where both are 0."""
    own = np.array([np.diag(one) for one in within])
    squares = (own**2 / np.maximum(free, 1)[:, None]).sum(axis=0)
    whole = own.sum(axis=0) ** 2
    return np.divide(whole, squares, out=np.full_like(whole, np.inf), where=squares > 0)


def _placed(y: Floats, predicted: Floats) -> tuple[Floats, Floats]:
    """AUCs, and by how much each person's share of won comparisons differs from them."""
    positive = y > 0
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    if not n_pos or not n_neg:
        return np.full(predicted.shape[1], np.nan), np.full_like(predicted, np.nan)
    among_all, won = rankdata(predicted, axis=0), np.empty_like(predicted)
    won[positive] = (among_all[positive] - rankdata(predicted[positive], axis=0)) / n_neg
    below = among_all[~positive] - rankdata(predicted[~positive], axis=0)
    won[~positive] = 1 - below / n_pos
    auc = won[positive].mean(axis=0)
    return auc, won - auc


def _of_families(
    placed: Floats, of_class: NDArray[np.bool_], of_family: Ints, families: int
) -> tuple[Floats, int]:
    """Each family's share in the error of a class's mean placement; number of its families."""
    total = np.zeros((families, placed.shape[1]))
    np.add.at(total, of_family[of_class], placed[of_class])
    return total / max(int(of_class.sum()), 1), len(np.unique(of_family[of_class]))


def logit_interval(
    auc: float, se: float, n_pos: int, n_neg: int, level: float = 0.95, df: float = np.inf
) -> tuple[float, float]:
    """Interval of an AUC, symmetric on the logit scale.

    Parameters
    ----------
    n_pos, n_neg : int
        Number of positives and negatives, which matter for a perfect AUC only.
    df : float
        Degrees of freedom of the standard error, from `Areas`; infinite for the normal interval.

    Returns
    -------
    tuple of float
        Lower and upper bound, between 0 and 1; NaN without an area, and where an area between 0
        and 1 has no standard error, as where everybody has the same prediction.

    Notes
    -----
    The logit scale keeps bounds within 0 and 1, and covers better near 1 (Pepe, The Statistical
    Evaluation of Medical Tests, 2003, section 5.2; Qin & Hotilovac, Stat. Methods Med. Res.
    17:207, 2008); in the middle it changes next to nothing. With 30 positives among 300 people the
    normal interval held an area of .96 in 91 % only, because the standard error rests on the 30:
    hence Student's t with Satterthwaite's degrees of freedom, as Brunner & Munzel have it for the
    same variance (Biometrical Journal 42:17, 2000). If every comparison is won, the
    standard error is zero and says nothing; then the bounds are Newcombe's score-like ones
    (`newcombe_area_interval`), which know nothing of families.
    """
    if not np.isfinite(auc):
        return np.nan, np.nan
    if auc <= 0 or auc >= 1:
        return newcombe_area_interval(auc, n_pos, n_neg, level)
    if not np.isfinite(se) or se <= INSIDE:
        return np.nan, np.nan
    reach = t.ppf((1 + level) / 2, df) * se / (auc * (1 - auc))
    return float(expit(logit(auc) - reach)), float(expit(logit(auc) + reach))


def newcombe_area_interval(
    auc: float, n_pos: int, n_neg: int, level: float = 0.95
) -> tuple[float, float]:
    """Interval of an AUC, from 0 to 1, from the areas that would not be surprised by it.

    A perfect AUC has the lower bound that its class sizes allow. Method 5 of Newcombe, Stat. Med.
    25:559 (2006): Hanley and McNeil's exponential variance (Radiology 143:29, 1982) with the mean
    class size for both, at the bound instead of the estimate.
    ``tests/statistics/certainty/test_delong.py`` holds it to the equation that defines it.
    """
    z, mean_size = norm.ppf((1 + level) / 2), (n_pos + n_neg) / 2

    def surprise(area: float) -> float:
        pairs = (1 - area) / (2 - area) + area / (1 + area)
        variance = area * (1 - area) * (1 + (mean_size - 1) * pairs) / (n_pos * n_neg)
        return float((auc - area) ** 2 - z**2 * variance)

    # A perfect area solves the equation itself, with a variance of zero; the bound is the other
    # solution.
    low = brentq(surprise, 0.0, min(auc, 1 - INSIDE)) if auc > 0 else 0.0
    high = brentq(surprise, max(auc, INSIDE), 1.0) if auc < 1 else 1.0
    return float(low), float(high)


def paired_delong(
    y: Floats, first: Floats, second: Floats, family: ArrayLike, fold: ArrayLike | None = None
) -> PairedAreas:
    """Test whether two cells, shape (n,), have the same AUC; people are as for `delong`.

    Without any difference, z is 0 and p is 1, even where the standard error is 0.

    Notes
    -----
    DeLong et al., Biometrics 44:837 (1988), with families as in `delong`. The same people fitted
    neither cell, or the p value means nothing; and where one cell is nested in the other and adds
    nothing it is too large (Demler et al., Stat. Med. 31:2577, 2012).
    """
    areas = delong(y, np.column_stack([first, second]), family, fold)
    difference = float(areas.auc[0] - areas.auc[1])
    contrast = np.array([1.0, -1.0])
    # Two identical cells leave rounding error, on either side of zero.
    se = float(np.sqrt(np.maximum(contrast @ areas.covariance @ contrast, 0.0)))
    if abs(difference) < 1e-12:
        return PairedAreas(0.0, se, 0.0, 1.0)
    z = difference / se if se > 0 else np.copysign(np.inf, difference)
    return PairedAreas(difference, se, float(z), float(2 * norm.sf(abs(z))))
