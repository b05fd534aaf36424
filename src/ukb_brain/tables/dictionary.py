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

# Fields that describe people and their visits.
DATE, SITE, SEX, AGE = 53, 54, 31, 21003
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
RANGES = ("instance_min", "instance_max", "array_min", "array_max")
COLUMNS = {
    **dict.fromkeys(("title", "units"), pa.string()),
    **dict.fromkeys(("field_id", "value_type", "encoding_id", *RANGES), pa.int64()),
}


@dataclass(frozen=True)
class FieldEntry:
    """What the dictionary says of a field.

    Attributes
    ----------
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
    title: str = ""
    value_type: str = ""
    unit: str = ""
    coding: int | None = None
    instances: range = range(0)
    arrays: range = range(0)


def schema_folder() -> Path:
    """Find the dictionary's ``field.txt`` and folder ``coding``; nothing of the package is run."""
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
    """Look a field up; None where the dictionary does not have it.

    Examples
    --------
    >>> weight = field_of(21002)
    >>> weight.title, weight.unit, weight.value_type
    ('Weight', 'Kg', 'continuous')
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


def known_of(number: int) -> FieldEntry:
    """Look a field up; one that the dictionary does not have has no title, type, unit or coding."""
    return field_of(number) or FieldEntry(number)


def words(title: str) -> str:
    """Reduce a title, as it is or as R mangles it, to its letters and digits, small, and blanks."""
    return " ".join(re.findall(r"[a-z0-9]+", title.casefold()))


@cache
def fields_by_title() -> dict[str, tuple[int, ...]]:
    """Map the `words` of titles to fields; some share one, as weight is 21002 and 23098."""
    table = _fields().select(["field_id", "title"]).to_pydict()
    titles: dict[str, tuple[int, ...]] = {}
    for number, title in zip(table["field_id"], table["title"], strict=True):
        key = words(title)
        titles[key] = (*titles.get(key, ()), number)
    return titles
