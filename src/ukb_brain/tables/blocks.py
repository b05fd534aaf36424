"""Blocks: the traits of each domain as inputs, imputed and scaled by training people."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.tables.splits import check_disjoint, training_fingerprints
from ukb_brain.tables.thresholds import Cut, fit_cut
from ukb_brain.tables.visits import at_chosen_visit

MISSING_SUFFIX = "__missing"


def _as_measured(targets: pd.DataFrame, _fold: int) -> pd.DataFrame:
    return targets


def fit_scaling(
    targets: pd.DataFrame, splits: pd.DataFrame, traits: Sequence[str], cut: Cut = _as_measured
) -> pd.DataFrame:
    """Fit imputation and scaling on each fold's training people.

    Parameters
    ----------
    targets : DataFrame
        ``eid, instance`` and a float column a trait; NaN is no answer. Of each person the first
        imaging visit counts, so that nobody counts twice.
    splits : DataFrame
        ``eid, fold, part``.
    traits : sequence of str
        Columns to fit.
    cut : callable
        Cuts targets whose cut-off is fitted; see `ukb_brain.tables.thresholds`.

    Returns
    -------
    DataFrame
        ``fold, target, mean, sd, n_train, training_people``, with the population standard
        deviation and the fingerprint of the training people. A trait that
        is constant has sd 1, one without any answer mean 0 and sd 1, so that nothing divides by 0.
    """
    # Sorted, because floating-point sums depend on the order of rows.
    first = targets.sort_values(["eid", "instance"]).drop_duplicates("eid").set_index("eid")
    rows = []
    train = splits[splits["part"] == "train"]
    for fold, people in training_fingerprints(splits).items():
        training = cut(first[first.index.isin(train.loc[train["fold"] == fold, "eid"])], fold)
        for trait in traits:
            answers = training[trait].dropna().to_numpy()
            mean, sd = (answers.mean(), answers.std()) if len(answers) else (0.0, 0.0)
            constant = sd <= 1e-12 * max(1.0, abs(mean))
            spread = 1.0 if constant else sd
            rows.append((fold, trait, mean, spread, len(answers), people))
    columns = ["fold", "target", "mean", "sd", "n_train", "training_people"]
    return pd.DataFrame(rows, columns=columns)


def apply_scaling(
    targets: pd.DataFrame, splits: pd.DataFrame, scaling: pd.DataFrame, cut: Cut = _as_measured
) -> pd.DataFrame:
    """Impute and scale everybody's traits with what was fitted on training people.

    Parameters
    ----------
    targets, splits, cut
        As of `fit_scaling`; all visits count.
    scaling : DataFrame
        As it returned.

    Returns
    -------
    DataFrame
        ``eid, instance, fold`` and per trait a float32 column of its name (0 where it is imputed:
        the training mean) and one of its name with ``__missing`` (1 where there was no answer).
    """
    blocks = []
    for fold in sorted(scaling["fold"].unique().tolist()):
        fitted = scaling[scaling["fold"] == fold]
        people = splits.loc[splits["fold"] == fold, "eid"]
        rows = cut(targets[targets["eid"].isin(people)], fold)
        columns: dict[str, pd.Series] = {}
        for trait, mean, sd in zip(fitted["target"], fitted["mean"], fitted["sd"], strict=True):
            columns[trait] = ((rows[trait] - mean) / sd).fillna(0).astype(np.float32)
            columns[trait + MISSING_SUFFIX] = rows[trait].isna().astype(np.float32)
        blocks.append(rows[["eid", "instance"]].assign(fold=np.int64(fold), **columns))
    return pd.concat(blocks).sort_values(["fold", "eid", "instance"], ignore_index=True)


def fit_block_scaling(
    targets: pd.DataFrame, splits: pd.DataFrame, participants: pd.DataFrame, grid: Grid
) -> pd.DataFrame:
    """Fit imputation and scaling of every target of the grid at each person's chosen visit.

    No family may be in two parts of the splits. See `fit_scaling`.
    """
    check_disjoint(splits, participants)
    chosen = at_chosen_visit(targets, participants)
    cut = fit_cut(targets, participants, splits, grid)
    return fit_scaling(chosen, splits, list(grid.targets), cut)


def make_blocks(
    targets: pd.DataFrame,
    splits: pd.DataFrame,
    scaling: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
) -> pd.DataFrame:
    """Impute and scale everybody's traits by what `fit_block_scaling` returned."""
    cut = fit_cut(targets, participants, splits, grid)
    return apply_scaling(targets, splits, scaling, cut)
