"""Scores of a target's cells: of the sample, draws and jackknife, common people, within sites."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.statistics.draws import FamilyDraws, measured, percentile_interval
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import POOLED, Labels, Scores, headline, score_draws
from ukb_brain.statistics.scores.target_predictions import CELL, TargetPredictions
from ukb_brain.statistics.weighted_sums import ROUNDING, Floats, ratio

# Beyond some hundred blocks a jackknife's skewness hardly changes.
MOST_BLOCKS = 200


def score_cells(
    table: TargetPredictions,
    weights: Floats,
    metrics: Sequence[str] | None = None,
    every_fold: bool = False,
) -> Scores:
    """Score a target's cells in all draws at once, as `score_draws` does."""
    given = (table.kind, table.y, table.predicted, weights, table.row_of_fold, table.threshold)
    return score_draws(*given, metrics, every_fold)


def estimate_cells(table: TargetPredictions) -> Scores:
    """Score all cells of a target on the sample itself, each metric of shape (cells,).

    NaN where a cell has no score, for want of a second person, or in one of its folds.
    """
    enough = (~np.isnan(table.predicted)).sum(axis=0) > 1
    scores = score_cells(table, np.ones((1, len(table.y))), every_fold=True)
    return {name: np.where(enough, values[0], np.nan) for name, values in scores.items()}


def jackknife_cells(table: TargetPredictions, blocks: int = MOST_BLOCKS) -> Scores:
    """Score all cells with one family, or block of families, left out at a time.

    With more families than ``blocks``, families are dealt out to these in turn, in the order of
    their labels. Metrics have the shape (blocks, cells), NaN where what is left has no score.

    Notes
    -----
    For the acceleration of BCa intervals. Sums over blocks of a statistic's influence have the
    same second and third cumulants in all as single families have, so the acceleration is that of
    single families, with some noise (DiCiccio & Efron, Statistical Science 11:189, 1996).
    """
    families, place = np.unique(table.family, return_inverse=True)
    block = place.reshape(-1) % blocks
    left_out = np.arange(min(blocks, len(families)))[:, None] == block
    return score_cells(table, 1.0 - left_out)


def percentile_bounds(estimate: Floats, drawn: Floats, level: float) -> Floats:
    """Bounds of cells, shape (2, cells), by `percentile_interval`; NaN without an estimate."""
    bounds = [percentile_interval(of_cell, level) for of_cell in drawn.T]
    return np.where(np.isfinite(estimate), np.transpose(bounds), np.nan)


def scored_with_percentiles(
    table: TargetPredictions,
    draws: FamilyDraws | None = None,
    level: float = 0.95,
    headline_only: bool = False,
) -> pd.DataFrame:
    """Score a target's cells, with percentile intervals, or of the headline, where there are draws.

    Returns
    -------
    pandas.DataFrame
        ``target, inputs`` and metrics of the kind, each with ``_low`` and ``_high`` where it has an
        interval; one row a cell.
    """
    sample = estimate_cells(table)
    bounds_of = [KINDS[table.kind].headline] if headline_only else None
    drawn = score_cells(table, draws.weights(table.family), bounds_of) if draws else {}
    found: dict[str, Any] = {"target": table.target, "inputs": table.inputs}
    for name, estimate in sample.items():
        found[name] = estimate
        if name in drawn:
            bounds = percentile_bounds(estimate, drawn[name], level)
            found |= zip((f"{name}_low", f"{name}_high"), bounds, strict=True)
    return pd.DataFrame(found)


def common_scores(
    targets: Mapping[str, TargetPredictions], draws: FamilyDraws
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all cells of every target on the people whom its cells have in common.

    Returns
    -------
    skill, accuracy : pandas.DataFrame
        R² or 2·AUC − 1, and the study's balanced accuracy (of a median split, if continuous). Index
        ``target, inputs``; column 0 is the sample's, the others those of bootstrap draws, the same
        in all targets. NaN where these people leave a score undefined.
    """
    found = [np.empty((2, 1 + draws.draws, 0))]
    for table in targets.values():
        mine = table.restricted(np.asarray(np.isfinite(table.predicted).all(axis=1)))
        scores, kind = np.full((2, 1 + draws.draws, len(table.inputs)), np.nan), KINDS[table.kind]
        if len(mine.y) > 1:
            both, weights = (kind.headline, kind.accuracy), draws.weights(mine.family)
            sample, drawn = estimate_cells(mine), score_cells(mine, weights, both)
            scores = np.array([np.vstack([sample[name], drawn[name]]) for name in both])
        found.append(np.array([kind.skill(scores[0]), scores[1]]))
    cells = [(key, name) for key, table in targets.items() for name in table.inputs]
    index = pd.MultiIndex.from_frame(pd.DataFrame(cells, columns=CELL))
    skill, accuracy = np.concatenate(found, axis=2)
    return pd.DataFrame(skill.T, index), pd.DataFrame(accuracy.T, index)


def r2_within(y_true: Floats, y_pred: Floats, weights: Floats, group: Labels) -> Floats:
    """Share of the variance within groups that is explained.

    Parameters
    ----------
    y_true, y_pred, group : ndarray, shape (n,)
        In the target's own units; the label of each person's group.
    weights : ndarray, shape (draws, n)
        Non-negative.

    Returns
    -------
    ndarray, shape (draws,)
        1 - (squared errors about each group's mean error) / (squares of the target about each
        group's mean), both summed over groups; NaN where the target is constant in all of them.

    Notes
    -----
    R² of target and prediction after both were centred in each group. Each group is thereby
    granted the best shift of its predictions, so that, like the area under the curve within
    groups, it says nothing about differences between groups: a prediction that knows the site
    alone has exactly 0, and one that is right within sites is not blamed for not knowing the
    target's difference between them. The shift costs one degree of freedom a group above and
    below alike, so that chance stays at 0.
    ``test_r2_within_is_that_of_columns_centred_by_statsmodels`` holds it to residuals of
    statsmodels' regression on the groups.
    """
    y = y_true - y_true.mean()
    error = y - (y_pred - y_pred.mean())
    member = (group[:, None] == np.unique(group)).astype(float)
    people = np.maximum(weights @ member, np.finfo(float).tiny)
    below, above = (
        weights @ one**2 - ((weights @ (member * one[:, None])) ** 2 / people).sum(axis=1)
        for one in (y, error)
    )
    floor = ROUNDING * (weights @ y**2) + np.finfo(float).tiny
    return 1 - ratio(above, np.where(below > floor, below, 0.0))


def score_within_sites(
    cell: TargetPredictions, site: Labels, weights: Floats, level: float = 0.95
) -> dict[str, float]:
    """Score a target's only cell within sites by folds, with a percentile interval.

    Parameters
    ----------
    site : ndarray, shape (n,)
        Differences between sites do not count, nor do those between folds, whose models have
        scales of their own.
    weights : ndarray, shape (draws, n)
        From `ukb_brain.statistics.draws.FamilyDraws.weights`.

    Notes
    -----
    Areas are those of each site, averaged by people: the covariate-specific curve averaged over
    groups (Janes & Pepe, Biometrika 2009;96:371-382), with people instead of cases as shares. Any
    shift of scores between sites leaves it as it is. R² is `r2_within`. A target that is
    readable only because sites differ in it is at chance here
    (``test_a_target_readable_only_through_site_is_at_chance_within``).
    """
    y, predicted = cell.y, cell.predicted[:, 0]
    places = np.column_stack([np.unique(site, return_inverse=True)[1], cell.fold])
    group = np.unique(places, axis=0, return_inverse=True)[1].reshape(-1)
    pooled = KINDS[cell.kind].headline in POOLED
    score = r2_within if pooled else partial(headline, cell.kind)
    return measured(lambda w: {"within_site": score(y, predicted, w, group)}, weights, level)
