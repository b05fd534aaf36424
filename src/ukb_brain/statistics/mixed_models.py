"""The study's analysis of a grid: which inputs raise accuracy, target by target in a domain."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from ukb_brain.grid import Grid

OUTCOME = "balanced_accuracy"
STUDY_TERMS: dict[str, tuple[str, ...]] = {
    "constitutional": ("t1", "dwi", "rsfmri"),
    "psychology": ("serology", "disease", "t1", "dwi", "rsfmri"),
    "disease": ("serology", "psychology", "t1", "dwi", "rsfmri"),
    "serology": ("disease", "psychology", "t1", "dwi", "t1:dwi", "rsfmri"),
}
COLUMNS = [
    *("source", "domain", "outcome", "model", "term"),
    *("estimate", "std_error", "df", "t", "p", "low", "high"),
    *("sd_target", "sd_residual", "log_likelihood", "n"),
]


@dataclass(frozen=True)
class Fit:
    """Restricted-likelihood estimates of a model with a random intercept a target."""

    estimate: np.ndarray
    std_error: np.ndarray
    sd_target: float
    sd_residual: float
    log_likelihood: float


def terms_of(domain: str, grid: Grid) -> tuple[str, ...]:
    """List the fixed effects of a domain's model, without the intercept.

    Parameters
    ----------
    domain : str
        Of the targets.
    grid : Grid
        Used for a domain that the study does not have: the first modality of each imaging group
        and the blocks that its cells vary in.

    Returns
    -------
    tuple of str
        An interaction is written ``t1:dwi``.
    """
    if domain in STUDY_TERMS:
        return STUDY_TERMS[domain]
    blocks = tuple(d for d in grid.domains if d not in (grid.base_domain, domain))
    return (
        *(() if domain == grid.base_domain else blocks),
        *(next(iter(g)) for g in grid.imaging.values()),
    )


def analysable(performance: pd.DataFrame) -> pd.DataFrame:
    """Give every cell one outcome, the study's: balanced accuracy, of a median split if continuous.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.

    Returns
    -------
    pandas.DataFrame
        The same with ``balanced_accuracy`` filled from ``median_split_accuracy``.
    """
    binary = performance["kind"] == "binary"
    filled = performance["balanced_accuracy"].where(binary, performance["median_split_accuracy"])
    return performance.assign(**{OUTCOME: filled})


def _design(cells: pd.DataFrame, terms: tuple[str, ...]) -> np.ndarray:
    columns = [np.ones(len(cells))]
    columns += [cells[term.split(":")].to_numpy(float).prod(axis=1) for term in terms]
    return np.column_stack(columns)


def _restricted(X: np.ndarray, y: np.ndarray, groups: np.ndarray, ratio: float) -> Fit:
    """Estimates at a given ratio of the targets' variance to the residual variance."""
    n, p = X.shape
    same = (groups[:, None] == groups[None, :]).astype(float)
    shape = np.eye(n) + ratio * same
    weighted = np.linalg.solve(shape, np.column_stack([X, y]))
    information = X.T @ weighted[:, :p]
    estimate = np.linalg.solve(information, X.T @ weighted[:, p])
    variance = float((y - X @ estimate) @ (weighted[:, p] - weighted[:, :p] @ estimate)) / (n - p)
    log_likelihood = -0.5 * (
        (n - p) * (np.log(2 * np.pi * variance) + 1)
        + np.linalg.slogdet(shape)[1]
        + np.linalg.slogdet(information)[1]
    )
    std_error = np.sqrt(variance * np.diag(np.linalg.inv(information)))
    return Fit(
        estimate, std_error, np.sqrt(ratio * variance), np.sqrt(variance), float(log_likelihood)
    )


def fit_random_intercept(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Fit:
    """Fit ``y = X b + u[group] + e`` by restricted maximum likelihood (statsmodels).

    The outcome is scaled to unit variance for the optimiser and scaled back. Where the likelihood
    is highest without any variance between groups, which statsmodels cannot represent, the
    estimates at that boundary are given.

    Parameters
    ----------
    X : ndarray, shape (n, p)
        Fixed effects, of full column rank.
    y : ndarray, shape (n,)
        Outcome.
    groups : ndarray, shape (n,)
        Labels of the groups.

    Returns
    -------
    Fit
        Variances as standard deviations; the log-likelihood is the restricted one, on the scale
        of lme4.

    Raises
    ------
    numpy.linalg.LinAlgError
        If no optimiser converges.
    """
    n, p = X.shape
    scale = float(np.std(y))
    at_zero = _restricted(X, y, groups, 0.0)
    if _restricted(X, y, groups, 1e-4).log_likelihood <= at_zero.log_likelihood:
        return at_zero
    model = MixedLM(y / scale, X, groups=groups)
    for method in ("lbfgs", "bfgs", "powell"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = model.fit(reml=True, method=method)
            except np.linalg.LinAlgError:
                continue
        if found.converged and np.isfinite(found.bse_fe).all():
            return Fit(
                np.asarray(found.fe_params) * scale,
                np.asarray(found.bse_fe) * scale,
                float(np.sqrt(np.asarray(found.cov_re)[0, 0])) * scale,
                float(np.sqrt(found.scale)) * scale,
                float(found.llf) - (n - p) * np.log(scale),
            )
    raise np.linalg.LinAlgError("no optimiser converged")


def _why_not(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> str | None:
    n, p = X.shape
    between = len(np.unique(groups))
    if between < 2:
        return f"{between} target(s) with results; at least 2 are needed"
    if n - between - (p - 1) < 1:
        return f"{n} cells with results are too few for {between} targets and {p - 1} terms"
    if np.linalg.matrix_rank(X) < p:
        return "the cells with results do not tell the terms apart"
    if np.ptp(y) == 0:
        return "the outcome is constant"
    return None


def _rows(cells: pd.DataFrame, domain: str, terms: tuple[str, ...], level: float) -> pd.DataFrame:
    cells = cells.loc[cells[OUTCOME].notna()]
    X, y, groups = _design(cells, terms), cells[OUTCOME].to_numpy(float), cells["target"].to_numpy()
    model = f"{OUTCOME} ~ {' + '.join(terms)} + (1 | target)"
    rows = pd.DataFrame({"domain": domain, "outcome": OUTCOME, "term": ["intercept", *terms]})
    failed = _why_not(X, y, groups)
    if failed is None:
        try:
            fit = fit_random_intercept(X, y, groups)
        except np.linalg.LinAlgError as error:
            failed = str(error)
    if failed is not None:
        return rows.assign(model=f"{model}: not fitted, {failed}", n=len(cells))
    df = len(y) - len(np.unique(groups)) - len(terms)
    t = fit.estimate / fit.std_error
    half = stats.t.ppf((1 + level) / 2, df) * fit.std_error
    return rows.assign(
        model=model,
        estimate=fit.estimate,
        std_error=fit.std_error,
        df=float(df),
        t=t,
        p=2 * stats.t.sf(np.abs(t), df),
        low=fit.estimate - half,
        high=fit.estimate + half,
        sd_target=fit.sd_target,
        sd_residual=fit.sd_residual,
        log_likelihood=fit.log_likelihood,
        n=len(cells),
    )


def fit_domains(
    cells: pd.DataFrame, grid: Grid, source: str = "run", level: float = 0.95
) -> pd.DataFrame:
    """Fit one model a domain: balanced accuracy on inputs, a random intercept a target, REML.

    Degrees of freedom are those that nlme gives a term that varies within targets: cells minus
    targets minus terms (the intercept not counted). A model that cannot be fitted keeps its rows,
    with empty numbers and the reason in ``model``.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``target, domain, balanced_accuracy`` and a boolean column a modality and domain, from
        `analysable` or `ukb_brain.statistics.published.read_published`.
    grid : Grid
        Gives the domains and their order.
    source : str
        ``run`` or ``published``.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a fixed effect, columns `COLUMNS`.
    """
    tables = [
        _rows(cells.loc[cells["domain"] == domain], domain, terms_of(domain, grid), level)
        for domain in grid.domains
    ]
    table = pd.concat(tables, ignore_index=True).assign(source=source).reindex(columns=COLUMNS)
    numbers = COLUMNS[COLUMNS.index("estimate") : -1]
    return table.astype(dict.fromkeys(numbers, "float64") | {"n": "int64"})
