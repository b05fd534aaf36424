"""P values of permutations, and corrections for how many there are, by declared family."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from ukb_brain.statistics.weighted_sums import Floats

Method = Literal["holm", "bh"]

# Scores that differ by less are the same score, summed in another order.
SAME = 1e-10


def permutation_p(observed: Floats, null: Floats) -> Floats:
    """Share of labellings, the observed one among them, that score at least as high.

    Parameters
    ----------
    null : ndarray, shape (permutations, cells)
        Scores under permutation; one that is undefined counts as reaching the observed one.

    Returns
    -------
    ndarray, shape (cells,)
        (1 + #{null >= observed}) / (1 + permutations) (Phipson & Smyth, Stat. Appl. Genet. Mol.
        Biol. 9:39, 2010); NaN where there is no observed score.
    """
    reached = ~(null < observed - SAME * (1 + np.abs(observed)))
    p = (1 + reached.sum(axis=0)) / (1 + len(null))
    return np.where(np.isfinite(observed), p, np.nan)


def max_statistic_p(observed: Floats, null: Floats) -> Floats:
    """Correct for all cells at once by the largest standardised score of each permutation.

    Parameters
    ----------
    null : ndarray, shape (permutations, cells)
        Scores of the same permutations in all cells.

    Returns
    -------
    ndarray, shape (cells,)
        p values that hold the chance of any false one among all cells; NaN where there is no
        observed score.

    Notes
    -----
    Westfall & Young, Resampling-Based Multiple Testing (1993); Nichols & Holmes, Hum. Brain Mapp.
    15:1-25 (2002). A cell's scores are standardised by their own mean and SD first, or the
    cells with the widest null (few people, R² of bold predictions) would decide for all. The
    observed labelling is among those that mean and SD are taken of, and so is exchangeable with
    the others, as the p value requires.
    """
    scored = np.isfinite(observed)
    p = np.full(len(observed), np.nan)
    if not scored.any():
        return p
    every = np.vstack([observed[scored], null[:, scored]])
    # As for a single cell, a permutation without a score counts as reaching the observed one.
    every = np.where(np.isfinite(every), every, every[0])
    centred, spread = every - every.mean(axis=0), every.std(axis=0)
    flat = spread <= SAME * (1 + np.abs(every[0]))
    z = np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))
    highest = z[1:].max(axis=1)
    p[scored] = permutation_p(z[0], np.broadcast_to(highest[:, None], z[1:].shape))
    return p


def adjusted_by_family(p: pd.Series, family: pd.Series, method: Method) -> pd.Series:
    """Adjust p values within each family.

    Parameters
    ----------
    p, family : pandas.Series
        p values, and the declared family of each; NaN stays NaN and does not count.
    method : str
        ``holm``: bounds the chance of any false finding in a family (Holm, Scand. J. Stat. 6:65,
        1979). ``bh``: bounds the expected share of false ones among findings (Benjamini &
        Hochberg, J. R. Stat. Soc. B 57:289, 1995).

    Notes
    -----
    Benjamini and Hochberg's is scipy's ``false_discovery_control``. Both are compared with
    statsmodels' ``multipletests`` in ``tests/statistics/certainty/test_corrections.py``; its Holm
    is not used because it collects garbage in every call, .1 s each (statsmodels 0.15).
    """
    if method not in ADJUST:
        raise ValueError(f"unknown correction {method!r}; known are {sorted(ADJUST)}")
    known = p.dropna().astype(float)
    adjusted = known.groupby(family.loc[known.index]).transform(lambda of: ADJUST[method](of.array))
    return adjusted.reindex(p.index)


def _holm(p: Floats) -> Floats:
    order = np.argsort(p)
    found = np.empty_like(p)
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return found


ADJUST: dict[str, Callable[[Floats], Floats]] = {"holm": _holm, "bh": false_discovery_control}
