"""UK Biobank's public dictionary of fields, as the package fmrib-unpack ships it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

VALUE_TYPES = {
    11: "integer",
    21: "categorical",
    22: "categorical_multiple",
    31: "continuous",
    41: "text",
    51: "date",
    61: "time",
    101: "compound",
}
COLUMNS = {
    "field_id": pa.int64(),
    "title": pa.string(),
    "value_type": pa.int64(),
    "units": pa.string(),
    "encoding_id": pa.int64(),
    "instance_min": pa.int64(),
    "instance_max": pa.int64(),
    "array_min": pa.int64(),
    "array_max": pa.int64(),
}


@dataclass(frozen=True)
class FieldEntry:
    """What the dictionary says of a field.

    Attributes
    ----------
    field : int
        Number.
    title : str
        As the showcase has it, and the Platform's exporter in its headers.
    value_type : str
        One of `VALUE_TYPES`.
    unit : str
        Empty where there is none.
    coding : int or None
        Number of its coding.
    instances, arrays : range
        Those that UK Biobank has of it.
    """

    field: int
    title: str
    value_type: str
    unit: str
    coding: int | None
    instances: range
    arrays: range


def schema_folder() -> Path:
    """Find the dictionary's text files; nothing of the package is run.

    Returns
    -------
    Path
        With ``field.txt`` and a folder ``coding``.
    """
    found = find_spec("funpack")
    if found is None or not found.submodule_search_locations:
        raise ImportError("fmrib-unpack is not installed: run make install")
    return Path(next(iter(found.submodule_search_locations))) / "schema"


@cache
def _fields() -> pa.Table:
    return pyarrow.csv.read_csv(
        schema_folder() / "field.txt",
        # Titles hold stray quotes.
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(COLUMNS), column_types=COLUMNS
        ),
    )


@cache
def field_of(number: int) -> FieldEntry | None:
    """Look a field up.

    Parameters
    ----------
    number : int
        Of the field.

    Returns
    -------
    FieldEntry or None
        None where the dictionary does not have it.
    """
    table = _fields()
    at = pc.index(table["field_id"], number).as_py()
    if at < 0:
        return None
    row: dict[str, Any] = table.slice(at, 1).to_pylist()[0]
    return FieldEntry(
        number,
        row["title"],
        VALUE_TYPES.get(row["value_type"], "compound"),
        row["units"] or "",
        row["encoding_id"] or None,
        range(row["instance_min"], row["instance_max"] + 1),
        range(row["array_min"], row["array_max"] + 1),
    )


def words(title: str) -> str:
    """Bring a title to the form in which titles are compared.

    Parameters
    ----------
    title : str
        As the dictionary has it, or as R mangles it: with dots for blanks and other signs.

    Returns
    -------
    str
        Its letters and digits, small, with single blanks between.
    """
    return " ".join(re.findall(r"[a-z0-9]+", title.casefold()))


@cache
def fields_by_title() -> dict[str, tuple[int, ...]]:
    """Map titles to fields, as the headers of the Platform's exporter need it.

    Returns
    -------
    dict of str to tuple of int
        By the `words` of the title. Some fields share one: weight is 21002 and 23098.
    """
    table = _fields().select(["field_id", "title"]).to_pydict()
    titles: dict[str, tuple[int, ...]] = {}
    for number, title in zip(table["field_id"], table["title"], strict=True):
        key = words(title)
        titles[key] = (*titles.get(key, ()), number)
    return titles
