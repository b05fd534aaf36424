"""Corrections of p values for how many there are, by declared family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

Method = Literal["holm", "bh"]


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
    values, labels = p.to_numpy(float), family.to_numpy()
    found = np.full(len(values), np.nan)
    for label in pd.unique(labels):
        mine = (labels == label) & np.isfinite(values)
        if mine.any():
            found[mine] = ADJUST[method](values[mine])
    return pd.Series(found, index=p.index)


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(p)
    found = np.empty_like(p)
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return found


ADJUST: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "holm": _holm,
    "bh": false_discovery_control,
}
