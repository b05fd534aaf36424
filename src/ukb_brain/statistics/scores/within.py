"""Scores within groups of people, such as sites: differences between groups do not count."""

from __future__ import annotations

import numpy as np

from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import POOLED, Labels, headline
from ukb_brain.statistics.sums import ROUNDING, Floats, ratio


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
    kind: str,
    y_true: Floats,
    y_pred: Floats,
    site: Labels,
    weights: Floats,
    fold: Labels | None = None,
    level: float = 0.95,
) -> dict[str, float]:
    """Score a cell within sites, with a percentile interval.

    Parameters
    ----------
    weights : ndarray, shape (draws, n)
        From `ukb_brain.statistics.draws.FamilyDraws.weights`.
    fold : ndarray, shape (n,), optional
        Each person's fold, whose model has a scale of its own: groups are then sites by folds.

    Notes
    -----
    Areas are those of each site, averaged by people: the covariate-specific curve averaged over
    groups (Janes & Pepe, Biometrika 2009;96:371-382), with people instead of cases as shares. Any
    shift of scores between sites leaves it as it is. R² is `r2_within`. A target that is
    readable only because sites differ in it is at chance here
    (``test_a_target_readable_only_through_site_is_at_chance_within``).
    """
    group = np.unique(site, return_inverse=True)[1]
    if fold is not None:
        group = group * (1 + int(np.max(fold))) + fold

    def within(w: Floats) -> dict[str, Floats]:
        if KINDS[kind].headline in POOLED:
            return {"within_site": r2_within(y_true, y_pred, w, group)}
        return {"within_site": headline(kind, y_true, y_pred, w, group)}

    return measured(within, weights, level)
