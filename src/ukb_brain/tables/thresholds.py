"""Cut-offs that are fitted on training people, and the binary targets that they give.

Such a target is kept as measured in ``primary.targets`` and is cut by fold, in training, in blocks
and in scoring alike, at a quantile of that fold's training people: a value of anybody whom a fold
validates or tests moves nothing in it. Where a table holds everybody once, each person's value is
cut as in the fold that tests them.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.tables.rules import beyond
from ukb_brain.tables.splits import training_fingerprints
from ukb_brain.tables.visits import at_chosen_visit

# Takes targets as measured and a fold, and gives them as the fold cuts them.
Cut = Callable[[pd.DataFrame, int], pd.DataFrame]
COLUMNS = {"fold": int, "target": str, "threshold": float, "n_train": int, "training_people": str}


def fit_thresholds(
    targets: pd.DataFrame, participants: pd.DataFrame, splits: pd.DataFrame, grid: Grid
) -> pd.DataFrame:
    """Fit the cut-off of each target that has a quantile, on each fold's training people.

    Parameters
    ----------
    targets : DataFrame
        ``eid, instance`` and a float column a target, as measured. The chosen visit of each person
        counts.
    participants : DataFrame
        ``eid, instance, chosen``.
    splits : DataFrame
        ``eid, fold, part``.
    grid : Grid
        Whose targets say which are cut, and where.

    Returns
    -------
    DataFrame
        ``fold, target, threshold, n_train, training_people``: the fingerprint of those it was
        fitted on. Without rows where no target has a quantile.

    Raises
    ------
    InputError
        If no training person of a fold has an answer.
    """
    fitted = {
        key: target.quantile for key, target in grid.targets.items() if target.quantile is not None
    }
    once = at_chosen_visit(targets, participants)
    train = splits[splits["part"] == "train"]
    rows = []
    for fold, people in training_fingerprints(splits).items():
        training = once[once["eid"].isin(train.loc[train["fold"] == fold, "eid"])]
        for key, quantile in fitted.items():
            answers = training[key].dropna().to_numpy()
            if not len(answers):
                raise InputError(
                    f"Target {key!r} has no answer from any training person of fold {fold}, so "
                    f"that its quantile cannot be fitted: check its field, or give "
                    "a `threshold` in its place."
                )
            cut = float(np.quantile(answers, quantile))
            rows.append((fold, key, cut, len(answers), people))
    return pd.DataFrame(rows, columns=[*COLUMNS]).astype(COLUMNS)


def fit_cut(
    targets: pd.DataFrame, participants: pd.DataFrame, splits: pd.DataFrame, grid: Grid
) -> Cut:
    """Fit the cut-offs of all folds, and give what cuts targets as a fold does."""
    thresholds = fit_thresholds(targets, participants, splits, grid)
    return lambda table, fold: in_fold(table, thresholds, grid, fold)


def in_fold(targets: pd.DataFrame, thresholds: pd.DataFrame, grid: Grid, fold: int) -> pd.DataFrame:
    """Cut targets as a fold does, by what `fit_thresholds` returned; others are as they were.

    Columns that are cut hold 0, 1 or NaN.
    """
    mine = thresholds[thresholds["fold"] == fold]
    return targets.assign(
        **{
            key: beyond(targets[key].to_numpy(np.float64), cut, grid.targets[key].direction)
            for key, cut in zip(mine["target"], mine["threshold"], strict=True)
        }
    )


def as_tested(
    targets: pd.DataFrame, participants: pd.DataFrame, splits: pd.DataFrame, grid: Grid
) -> pd.DataFrame:
    """Cut each person's targets as in the fold that tests them, or else as in the first fold.

    Takes what `fit_thresholds` does; rows stay in their order.
    """
    thresholds = fit_thresholds(targets, participants, splits, grid)
    if thresholds.empty:
        return targets
    tested = splits[splits["part"] == "test"].drop_duplicates("eid").set_index("eid")["fold"]
    fold = targets["eid"].map(tested).fillna(splits["fold"].min()).astype(int)
    cut = [in_fold(rows, thresholds, grid, int(str(of))) for of, rows in targets.groupby(fold)]
    return pd.concat(cut).loc[targets.index]
