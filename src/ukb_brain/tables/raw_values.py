"""From the cells of a column, in whatever form, to numbers: one array a position of an answer."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from ukb_brain.tables.dictionary import Labels, plain

Floats = npt.NDArray[np.float64]

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
ISO_DATE = (
    r"^(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:[T ][0-9:.]+(?:Z|[+-]\d\d:?\d\d)?)?$"
)
OTHER_DATE = r"^(?P<day>\d{1,2})[/.](?P<month>\d{1,2})[/.](?P<year>\d{4})(?:[T ].*)?$"
LONGEST_EID = 15
NUMERIC = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
NOTHING = frozenset({"", "na", "nan", "null", "none", "nat", "n/a", "<na>"})


class NotRead(NamedTuple):
    """What of a column could not be read.

    Attributes
    ----------
    why : {"text", "decimal comma", "date", "ambiguous date"}
        The cause.
    most : tuple of (str, int)
        The most frequent ones, with how many cells hold them.
    cells : int
        All cells that could not be read.
    """

    why: str
    most: tuple[tuple[str, int], ...]
    cells: int


def answers_in(cell: object) -> list[str]:
    """Take a cell's answers apart: ``4``, ``1|4``, ``[1,4]``, ``["1","4"]``, or Parquet's list."""
    if isinstance(cell, list | tuple | np.ndarray):
        return [text for part in cell for text in answers_in(part)]
    text = _unquoted(str(cell)) if cell is not None else ""
    if text.startswith("[") and text.endswith("]"):
        return _listed(text)
    parts = [part.strip() for part in text.split("|")]
    return [part for part in parts if part.casefold() not in NOTHING]


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"').strip()
    return text


def _listed(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        # Labels that were not quoted, or quoted as Python would.
        found = [part.strip().strip("'\"") for part in text[1:-1].split(",")]
    return [part for part in (str(f).strip() for f in found) if part.casefold() not in NOTHING]


def numbers_of(column: pa.ChunkedArray, labels: Labels) -> tuple[list[Floats], NotRead | None]:
    """Read a column of numbers, codes or labels, several answers in a cell or one.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Numbers, text, or lists.
    labels : dict of str to float
        Code of each label of the field's coding, by its plain form.

    Returns
    -------
    arrays : list of ndarray of float, shape (rows,)
        One a position; NaN where a cell has no such answer. At least one.
    not_read : NotRead or None
        What is neither number nor label.
    """
    if any(is_kind(column.type) for is_kind in NUMERIC):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy()
        endless = int(np.isinf(values).sum())
        return [values], NotRead("text", (("inf", endless),), endless) if endless else None
    codes, cells = _distinct(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(cells))
    wrong: Counter[str] = Counter()
    comma = False
    read: list[list[float]] = []
    for cell, count in zip(cells, counts, strict=True):
        whole = labels.get(plain(_unquoted(cell))) if isinstance(cell, str) else None
        texts = [] if whole is not None else answers_in(cell)
        values = [whole] if whole is not None else [_number(text, labels) for text in texts]
        for text, value in zip(texts, values, strict=False):
            if value is None:
                wrong[text] += int(count)
                comma |= DECIMAL_COMMA.fullmatch(text) is not None
        read.append([np.nan if value is None else value for value in values])
    # At least one position; a code of -1 takes the last row: no answer.
    table = pd.DataFrame([*read, [np.nan]], dtype=np.float64)
    arrays = [table[place].to_numpy()[codes] for place in table]
    if not wrong:
        return arrays, None
    why = "decimal comma" if comma else "text"
    return arrays, NotRead(why, tuple(wrong.most_common(3)), wrong.total())


def _number(text: str, labels: Labels) -> float | None:
    return float(text) if NUMBER.fullmatch(text) else labels.get(plain(text))


def _distinct(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.intp], Sequence[object]]:
    """Give each distinct cell a number, so that it is read once however many people gave it."""
    textual = (types.is_dictionary, types.is_string, types.is_large_string)
    if any(is_kind(column.type) for is_kind in textual):
        whole = pc.dictionary_encode(column).unify_dictionaries().combine_chunks()
        codes = pc.fill_null(pc.cast(whole.indices, pa.int64()), -1).to_numpy()
        return codes, whole.dictionary.to_pylist()
    cells = [tuple(cell) if isinstance(cell, list) else cell for cell in column.to_pylist()]
    # numpy would make a table of tuples of one length.
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    numbers, distinct = pd.factorize(array)
    return numbers, list(distinct)


def dates_of(column: pa.ChunkedArray) -> tuple[pd.Series, NotRead | None]:
    """Read a column of dates: ``YYYY-MM-DD``, with a time or not, ``dd/mm/yyyy``, or dates already.

    Returns
    -------
    dates : Series of datetime64[us], shape (rows,)
        Of the day.
    not_read : NotRead or None
        What is no date, or dates of which day and month cannot be told apart.
    """
    series = column.to_pandas()
    if pd.api.types.is_datetime64_any_dtype(series):
        if series.dt.tz is not None:
            series = series.dt.tz_localize(None)
        return series.astype("datetime64[us]").dt.normalize(), None
    codes, cells = pd.factorize(series)
    counts = np.bincount(codes[codes >= 0], minlength=len(cells))
    texts = pd.Series([_unquoted(str(cell)) for cell in cells], dtype="str")
    other = texts.str.extract(OTHER_DATE).astype(np.float64)
    found = texts[other["day"].notna()]
    # Only days can have such numbers.
    day_first, month_first = (other[["day", "month"]] > 12).any()
    if month_first:
        other = other.rename(columns={"day": "month", "month": "day"})
    parts = texts.str.extract(ISO_DATE).astype(np.float64).fillna(other)
    days = pd.to_datetime(parts, errors="coerce").astype("datetime64[us]")
    # A code of -1 takes the last row: no date.
    dates = days.reindex([*days.index, -1]).take(codes).reset_index(drop=True)
    if len(found) and day_first == month_first:
        return dates, NotRead("ambiguous date", ((found.iloc[0], len(found)),), len(found))
    wrong: Counter[str] = Counter()
    for row in np.flatnonzero(days.isna() & ~texts.str.casefold().isin(NOTHING)):
        wrong[texts[row]] += int(counts[row])
    if wrong:
        return dates, NotRead("date", tuple(wrong.most_common(1)), wrong.total())
    return dates, None


def whole_numbers_of(column: pa.ChunkedArray) -> tuple[pd.Series, str]:
    """Read participants' numbers from a column of text or decimals.

    Returns
    -------
    numbers : Series of Int64
        Missing where a cell is empty or cannot be read.
    why : str
        Empty where all could be read; else ``rounded`` or ``text``.
    """
    texts = column.to_pandas().astype("str").map(_unquoted, na_action="ignore")
    texts = texts.mask(texts.str.casefold().isin(NOTHING))
    plainly = texts.str.fullmatch(r"[+-]?\d+(?:\.0*)?").fillna(False).astype(bool)
    numbers = pd.Series(pd.NA, index=texts.index, dtype="Int64")
    whole = texts[plainly].str.replace(r"\.0*$", "", regex=True)
    if whole.str.len().max() > LONGEST_EID:
        return numbers, "text"
    numbers[plainly] = whole.astype("int64")
    rest = texts[~plainly].dropna()
    if rest.empty:
        return numbers, ""
    rounded = rest.str.fullmatch(r"[+-]?\d(?:\.\d+)?[eE]\+?\d+").any()
    return numbers, "rounded" if rounded else "text"


def merged(columns: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, int]:
    """Join columns of the same rows that a merge left twice, one column a position of an answer.

    Returns
    -------
    values : DataFrame
        Of whichever has an answer.
    contradictions : int
        Rows in which two have different ones.
    """
    values, *others = columns
    differing = pd.Series(data=False, index=values.index)
    for other in others:
        places = values.columns.union(other.columns)
        values, other = values.reindex(columns=places), other.reindex(columns=places)
        differing |= (values.notna() & other.notna() & (values != other)).any(axis=1)
        values = values.where(values.notna(), other)
    return values, int(differing.sum())
