"""Coarse strata of people, within which a permutation may exchange a target's values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError

# In the order in which they are given up where people are too few: site is held on to longest,
# since it is what a scan shows without any biology.
GIVEN_UP = ("age", "sex", "site")


@dataclass(frozen=True, eq=False)
class Strata:
    """The stratum of each row.

    Attributes
    ----------
    code : ndarray of int, shape (n,)
        Of each row's stratum.
    by : tuple of str
        What strata are made of, among site, sex and age. Targets with the same ``by`` have the
        same strata.
    merged : dict of str to int
        Number of rows whose stratum disregards age, sex or site because it was too small with
        it. Giving up sex follows giving up age, so that the counts are nested.
    """

    code: NDArray[np.int64]
    by: tuple[str, ...]
    merged: dict[str, int]


def coarse_strata(people: pd.DataFrame, target: str, bands: int = 3, smallest: int = 10) -> Strata:
    """Stratify by site, sex and age band, leaving the target itself out.

    Parameters
    ----------
    people : pandas.DataFrame
        Columns ``site``, ``sex`` and ``age`` (years). A value that is absent is a category of its
        own.
    target : str
        Key of the target. Strata of ``sex`` are made of site and age, those of ``age`` of site
        and sex; a target cannot be tested within strata of itself.
    bands : int
        Number of age bands with equally many rows (3: thirds).
    smallest : int
        Rows of strata smaller than this are put together across age bands, those that are still
        too few across sexes, and in the end across sites. Larger strata stay as they are.

    Raises
    ------
    InputError
        If a column is absent, or ``bands`` or ``smallest`` is below 1.

    Notes
    -----
    A p value from permutations within strata tests association beyond the strata: it is blind to
    what a scan tells through site, sex and age band, and within a band age still varies. Rows
    that are merged are tested beyond the coarser stratum only, which is why they are counted.
    Permutations restricted to strata: Good, Permutation, Parametric and Bootstrap Tests of
    Hypotheses (2005), chapter 5. ``tests/statistics/certainty/test_strata.py`` holds the strata
    against a table grouped by pandas.
    """
    absent = [name for name in GIVEN_UP if name not in people]
    if absent:
        raise InputError(
            f"People have no columns {absent}, which strata are made of; they have "
            f"{list(people.columns)[:20]}. Give the participants with site, sex and age."
        )
    for name, value in {"bands": bands, "smallest": smallest}.items():
        if value < 1:
            raise InputError(f"Parameter {name} of the strata is {value}; give 1 or more.")
    parts = {
        "site": pd.factorize(people["site"])[0],
        "sex": pd.factorize(people["sex"])[0],
        "age": _bands(people["age"].to_numpy(float), bands),
    }
    parts.pop(target, None)
    by = tuple(parts)
    code = np.full(len(people), -1, dtype=np.int64)
    open_rows, merged = np.arange(len(people)), {}
    for given_up in (None, *(name for name in GIVEN_UP if name in by)):
        if given_up:
            del parts[given_up]
            merged[given_up] = len(open_rows)
        fine = _grouped([part[open_rows] for part in parts.values()], len(open_rows))
        enough = np.bincount(fine, minlength=1)[fine] >= smallest
        # What nothing is left to give up for stays together, however few they are.
        closed = enough | (not parts)
        code[open_rows[closed]] = code.max(initial=-1) + 1 + fine[closed]
        open_rows = open_rows[~closed]
    return Strata(pd.factorize(code)[0].astype(np.int64), by, merged)


def _bands(age: NDArray[np.float64], bands: int) -> NDArray[np.int64]:
    known = np.isfinite(age)
    if not known.any():
        return np.full(len(age), -1, dtype=np.int64)
    inner = np.quantile(age[known], np.arange(1, bands) / bands)
    return np.where(known, np.searchsorted(inner, age, side="left"), -1).astype(np.int64)


def _grouped(parts: list[NDArray[np.int64]], n: int) -> NDArray[np.int64]:
    """Label each row by its combination of parts; one group if there are no parts."""
    if not parts or not n:
        return np.zeros(n, dtype=np.int64)
    return np.unique(np.column_stack(parts), axis=0, return_inverse=True)[1].reshape(-1)
