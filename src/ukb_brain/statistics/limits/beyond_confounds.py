"""What a cell adds to a confounds-only baseline."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.scores.engine import Labels, headline
from ukb_brain.statistics.sums import Floats

# As good as no penalty on two standardised columns, and still finite where classes do not overlap.
STRENGTH = 100.0


def stack(kind: str, y_fit: Floats, fit: Floats, apply_to: Floats) -> Floats:
    """Join predictions by a line that is fitted on validation people.

    Stacked generalisation (Wolpert, Neural Networks 1992;5:241-259) with k + 1 coefficients, least
    squares or logistic on the log-odds.

    Parameters
    ----------
    y_fit : ndarray, shape (m,)
        Truth of validation people.
    fit : ndarray, shape (m, k)
        Their predictions, by k models that have not learned from them; one alone is recalibrated.
    apply_to : ndarray, shape (n, k)
        The same of test people.

    Returns
    -------
    ndarray, shape (n,)
        In the target's own units, or as probabilities.

    Raises
    ------
    InputError
        If validation people have one class or value.
    """
    if len(np.unique(y_fit)) < 2:
        raise InputError(
            f"A cell and its confounds cannot be joined on {len(y_fit)} validation people of one "
            "class or value. Give validation more people (splitting in parameters)."
        )
    of_kind = KINDS[kind]
    fit, apply_to = of_kind.link(fit), of_kind.link(apply_to)
    centre, spread = fit.mean(axis=0), fit.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    seen, unseen = (fit - centre) / spread, (apply_to - centre) / spread
    if of_kind is BINARY:
        line = LogisticRegression(C=STRENGTH, max_iter=1000).fit(seen, y_fit.astype(int))
        return np.asarray(line.predict_proba(unseen)[:, 1], dtype=float)
    return np.asarray(LinearRegression().fit(seen, y_fit).predict(unseen), dtype=float)


def stack_on_confounds(
    kind: str, y_fit: Floats, fit: tuple[Floats, ...], apply_to: tuple[Floats, ...]
) -> tuple[Floats, Floats]:
    """Predict without a cell, and with it, from confounds and what else both may have.

    Parameters
    ----------
    y_fit : ndarray, shape (m,)
        Truth of validation people.
    fit : tuple of ndarray, shape (m,)
        Their predictions: first by the baseline, last by the cell; between them by what the cell
        has beside images, such as the cell of its block.
    apply_to : tuple of ndarray, shape (n,)
        The same of test people.

    Returns
    -------
    tuple of two ndarray, shape (n,)
        Without the cell, and together, both fitted on validation people, so that the two differ
        by the cell alone.
    """
    both, both_apply = np.column_stack(fit), np.column_stack(apply_to)
    without = stack(kind, y_fit, both[:, :-1], both_apply[:, :-1])
    return without, stack(kind, y_fit, both, both_apply)


def gain_beyond_confounds(
    kind: str,
    y_true: Floats,
    confounds: Floats,
    together: Floats,
    weights: Floats,
    fold: Labels | None = None,
    level: float = 0.95,
    without: Floats | None = None,
) -> dict[str, float]:
    """Score what a cell adds to confounds on test people, with percentile intervals.

    Dinga et al., bioRxiv 2020.08.17.255034. Intervals do not hold the uncertainty of fitting. A
    cell without anything new gains slightly less than nothing, for its coefficient is noise. A gain
    means beyond these confounds as measured, in straight lines and age squared: one that is
    measured with error, or acts in another shape, is left in part to the cell (Westfall & Yarkoni,
    PLoS ONE 2016;11:e0152719). A cell of age and sex had an interval above 0 in 1.0 (area) and 0.5
    % (R²) of 200 trials.

    Parameters
    ----------
    y_true, fold : ndarray, shape (n,)
    confounds, together, without : ndarray, shape (n,)
        From `stack_on_confounds`; the gain is over the last, where that is more than confounds.
    weights : ndarray, shape (draws, n)

    Returns
    -------
    dict of str to float
        ``confounds, together`` and ``gain``, the second less what is without the cell, each with
        ``_low`` and ``_high``: areas under the curve or R².
    """
    less = confounds if without is None else without
    cells = np.column_stack([confounds, together, less])

    def estimates(w: Floats) -> dict[str, Floats]:
        alone, both, less = headline(kind, y_true, cells, w, fold).T
        return {"confounds": alone, "together": both, "gain": both - less}

    return measured(estimates, weights, level)
