"""The mixed models refitted to the scores of every draw of test people."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.statistics.inputs.mixed_models import (
    NO_RESIDUAL,
    design_matrix,
    terms_of,
    why_not_fitted,
)
from ukb_brain.statistics.inputs.random_intercept import PERFECT, fit_random_intercept
from ukb_brain.statistics.scores.target_predictions import CELL, cells_of
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

WEIGHTINGS = ("equal", "precision")
RESAMPLED = (
    "Interval over resampled test people, all cells rescored and the model refitted: it holds for "
    "these targets and these trained networks."
)
# A cell that hardly varies, at a ceiling, would otherwise decide its domain alone.
LARGEST_WEIGHT = 100.0


def precision_weights(drawn: Floats) -> Floats:
    """Weigh cells by how precisely they are scored: one over the variance of their draws.

    Parameters
    ----------
    drawn : ndarray, shape (draws, cells)
        Scores by draw of test people; NaN where a draw has none.

    Returns
    -------
    ndarray, shape (cells,)
        The median cell has weight 1 and none more than `LARGEST_WEIGHT`.

    Raises
    ------
    ValueError
        If a cell has fewer than two scores, or most cells do not vary at all.
    """
    if (np.isfinite(drawn).sum(axis=0) < 2).any():
        raise ValueError("every cell needs scores in at least two draws")
    variance = np.nanvar(drawn, axis=0, ddof=1)
    middle = np.median(variance)
    if middle <= PERFECT * np.nanmean(drawn**2):
        raise ValueError("the scores of most cells do not vary between draws")
    return np.asarray(middle / np.maximum(variance, middle / LARGEST_WEIGHT))


def resampled_table(
    skill: pd.DataFrame, accuracy: pd.DataFrame, grid: Grid, level: float = 0.95
) -> pd.DataFrame:
    """Fit each domain's mixed model to `common_scores`, with intervals over resampled people."""
    if skill.empty:
        return table_of(reported.mixed_models_resampled)
    cells = skill.index.to_frame(index=False).merge(cells_of(grid), on=CELL, how="left")
    outcomes = {"balanced_accuracy": accuracy.to_numpy().T, "skill": skill.to_numpy().T}
    return resampled_effects(cells, outcomes, grid, level)


def resampled_effects(
    cells: pd.DataFrame, outcomes: Mapping[str, Floats], grid: Grid, level: float = 0.95
) -> pd.DataFrame:
    """Fit each domain's mixed model to scores, with intervals over draws of test people.

    The terms are those of `ukb_brain.statistics.inputs.mixed_models.fit_domains`. The model is
    fitted to the scores of all test people, which gives the estimate, and again to the scores of
    every draw, which gives a percentile interval. Cells share their draws, so that whatever cells
    have in common, above all their test people, is in the interval. Networks are not trained again.

    The bootstrap of clustered test people follows Davison & Hinkley (1997, section 3.8). Tied to
    refits by statsmodels in ``test_a_draw_is_refitted_as_statsmodels_does``; its coverage, and the
    lack of it in the intervals that take cells for independent, is measured in
    ``test_intervals_cover_where_people_differ``.

    Davison AC, Hinkley DV (1997). Bootstrap methods and their application. Cambridge.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``target, domain`` and a boolean column a modality and domain; one row a cell.
    outcomes : dict of str to ndarray, shape (1 + draws, cells)
        By name: ``skill`` (R² of a continuous target, 2·AUC − 1 of a binary one) and
        ``balanced_accuracy``, for instance, in the order of the rows: of the sample, then by draw,
        of the same families in all cells (`ukb_brain.statistics.draws.FamilyDraws`). A cell without
        a score is left out, and a draw in which a cell of the domain has none is left out of it.

    Returns
    -------
    pandas.DataFrame
        Columns of `reported.mixed_models_resampled`: one row an outcome, domain, weighting and
        term. With weighting ``precision`` a cell's residual variance is proportional to its
        variance over draws. A model that cannot be fitted keeps its rows, empty, with the reason in
        ``note``.
    """
    tables = []
    for outcome, domain, weighting in product(outcomes, grid.domains, WEIGHTINGS):
        scores = outcomes[outcome]
        mine = (cells["domain"] == domain).to_numpy() & np.isfinite(scores[0])
        rows = _rows(cells.loc[mine], scores[:, mine], terms_of(domain, grid), weighting, level)
        tables.append(rows.assign(domain=domain, outcome=outcome, weighting=weighting))
    return table_of(reported.mixed_models_resampled, pd.concat(tables, ignore_index=True))


def _rows(
    cells: pd.DataFrame, scores: Floats, terms: tuple[str, ...], weighting: str, level: float
) -> pd.DataFrame:
    rows = pd.DataFrame({"term": ["intercept", *terms]})
    X, targets, weights = design_matrix(cells, terms), cells["target"], None
    failed = why_not_fitted(X, scores[0], targets)
    if failed is None and weighting == "precision":
        try:
            weights = precision_weights(scores[1:])
        except ValueError as error:
            failed = str(error)
    if failed is None:
        effects = fit_random_intercept(X, scores, targets, weights).estimate
        failed = NO_RESIDUAL if np.isnan(effects[0, 0]) else None
    if failed is not None:
        return rows.assign(n_draws=0, note=f"not fitted, {failed}")
    low, high = np.transpose([percentile_interval(drawn, level) for drawn in effects[1:].T])
    n_draws = int(np.isfinite(effects[1:, 0]).sum())
    none = " No interval: most draws leave a cell without a score." if np.isnan(low[0]) else ""
    return rows.assign(
        estimate=effects[0], low=low, high=high, n_draws=n_draws, note=RESAMPLED + none
    )
