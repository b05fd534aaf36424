"""People of folds that each leave a site out, whatever the splits of the map are."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.tables.blocks import fit_block_scaling, make_blocks
from ukb_brain.tables.splits import Splitting, make_splits
from ukb_brain.tables.visits import one_visit
from ukb_brain.training.people import People, gather_people

logger = logging.getLogger(__name__)


def leave_sites_out(
    targets: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    grid: Grid,
    splitting: Splitting,
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
        Empty where fewer than two sites have enough people.
    """
    sites = one_visit(participants)["site"]
    enough = int((sites.value_counts() >= splitting.min_per_part).sum())
    if enough < 2:
        words = "No site can be left out: %s has %s people or more, and two are needed."
        logger.warning(words, enough, splitting.min_per_part)
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
