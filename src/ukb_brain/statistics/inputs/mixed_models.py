"""The study's analysis of a grid: which inputs raise accuracy, target by target in a domain."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ukb_brain.grid import Grid
from ukb_brain.statistics.inputs.random_intercept import fit_random_intercept
from ukb_brain.statistics.kinds import by_kind
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

OUTCOME = "balanced_accuracy"
STUDY_TERMS: dict[str, tuple[str, ...]] = {
    "constitutional": ("t1", "dwi", "rsfmri"),
    "psychology": ("serology", "disease", "t1", "dwi", "rsfmri"),
    "disease": ("serology", "psychology", "t1", "dwi", "rsfmri"),
    "serology": ("disease", "psychology", "t1", "dwi", "t1:dwi", "rsfmri"),
}
NO_RESIDUAL = "the terms explain the outcome without any residual"


def terms_of(domain: str, grid: Grid) -> tuple[str, ...]:
    """List the fixed effects of a domain's model, without the intercept.

    Returns
    -------
    tuple of str
        The study's terms, in its order, as far as the grid has their inputs; then a term for each
        further imaging group (its first modality) and, in a domain that the study does not have,
        for each block that cells vary in. An interaction is written ``t1:dwi``.
    """
    images = tuple(grid.term_of(group) for group in grid.imaging)
    own = (grid.base_domain, domain)
    blocks = () if domain == grid.base_domain else tuple(d for d in grid.domains if d not in own)
    there = {*images, *blocks}
    study = tuple(t for t in STUDY_TERMS.get(domain, ()) if there.issuperset(t.split(":")))
    further = images if domain in STUDY_TERMS else (*blocks, *images)
    return (*study, *(term for term in further if term not in study))


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
    filled = by_kind(performance["kind"], lambda of: performance[of.accuracy])
    return performance.assign(**{OUTCOME: filled})


def design_matrix(cells: pd.DataFrame, terms: tuple[str, ...]) -> Floats:
    """Build the fixed effects of cells, shape (cells, 1 + terms); the first is the intercept.

    An interaction is the product of its parts, boolean columns of ``cells``.
    """
    columns = [np.ones(len(cells))]
    columns += [cells[term.split(":")].to_numpy(float).prod(axis=1) for term in terms]
    return np.column_stack(columns)


def degrees_of_freedom(X: Floats, groups: ArrayLike) -> Floats:
    """Denominator degrees of freedom of each fixed effect, as nlme counts them.

    A term that varies within a group is inner: observations minus groups minus inner terms. One
    that is constant within every group is outer: groups minus one minus outer terms. The intercept
    has the larger of the two.

    Pinheiro JC, Bates DM (2000). Mixed-effects models in S and S-PLUS. Springer, section 2.4.2.

    Parameters
    ----------
    X : ndarray, shape (n, p)
        Fixed effects; the first column is the intercept.
    groups : array_like, shape (n,)
        Labels of the groups.

    Returns
    -------
    ndarray, shape (p,)
        On the study's table 21 for constitutional targets, 367 for psychology, 150 for disease
        and 118 for serology, all terms alike.
    """
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    between = index.max(initial=-1) + 1
    of_group = [X[index == group, 1:] for group in range(between)]
    inner = np.any([np.ptp(rows, axis=0) > 0 for rows in of_group], axis=0)
    df_inner = len(X) - between - inner.sum()
    df_outer = between - 1 - (~inner).sum()
    of_terms = np.where(inner, df_inner, df_outer)
    return np.array([max(df_inner, df_outer), *of_terms], dtype=float)


def why_not_fitted(X: Floats, outcome: Floats, groups: ArrayLike) -> str | None:
    """Say why a model cannot be fitted, as far as one can tell beforehand.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    outcome : ndarray, shape (n,)
        Scores of the cells.
    groups : array_like, shape (n,)
        Their targets.

    Returns
    -------
    str or None
        The reason; None if there is none.
    """
    n, p = X.shape
    between = len(np.unique(np.asarray(groups)))
    if between < 2:
        return f"{between} target(s) with results; at least 2 are needed"
    if degrees_of_freedom(X, groups).min() < 1:
        return f"{n} cells with results are too few for {between} targets and {p - 1} terms"
    if np.linalg.matrix_rank(X) < p:
        return "the cells with results do not tell the terms apart"
    if np.ptp(outcome) == 0:
        return "the outcome is constant"
    return None


def _rows(cells: pd.DataFrame, domain: str, terms: tuple[str, ...], level: float) -> pd.DataFrame:
    cells = cells.loc[cells[OUTCOME].notna()]
    X, y, groups = design_matrix(cells, terms), cells[OUTCOME].to_numpy(float), cells["target"]
    model = f"{OUTCOME} ~ {' + '.join(terms or ('1',))} + (1 | target)"
    rows = pd.DataFrame({"domain": domain, "outcome": OUTCOME, "term": ["intercept", *terms]})
    failed = why_not_fitted(X, y, groups)
    if failed is None:
        fit = fit_random_intercept(X, y[None], groups)
        failed = NO_RESIDUAL if np.isnan(fit.sd_residual[0]) else None
    if failed is not None:
        return rows.assign(model=f"{model}: not fitted, {failed}", n=len(cells))
    estimate, std_error = fit.estimate[0], fit.std_error[0]
    df = degrees_of_freedom(X, groups)
    half = stats.t.ppf((1 + level) / 2, df) * std_error
    return rows.assign(
        model=model,
        estimate=estimate,
        std_error=std_error,
        df=df,
        t=estimate / std_error,
        p=2 * stats.t.sf(np.abs(estimate / std_error), df),
        low=estimate - half,
        high=estimate + half,
        sd_target=fit.sd_group[0],
        sd_residual=fit.sd_residual[0],
        log_likelihood=fit.log_likelihood[0],
        n=len(cells),
    )


def fit_domains(
    cells: pd.DataFrame, grid: Grid, level: float = 0.95, source: str = "run"
) -> pd.DataFrame:
    """Fit one model a domain: balanced accuracy on inputs, a random intercept a target, REML.

    Estimates, standard errors, t, degrees of freedom and p are those of R's ``nlme::lme``, so
    that they can be compared with the paper, and for nothing else: they take cells for independent,
    which share their test people. `ukb_brain.statistics.inputs.mixed_resampling` gives intervals to
    infer from. A model that cannot be fitted keeps its rows, with empty numbers and the reason in
    ``model``.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``target, domain, balanced_accuracy`` and a boolean column a modality and domain, from
        `analysable` or `ukb_brain.statistics.scores.published.read_published`.
    source : str
        ``run`` or ``published``.

    Returns
    -------
    pandas.DataFrame
        One row a fixed effect, columns `COLUMNS`.
    """
    # A table from outside may know nothing of an imaging group that was added to the study's.
    known = {
        domain: tuple(t for t in terms_of(domain, grid) if {*t.split(":")} <= {*cells.columns})
        for domain in grid.domains
    }
    tables = [
        _rows(cells.loc[cells["domain"] == domain], domain, terms, level)
        for domain, terms in known.items()
    ]
    table = pd.concat(tables, ignore_index=True).assign(source=source)
    return table_of(reported.mixed_models, table)
