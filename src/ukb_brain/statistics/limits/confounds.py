"""Confounds by themselves, their design and the baseline they give, and what a cell adds to it."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    RidgeCV,
)
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import SplineTransformer

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.scores.engine import Labels, headline
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables.visits import by_phase

Mask = NDArray[np.bool_]

ETHNIC = "ethnic_background"
# Knots of the spline of dates, and different days that it needs; scanners drift over years.
KNOTS, LEAST_DATES = 4, 20
NUMBERS = ("sex", "age", "head_size", "head_motion")
RIDGE_PENALTIES = np.logspace(-2, 4, 13)
LOGISTIC_STRENGTHS = np.logspace(-3, 2, 6)
FOLDS_FOR_PENALTY = 5
# As good as no penalty on two standardised columns, and still finite where classes do not overlap.
STRENGTH = 100.0


def confound_design(
    confounds: pd.DataFrame, train: Mask, target: str, covariates: tuple[str, ...] = ()
) -> tuple[Floats, list[str]]:
    """Write confounds as numbers: centred and scaled by training people, without the target.

    The set is the core of Alfaro-Almagro et al., NeuroImage 2021;224:117002, without their hundreds
    of finer ones.

    Parameters
    ----------
    confounds : pandas.DataFrame
        One row a person and visit: ``site, sex, age`` and where known ``phase, date, head_size,
        head_motion``.
    train : ndarray of bool, shape (n,)
    target : str
        Its key: age is no confound of ``age``, nor sex of ``sex``.

    Returns
    -------
    tuple of ndarray, shape (n, k), and list of str
        A column each site, and each phase of its scanner, among training people, a spline of the
        date, sex, age, age squared (of centred age), head size and head motion, and their names.
        What is not known, or a site that no training person was at, is 0, the training mean.
        Columns that are constant in training are left out.

    Raises
    ------
    InputError
        If site, sex or age is not there, or nobody is in training.
    """
    absent = sorted({"site", "sex", "age"} - set(confounds.columns))
    if absent or not train.any():
        what = f"no column {', '.join(absent)}" if absent else "no training people"
        raise InputError(
            f"The table of confounds has {what}; it needs site, sex and age of everybody. Run "
            "data_engineering again."
        )
    raw = _labels("site", confounds["site"].to_numpy(float), train)
    if "phase" in confounds:
        scanner = by_phase(confounds["site"], confounds["phase"])
        raw |= _labels("site and phase", scanner.to_numpy(float), train)
    if "date" in confounds:
        raw |= _smooth("date", confounds["date"].to_numpy(float), train)
    if ETHNIC in covariates and ETHNIC in confounds:
        # Codes of four digits belong to the main group of their first one (coding 1001).
        code = confounds[ETHNIC].to_numpy(float)
        main = np.where(code >= 1000, code // 1000, np.where(code > 0, code, np.nan))
        raw |= _labels(ETHNIC, main, train)
    for name in (*NUMBERS, *(each for each in covariates if each != ETHNIC)):
        if name in confounds and name != target:
            raw[name] = confounds[name].to_numpy(float)
    if "age" in raw:
        mean = np.nanmean(raw["age"][train]) if np.isfinite(raw["age"][train]).any() else 0.0
        raw["age squared"] = (raw["age"] - mean) ** 2
    columns, names = [], []
    for name, column in raw.items():
        known = column[train & np.isfinite(column)]
        if len(known) > 1 and known.std() > 0:
            columns.append(np.nan_to_num((column - known.mean()) / known.std()))
            names.append(name)
    return np.column_stack([np.empty((len(confounds), 0)), *columns]), names


def _smooth(name: str, values: Floats, train: Mask) -> dict[str, Floats]:
    """Write a cubic spline over the range of training people, level beyond it; none of few."""
    known = np.isfinite(values)
    if len(np.unique(values[train & known])) < LEAST_DATES:
        return {}
    spline = SplineTransformer(n_knots=KNOTS, include_bias=False).fit(values[train & known, None])
    columns = np.full((len(values), spline.n_features_out_), np.nan)
    columns[known] = spline.transform(values[known, None])
    return {f"{name} {k}": column for k, column in enumerate(columns.T, 1)}


def _labels(name: str, code: Floats, train: Mask) -> dict[str, Floats]:
    """Write a column for each code among training people."""
    # One that is new in the test is like one that is not known.
    labels = np.unique(code[train & np.isfinite(code)])
    known = np.isin(code, labels)
    return {f"{name} {one:.0f}": np.where(known, code == one, np.nan) for one in labels}


def confounds_baseline(kind: str, y: Floats, X: Floats, train: Mask, family: Any) -> Floats:
    """Predict a target from confounds alone, by ridge or logistic regression.

    The penalty is chosen within training people (leaving out one, or five folds of families), not
    by those of validation: their predictions are then as honest as the test's, as
    `stack` needs them.

    Parameters
    ----------
    y, X : ndarray, shape (n,) and (n, k)
        In the target's own units, NaN where not known; only training people's is used.
    train, family : ndarray, shape (n,)
        Relatives stay together where the penalty of logistic regression is chosen.

    Returns
    -------
    ndarray, shape (n,)
        In the target's own units, or as probabilities, for everybody: those of validation and
        test are by a fit that has not seen them.

    Raises
    ------
    InputError
        If training has one class, or fewer than five families.
    """
    fitted = train & np.isfinite(y)
    distinct = len(np.unique(y[fitted]))
    families = len(np.unique(np.asarray(family)[fitted]))
    if distinct < 2 or families < FOLDS_FOR_PENALTY:
        raise InputError(
            f"The confounds-only baseline was to learn from {int(fitted.sum())} training people "
            f"of {families} families with {distinct} distinct value(s): it needs at least "
            f"{FOLDS_FOR_PENALTY} families and 2 values. Give training more people (splitting in "
            "parameters)."
        )
    if not X.shape[1]:
        return np.full(len(y), y[fitted].mean())
    if kind != "binary":
        ridge = RidgeCV(alphas=RIDGE_PENALTIES).fit(X[fitted], y[fitted])
        return np.asarray(ridge.predict(X), dtype=float)
    labels, groups = y[fitted].astype(int), np.asarray(family)[fitted]
    parts = GroupKFold(FOLDS_FOR_PENALTY).split(X[fitted], labels, groups)
    # A fold without one of the classes says nothing of the penalty.
    parts = [(a, b) for a, b in parts if np.ptp(labels[a]) and np.ptp(labels[b])]
    if not parts:
        return np.full(len(y), labels.mean())
    logistic = LogisticRegressionCV(
        Cs=LOGISTIC_STRENGTHS,
        cv=parts,
        scoring="neg_log_loss",
        l1_ratios=(0,),
        max_iter=1000,
        use_legacy_attributes=False,
    ).fit(X[fitted], labels)
    return np.asarray(logistic.predict_proba(X)[:, 1], dtype=float)


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


def gain_beyond_confounds(
    kind: str,
    y_true: Floats,
    predicted: Floats,
    weights: Floats,
    fold: Labels | None = None,
    level: float = 0.95,
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
    predicted : ndarray, shape (n, 3)
        From `stack`: by confounds alone; without the cell, by confounds and what else both have,
        such as the cell of its block; and by these and the cell, so that the latter two differ by
        the cell alone.
    weights : ndarray, shape (draws, n)

    Returns
    -------
    dict of str to float
        ``confounds, together`` and ``gain``, the second less what is without the cell, each with
        ``_low`` and ``_high``: areas under the curve or R².
    """

    def estimates(w: Floats) -> dict[str, Floats]:
        alone, without, together = headline(kind, y_true, predicted, w, fold).T
        return {"confounds": alone, "together": together, "gain": together - without}

    return measured(estimates, weights, level)
