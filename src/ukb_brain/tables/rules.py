"""From the entries of one visit to one answer, by the rule of a target.

=============  ==================================================================================
``value``      the first entry
``equals``     1 where the first entry is the code, 0 where it is another
``any_of``     1 where any entry is among the codes, 0 where there are only others
``mean``       the mean of a field's entries; of several fields that of theirs, where all have one
``difference`` the first field's first entry less the second field's, where both have one
``log``        the natural logarithm of the first entry; what is not above 0 is no answer
``binned``     1 where the first entry is beyond the cut-off, 0 where it is not
=============  ==================================================================================

A cut-off that is fitted is not known here: then ``binned`` gives the first entry, and
`ukb_brain.tables.thresholds` cuts it by each fold's training people.
"""

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Rule, Target
from ukb_brain.tables.headers import FieldColumn, parse_header

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]


def answers_by_instance(table: pd.DataFrame, target: Target) -> dict[int, Floats]:
    """Reduce the entries of each visit to one answer.

    Parameters
    ----------
    table : DataFrame
        One row a person, columns such as ``6150-2.0`` (field-instance.array), numeric.
    target : Target
        Its fields, rule, values and missing codes. In a field of several answers -7 ("none of the
        above") is an answer. No entry at all, or only missing codes, is no answer.

    Returns
    -------
    dict of int to ndarray of float, shape (people,)
        By instance, ascending; NaN is no answer.

    Raises
    ------
    InputError
        If a column is not numeric.
    """
    arrays: dict[int, dict[int, list[FieldColumn]]] = {}
    for column in sorted(parse_header(table.columns)):
        if column.field in target.fields:
            of = arrays.setdefault(column.instance, {field: [] for field in target.fields})
            of[column.field].append(column)
    computed = COMPUTED[target.rule]
    return {
        instance: computed([_entries(table, columns, target) for columns in held.values()], target)
        for instance, held in sorted(arrays.items())
    }


def beyond(value: Floats, threshold: float, direction: str) -> Floats:
    """Give 1 for values on the side of a cut-off, 0 for others, itself included; NaN stays."""
    side = value > threshold if direction == "above" else value < threshold
    return np.where(np.isnan(value), np.nan, side.astype(np.float64))


def _entries(table: pd.DataFrame, columns: list[FieldColumn], target: Target) -> Floats:
    """Entries of a field at a visit, shape (people, arrays); NaN is none."""
    if not columns:
        return np.full((len(table), 1), np.nan)
    entries = np.column_stack([_numbers(table, column.name) for column in columns])
    usable = np.isfinite(entries) & ~np.isin(entries, target.missing)
    return np.where(usable, entries, np.nan)


def _first(entries: Floats) -> Floats:
    return entries[np.arange(len(entries)), np.isfinite(entries).argmax(axis=1)]


def _mean(entries: Floats) -> Floats:
    there = np.isfinite(entries)
    count = there.sum(axis=1)
    total = np.where(there, entries, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _log(value: Floats, target: Target) -> Floats:
    impossible = value <= 0
    if impossible.any():
        words = "%s: %s answers are not above 0 and have no logarithm; they count as no answer."
        logger.warning(words, target.name, f"{int(impossible.sum()):,}")
    return np.log(np.where(impossible, np.nan, value))


def _any_of(entries: Floats, target: Target) -> Floats:
    found = np.isin(entries, target.values).any(axis=1).astype(np.float64)
    return np.where(np.isnan(_first(entries)), np.nan, found)


def _binned(fields: list[Floats], target: Target) -> Floats:
    first = _first(fields[0])
    at = target.threshold
    return first if at is None else beyond(first, at, target.direction)


def _numbers(table: pd.DataFrame, name: str) -> Floats:
    try:
        return table[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise InputError(
            f"Column {name!r} holds {table[name].dtype} where numbers are expected; export the "
            "table with raw codings rather than with labels."
        ) from None


# From the entries of each field, of shape (people, arrays), to one answer a person.
COMPUTED: dict[Rule, Callable[[list[Floats], Target], Floats]] = {
    "value": lambda fields, _: _first(fields[0]),
    "equals": lambda fields, target: _any_of(_first(fields[0])[:, None], target),
    "any_of": lambda fields, target: _any_of(fields[0], target),
    "mean": lambda fields, _: np.mean([_mean(each) for each in fields], axis=0),
    "difference": lambda fields, _: _first(fields[0]) - _first(fields[1]),
    "log": lambda fields, target: _log(_first(fields[0]), target),
    "binned": _binned,
}
