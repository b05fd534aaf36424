"""From fields, codings and visits to one value per target, person and imaging visit."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from ukb_brain.grid import Target
from ukb_brain.tables.dictionary import DATE
from ukb_brain.tables.headers import parse_header
from ukb_brain.tables.rules import answers_by_instance

DAYS_PER_YEAR = 365.25
NO_VISIT = -1
SAME_DAY = 1e-6  # days
# Days that stand for one visit to the next where there are no dates.
UNDATED_STEP = 5 * DAYS_PER_YEAR

Floats = npt.NDArray[np.float64]


def pick_visit(
    answers: Mapping[int, Floats],
    visit: npt.NDArray[np.int64],
    rule: str,
    days: Mapping[int, Floats] | None = None,
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Choose the answer that goes with each scan.

    Parameters
    ----------
    answers : mapping of int to ndarray of float, shape (rows,)
        By instance, one entry for each row of ``visit``; NaN is no answer.
    visit : ndarray of int, shape (rows,)
        Instance of the scan.
    rule : str
        ``imaging``: of the scan's own visit. ``latest``: of the latest visit not after the scan
        that has an answer. ``nearest``: of the visit nearest to the scan in time, before or after;
        of two equally near ones the earlier.
    days : mapping of int to ndarray of float, shape (rows,), optional
        Date of each visit in days, by instance. Where both dates are known they say which visit is
        earlier and how far away it is. A visit without one lies between its neighbours of the same
        person, or some years beyond the nearest.

    Returns
    -------
    value : ndarray of float, shape (rows,)
        NaN where there is no answer.
    instance : ndarray of int, shape (rows,)
        Where it was taken from; -1 where there is none.
    """
    rows = len(visit)
    value, source = np.full(rows, np.nan), np.full(rows, NO_VISIT, dtype=np.int64)
    best = np.full(rows, np.inf)
    days = days or {}
    last = max([*answers, *days, *np.unique(visit)], default=0)
    placed = _placed(days, last, rows)
    scanned = placed[visit, np.arange(rows)]
    for instance in sorted(answers):
        apart = scanned - placed[instance]
        # Of two visits on one day the scan's own is the nearer.
        apart = np.where(visit == instance, 0.0, np.where(apart == 0, SAME_DAY, apart))
        if rule == "imaging":
            allowed = visit == instance
        else:
            allowed = (apart >= 0) if rule == "latest" else np.ones(rows, dtype=bool)
        use = allowed & ~np.isnan(answers[instance]) & (np.abs(apart) < best)
        value[use], source[use] = answers[instance][use], instance
        best[use] = np.abs(apart[use])
    return value, source


def _placed(days: Mapping[int, Floats], last: int, rows: int) -> Floats:
    """Place every visit in time, of shape (instances, rows), also those without a date."""
    known = np.stack([days.get(k, np.full(rows, np.nan)) for k in range(last + 1)])
    number = np.broadcast_to(np.arange(last + 1)[:, None], known.shape)
    there = ~np.isnan(known)
    before = np.maximum.accumulate(np.where(there, number, -1))
    after = np.minimum.accumulate(np.where(there, number, last + 1)[::-1])[::-1]
    early, late = (known[np.clip(near, 0, last), np.arange(rows)] for near in (before, after))
    share = (number - before) / np.maximum(after - before, 1)
    has_before, has_after = before >= 0, after <= last
    return np.select(
        [there, has_before & has_after, has_before, has_after],
        [
            known,
            early + share * (late - early),
            early + (number - before) * UNDATED_STEP,
            late - (after - number) * UNDATED_STEP,
        ],
        number * UNDATED_STEP,
    )


def visit_days(rows: pd.DataFrame) -> dict[int, Floats]:
    """Give each visit's date (field 53) by instance: days since 1970, NaN where there is none.

    Each is of shape (rows,).
    """
    dates = {c.instance: rows[c.name] for c in parse_header(rows.columns) if c.field == DATE}
    day, start = pd.Timedelta(days=1), pd.Timestamp("1970-01-01")
    return {k: np.asarray((date - start) / day, np.float64) for k, date in dates.items()}


def lag_in_years(
    source: npt.NDArray[np.int64], visit: npt.NDArray[np.int64], days: Mapping[int, Floats]
) -> Floats:
    """Give the years, shape (rows,), from the visit (instance) of each answer to that of the scan.

    They are NaN where there is no answer (-1) or one of the dates, in days, is not known.
    """
    known = np.full((2, len(visit)), np.nan)
    for instance, day in days.items():
        for row, wanted in enumerate((source, visit)):
            known[row] = np.where(wanted == instance, day, known[row])
    return (known[1] - known[0]) / DAYS_PER_YEAR


def derive_targets(
    table: pd.DataFrame, visits: pd.DataFrame, targets: Mapping[str, Target]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Derive every target for every scan, and say where each answer is from.

    Parameters
    ----------
    table : DataFrame
        One row a person: ``eid`` and columns such as ``21003-2.0``.
    visits : DataFrame
        ``eid, instance`` of each imaging visit; every eid is in ``table``.
    targets : mapping of str to Target
        As in the grid.

    Returns
    -------
    values : DataFrame
        ``eid, instance`` and one float column a target; NaN is no answer.
    lags : DataFrame
        Of the same shape: years from the answer's visit to the scan.
    sources : DataFrame
        Of the same shape: instance that the answer is of; -1 where there is none.
    """
    rows = table.set_index("eid").loc[visits["eid"]]
    instance = visits["instance"].to_numpy()
    days = visit_days(rows)
    keys = visits[["eid", "instance"]].reset_index(drop=True)
    values, lags, sources = {}, {}, {}
    for key, target in targets.items():
        answers = answers_by_instance(rows, target)
        values[key], source = pick_visit(answers, instance, target.visit, days)
        lags[key] = lag_in_years(source, instance, days)
        sources[key] = source
    return keys.assign(**values), keys.assign(**lags), keys.assign(**sources)


def summarise_targets(
    values: pd.DataFrame,
    lags: pd.DataFrame,
    targets: Mapping[str, Target],
    chosen: npt.NDArray[np.bool_],
) -> pd.DataFrame:
    """Describe each target over people, where ``chosen`` is true: at one visit of each.

    Returns
    -------
    DataFrame
        ``target, name, n, missing, mean_or_prevalence, sd, median_lag_years``.
    """
    keys = list(targets)
    value, lag = values.loc[chosen, keys], lags.loc[chosen, keys]
    # Cut by fold later: what was measured is no prevalence.
    fitted = np.array([target.is_fitted for target in targets.values()])
    columns = {
        "target": keys,
        "name": [target.name for target in targets.values()],
        "n": value.notna().sum(),
        "missing": value.isna().sum(),
        "mean_or_prevalence": value.mean().mask(fitted),
        "sd": value.std().mask(fitted),
        "median_lag_years": lag.median(),
    }
    return pd.DataFrame(columns).reset_index(drop=True)
