"""Nodes that make blocks of inputs out of targets."""

from __future__ import annotations

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.tables.blocks import apply_scaling, fit_scaling
from ukb_brain.tables.splits import check_disjoint
from ukb_brain.tables.thresholds import fit_cut
from ukb_brain.tables.visits import at_chosen_visit


def fit_block_scaling(
    targets: pd.DataFrame, splits: pd.DataFrame, participants: pd.DataFrame, grid: Grid
) -> pd.DataFrame:
    """Fit imputation and scaling of every trait on training people.

    Parameters
    ----------
    targets : DataFrame
        ``eid, instance`` and one float column a target.
    splits : DataFrame
        ``eid, fold, part``; no family may be in two parts.
    participants : DataFrame
        ``eid, family`` and more.
    grid : Grid
        Whose targets are traits.

    Returns
    -------
    DataFrame
        ``fold, target, mean, sd, n_train``.
    """
    check_disjoint(splits, participants)
    chosen = at_chosen_visit(targets, participants)
    cut = fit_cut(targets, participants, splits, grid)
    return fit_scaling(chosen, splits, list(grid.targets), cut)


def make_blocks(
    targets: pd.DataFrame,
    splits: pd.DataFrame,
    block_scaling: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
) -> pd.DataFrame:
    """Impute and scale everybody's traits.

    Parameters
    ----------
    targets : DataFrame
        ``eid, instance`` and one float column a target.
    splits : DataFrame
        ``eid, fold, part``.
    block_scaling : DataFrame
        As returned by `fit_block_scaling`.
    participants : DataFrame
        ``eid, instance, chosen``.
    grid : Grid
        Whose targets are traits.

    Returns
    -------
    DataFrame
        ``eid, instance, fold`` and per trait its float32 values and its mask.
    """
    return apply_scaling(
        targets, splits, block_scaling, fit_cut(targets, participants, splits, grid)
    )
