"""From fields, codings and visits to one value per target, person and imaging visit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Target
from ukb_brain.tables.headers import FieldColumn, parse_header

DAYS_PER_YEAR = 365.25
NO_VISIT = -1

Floats = npt.NDArray[np.float64]


def require_fields(targets: Mapping[str, Target], fields: Iterable[int], where: str) -> None:
    """Check that the table holds every target's field.

    Parameters
    ----------
    targets : mapping of str to Target
        As in the grid.
    fields : iterable of int
        Fields that the table holds.
    where : str
        The table's file, for the message.

    Raises
    ------
    InputError
        Naming the first target whose field is not there.
    """
    held = set(fields)
    for key, target in targets.items():
        if target.field not in held:
            raise InputError(
                f"Target {key!r} needs field {target.field}, which {where} does not hold. Add the "
                f"field to your basket and export the table again, correct `field` in "
                f"conf/base/parameters_grid.yml, or take the target out of it."
            )


def answers_by_instance(table: pd.DataFrame, target: Target) -> dict[int, Floats]:
    """Reduce the entries of each visit to one answer.

    Parameters
    ----------
    table : DataFrame
        One row a person, columns such as ``6150-2.0`` (field-instance.array), numeric.
    target : Target
        Its field, rule, values and missing codes. ``any_of`` gives 1 where any entry of the visit
        is among the values and 0 where there are only others, so that -7 ("none of the above")
        is an answer; ``value`` gives the first entry. No entry at all, or only missing codes, is
        no answer.

    Returns
    -------
    dict of int to ndarray of float, shape (people,)
        By instance, ascending; NaN is no answer.

    Raises
    ------
    InputError
        If a column is not numeric.
    """
    arrays: dict[int, list[FieldColumn]] = {}
    for column in sorted(parse_header(table.columns)):
        if column.field == target.field:
            arrays.setdefault(column.instance, []).append(column)
    answers = {}
    for instance, columns in arrays.items():
        entries = np.column_stack([_numbers(table, column.name) for column in columns])
        usable = np.isfinite(entries) & ~np.isin(entries, target.missing)
        answered = usable.any(axis=1)
        if target.rule == "any_of":
            answer = (usable & np.isin(entries, target.values)).any(axis=1).astype(np.float64)
        else:
            answer = entries[np.arange(len(entries)), usable.argmax(axis=1)]
        answers[instance] = np.where(answered, answer, np.nan)
    return answers


def _numbers(table: pd.DataFrame, name: str) -> Floats:
    try:
        return table[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise InputError(
            f"Column {name!r} holds {table[name].dtype} where numbers are expected; export the "
            "table with raw codings rather than with labels."
        ) from None


def pick_visit(
    answers: Mapping[int, Floats], visit: npt.NDArray[np.int64], rule: str
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
        that has an answer.

    Returns
    -------
    value : ndarray of float, shape (rows,)
        NaN where there is no answer.
    instance : ndarray of int, shape (rows,)
        Where it was taken from; -1 where there is none.
    """
    value = np.full(len(visit), np.nan)
    source = np.full(len(visit), NO_VISIT, dtype=np.int64)
    for instance in sorted(answers):
        allowed = visit == instance if rule == "imaging" else visit >= instance
        use = allowed & ~np.isnan(answers[instance])
        value[use] = answers[instance][use]
        source[use] = instance
    return value, source


def lag_in_years(
    source: npt.NDArray[np.int64], visit: npt.NDArray[np.int64], dates: Mapping[int, pd.Series]
) -> Floats:
    """Time from an answer's visit to the scan.

    Parameters
    ----------
    source, visit : ndarray of int, shape (rows,)
        Instances of the answer and of the scan.
    dates : mapping of int to Series of datetime, shape (rows,)
        Date of attending (field 53), by instance.

    Returns
    -------
    ndarray of float, shape (rows,)
        Years; NaN where there is no answer or one of the dates is not known.
    """
    days = np.full((2, len(visit)), np.nan)
    for instance, series in dates.items():
        day = (series - pd.Timestamp("1970-01-01")).dt.total_seconds().to_numpy() / 86_400
        for row, wanted in enumerate((source, visit)):
            days[row] = np.where(wanted == instance, day, days[row])
    return (days[1] - days[0]) / DAYS_PER_YEAR


def derive_targets(
    table: pd.DataFrame, visits: pd.DataFrame, targets: Mapping[str, Target]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Derive every target for every scan.

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
    """
    rows = table.set_index("eid").loc[visits["eid"]].reset_index()
    instance = visits["instance"].to_numpy()
    dates = {
        column.instance: rows[column.name]
        for column in parse_header(rows.columns)
        if column.field == 53
    }
    keys = visits[["eid", "instance"]].reset_index(drop=True)
    values, lags = {}, {}
    for key, target in targets.items():
        values[key], source = pick_visit(answers_by_instance(rows, target), instance, target.visit)
        lags[key] = lag_in_years(source, instance, dates)
    return keys.assign(**values), keys.assign(**lags)


def summarise_targets(
    values: pd.DataFrame, lags: pd.DataFrame, targets: Mapping[str, Target]
) -> pd.DataFrame:
    """Describe each target over people, at their first imaging visit.

    Parameters
    ----------
    values, lags : DataFrame
        As returned by `derive_targets`.
    targets : mapping of str to Target
        As in the grid.

    Returns
    -------
    DataFrame
        ``target, name, n, missing, mean_or_prevalence, sd, median_lag_years``.
    """
    first = values.sort_values(["eid", "instance"]).drop_duplicates("eid").index
    rows = []
    for key, target in targets.items():
        value, lag = values.loc[first, key], lags.loc[first, key]
        rows.append(
            {
                "target": key,
                "name": target.name,
                "n": int(value.notna().sum()),
                "missing": int(value.isna().sum()),
                "mean_or_prevalence": value.mean(),
                "sd": value.std(),
                "median_lag_years": lag.median(),
            }
        )
    return pd.DataFrame(rows)
