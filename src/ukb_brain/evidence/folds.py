"""People of other folds: nested subsets of training people, and all sites but one."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from ukb_brain.evidence.settings import PER_SHARE, SHARES, Evidence
from ukb_brain.grid import Grid
from ukb_brain.tables.blocks import apply_scaling, fit_block_scaling, fit_scaling, make_blocks
from ukb_brain.tables.splits import Splitting, make_splits
from ukb_brain.tables.visits import one_visit
from ukb_brain.training.people import REPEAT, Floats, Mask, People, block_of, gather_people

logger = logging.getLogger(__name__)


class Subset(NamedTuple):
    """Which part of the training people is kept.

    Attributes
    ----------
    share : float
        Of training people; above 0, at most 1, of at most four decimals.
    repeat : int
        0 is the first. Subsets of one repeat are nested.
    """

    share: float
    repeat: int

    @property
    def number(self) -> int:
        """What seeds its draws, and is the fold of its models and tables; beyond those of splits.

        It does not depend on which other subsets there are.
        """
        return round(self.share * SHARES) * PER_SHARE + self.repeat


def kept_families(people: People, subset: Subset, seed: int) -> Mask:
    """Choose families, whole, of training and validation people until there are as many as wanted.

    Returns
    -------
    ndarray of shape (n,)
        People of both who are kept: the families that come first in an order which is drawn for
        the seed and the repeat, so that a larger share holds every smaller one. The last family may
        bring more people than were wanted.
    """

    def rank(family: int) -> bytes:
        # A hash of the family rather than a draw from a stream: who else is there changes nothing.
        return hashlib.sha256(f"{seed}:{subset.repeat}:{family}".encode()).digest()

    kept = np.zeros(len(people.eid), dtype=bool)
    for part in ("train", "validation"):
        mine = people.part == part
        sizes = pd.Series(people.family[mine]).value_counts()
        sizes = sizes.reindex(sorted(sizes.index, key=rank))
        before = sizes.cumsum() - sizes
        chosen = sizes.index[before < subset.share * mine.sum() - 1e-9]
        kept |= mine & np.isin(people.family, chosen)
    return kept


def take_subset(people: People, subset: Subset, seed: int, grid: Grid) -> People:
    """Leave people out who are learnt from, as if they had never been asked.

    Returns
    -------
    People
        Without the rows of training and validation people who are not kept, under the subset's
        number as a fold: kernels learn from both. Test people stay. Blocks are imputed and scaled
        by those who are left, so nothing of the others remains.

    Notes
    -----
    ``tests/evidence/test_subsets_and_sites.py`` holds it to what the earlier pipelines give for
    splits without the people left out.
    """
    learnt = np.isin(people.part, ("train", "validation"))
    rows = ~learnt | kept_families(people, subset, seed)
    fewer = replace(
        people,
        fold=subset.number,
        eid=people.eid[rows],
        instance=people.instance[rows],
        family=people.family[rows],
        site=people.site[rows],
        phase=people.phase[rows],
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
    return {domain: block_of(table, grid.targets_of(domain)) for domain in grid.domains}


def take_subsets(
    people: People, shares: Iterable[float], repeats: int, seed: int, grid: Grid
) -> dict[Subset, People]:
    """Take subsets of every share and repeat, in this order."""
    subsets = [Subset(share, repeat) for share in sorted(shares) for repeat in range(repeats)]
    return {subset: take_subset(people, subset, seed, grid) for subset in subsets}


def leave_sites_out(
    targets: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    splitting: Splitting,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> dict[int, People]:
    """Line up people for models of all sites but one, each tested on that site.

    Parameters
    ----------
    targets, participants, quality : pandas.DataFrame
        Of the earlier pipelines.
    splitting : Splitting
        Of the map; its scheme is set aside.

    Returns
    -------
    dict of int to People
        By fold, in the order of the codes of sites; see `ukb_brain.tables.splits.make_splits`.
        Empty where none are asked for, or fewer than two sites have enough people.
    """
    if not evidence.left_out_sites.strategies:
        return {}
    sites = one_visit(participants)["site"]
    least = splitting.min_per_part + splitting.set_aside
    enough = int((sites.value_counts() >= least).sum())
    if enough < 2:
        words = "No site can be left out: %s has %s people or more, and two are needed."
        logger.warning(words, enough, least)
        return {}
    scheme = splitting.model_copy(update={"scheme": "leave_one_site_out"})
    splits = make_splits(participants, scheme, seed)
    scaling = fit_block_scaling(targets, splits, participants, grid)
    blocks = make_blocks(targets, splits, scaling, participants, grid)
    return gather_people(targets, blocks, scaling, splits, participants, quality, grid)


def names_of_sites(people: Mapping[int, People], participants: pd.DataFrame) -> dict[int, str]:
    """Tell the code of the site that each fold leaves out, where its test people came first."""
    site = one_visit(participants).set_index("eid")["site"]
    names = {}
    for fold, one in people.items():
        (code,) = site.loc[one.eid[one.part == "test"]].unique()
        names[fold] = str(code)
    return names
