"""Nested subsets of a fold's training people, for learning curves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.tables.blocks import MISSING_SUFFIX, apply_scaling, fit_scaling
from ukb_brain.training.people import REPEAT, Floats, Mask, People

# Work items are named and seeded by the number of a fold. These are beyond those of any splits.
PER_SHARE, SHARES = 100, 10_000


@dataclass(frozen=True)
class Subset:
    """Which part of the training people is kept.

    Attributes
    ----------
    share : float
        Of training people; above 0, at most 1.
    repeat : int
        0 is the first. Subsets of one repeat are nested.
    """

    share: float
    repeat: int

    @property
    def fold(self) -> int:
        """Its number in place of a fold's; it does not depend on which other subsets there are."""
        return round(self.share * SHARES) * PER_SHARE + self.repeat


def kept_families(people: People, subset: Subset, seed: int) -> Mask:
    """Choose families, whole, of training and validation people until there are as many as wanted.

    Parameters
    ----------
    people : People
        Of a fold.
    subset : Subset
        How many, and which repeat.
    seed : int
        Of the run.

    Returns
    -------
    ndarray of shape (n,)
        People of both who are kept: the families that come first in an order which is drawn for
        the seed and the repeat, so that a larger share holds every smaller one. The last family may
        bring more people than were wanted.
    """
    kept = np.zeros(len(people.eid), dtype=bool)
    for part in ("train", "validation"):
        mine = people.part == part
        rank = {int(f): _rank(seed, subset.repeat, int(f)) for f in np.unique(people.family[mine])}
        order = sorted(rank, key=rank.__getitem__)
        sizes = pd.Series(people.family[mine]).value_counts().reindex(order).to_numpy()
        before = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else np.empty(0)
        chosen = np.array(order, dtype=np.int64)[before < subset.share * mine.sum() - 1e-9]
        kept |= mine & np.isin(people.family, chosen)
    return kept


def _rank(seed: int, repeat: int, family: int) -> bytes:
    # A hash of the family rather than a draw from a stream: who else is there changes nothing.
    return hashlib.sha256(f"{seed}:{repeat}:{family}".encode()).digest()


def take_subset(people: People, subset: Subset, seed: int, grid: Grid) -> People:
    """Leave people out who are learnt from, as if they had never been asked.

    Parameters
    ----------
    people : People
        Of a fold.
    subset : Subset
        Whom to keep.
    seed : int
        Of the run.
    grid : Grid
        Whose targets are traits.

    Returns
    -------
    People
        Without the rows of training and validation people who are not kept, under the subset's
        number as a fold: kernels learn from both. Test people stay. Blocks are imputed and scaled
        by those who are left, so nothing of the others remains.

    Notes
    -----
    ``tests/evidence/test_subsamples.py`` holds it to what the earlier pipelines give for splits
    without the people left out.
    """
    learnt = np.isin(people.part, ("train", "validation"))
    rows = ~learnt | kept_families(people, subset, seed)
    fewer = replace(
        people,
        fold=subset.fold,
        eid=people.eid[rows],
        instance=people.instance[rows],
        family=people.family[rows],
        part=people.part[rows],
        targets={name: y[rows] for name, y in people.targets.items()},
        has={name: has[rows] for name, has in people.has.items()},
        blocks={},
    )
    return replace(fewer, blocks=_blocks(fewer, grid))


def _blocks(people: People, grid: Grid) -> dict[str, Floats]:
    keys = {"eid": people.eid, "instance": people.instance}
    targets = pd.DataFrame(keys | people.targets)
    splits = pd.DataFrame({"eid": people.eid, "fold": people.fold, "part": people.part})
    # A later visit, which comes after the first, is scaled like it.
    splits = splits.drop_duplicates("eid")
    scaling = fit_scaling(targets[people.part != REPEAT], splits, list(grid.targets))
    table = apply_scaling(targets, splits, scaling)
    table = table.set_index(["eid", "instance"]).loc[list(zip(*keys.values(), strict=True))]
    traits = {domain: grid.targets_of(domain) for domain in grid.domains}
    return {
        domain: table[[*names, *(name + MISSING_SUFFIX for name in names)]].to_numpy(np.float64)
        for domain, names in traits.items()
    }


def take_subsets(
    people: People, shares: Iterable[float], repeats: int, seed: int, grid: Grid
) -> dict[int, People]:
    """Take subsets of every share and repeat.

    Parameters
    ----------
    people : People
        Of a fold.
    shares : iterable of float
        Of training people.
    repeats : int
        How often each is drawn.
    seed : int
        Of the run.
    grid : Grid
        Whose targets are traits.

    Returns
    -------
    dict of int to People
        By the number of the subset; see `Subset.fold`. In the order of shares, then repeats.
    """
    subsets = [Subset(share, repeat) for share in sorted(shares) for repeat in range(repeats)]
    return {subset.fold: take_subset(people, subset, seed, grid) for subset in subsets}


def subset_of(fold: int) -> Subset:
    """Tell which subset a number stands for.

    Parameters
    ----------
    fold : int
        From `Subset.fold`.

    Returns
    -------
    Subset
    """
    return Subset(fold // PER_SHARE / SHARES, fold % PER_SHARE)
