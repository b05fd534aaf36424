"""Families: people who are joined by a chain of related pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def find_families(
    eids: npt.NDArray[np.int64], pairs: pd.DataFrame, kinship_above: float
) -> npt.NDArray[np.int64]:
    """Label each person's family.

    Pairs with a person outside the cohort are left out, so that families depend on the cohort only
    and can but shrink when somebody withdraws.

    Parameters
    ----------
    eids : ndarray of int, shape (n,)
        The cohort, each once.
    pairs : DataFrame
        ``ID1, ID2, Kinship`` as in UK Biobank's relatedness file.
    kinship_above : float
        Pairs with a larger kinship coefficient are related.

    Returns
    -------
    ndarray of int, shape (n,)
        0, 1, 2, … in the order of each family's smallest eid, whatever the order of rows. A person
        without relatives is a family of one.
    """
    order = np.argsort(eids, kind="stable")
    people = pd.Index(eids[order])
    related = pairs[pairs["Kinship"] > kinship_above]
    first, second = (people.get_indexer(pd.Index(related[side])) for side in ("ID1", "ID2"))
    inside = (first >= 0) & (second >= 0)
    links = coo_array(
        (np.ones(inside.sum(), dtype=np.int8), (first[inside], second[inside])),
        shape=(len(people), len(people)),
    )
    _, component = connected_components(links, directed=False)
    # Numbered by first appearance among sorted eids: scipy promises no order of its own.
    labels = np.empty(len(eids), dtype=np.int64)
    labels[order] = pd.factorize(component)[0]
    return labels
