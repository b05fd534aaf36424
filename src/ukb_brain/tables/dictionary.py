"""UK Biobank's public dictionary of fields and codings, as the package fmrib-unpack ships it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import RootModel

from ukb_brain.errors import InputError

Labels = Mapping[str, float]

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
NUMBER_TYPES = [11, 31]
RANGES = ("instance_min", "instance_max", "array_min", "array_max")
COLUMNS = {
    **dict.fromkeys(("title", "units"), pa.string()),
    **dict.fromkeys(("field_id", "value_type", "encoding_id", *RANGES), pa.int64()),
    "main_category": pa.int64(),
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


def fields_of_numbers(first: int, last: int, category: int | None = None) -> list[int]:
    """List fields of whole or other numbers between two, of a category or of any, ascending.

    Examples
    --------
    >>> fields_of_numbers(25920, 25922), len(fields_of_numbers(0, 10**7, category=134))
    ([25920, 25922], 432)
    """
    asked = (pc.field("field_id") >= first) & (pc.field("field_id") <= last)
    asked &= pc.field("value_type").isin(NUMBER_TYPES)
    if category is not None:
        asked &= pc.field("main_category") == category
    return sorted(_fields().filter(asked)["field_id"].to_pylist())


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


def plain(label: str) -> str:
    """Bring a label to the form in which labels are compared: small, with single blanks."""
    return " ".join(label.split()).casefold()


class Codings(RootModel[dict[int, dict[int, str]]]):
    """Labels by coding and code, as in ``conf/base/parameters_codings.yml``."""

    model_config = {"frozen": True}

    def labels(self, coding: int | None) -> dict[int, str]:
        """Give the labels of a coding; none where there is no coding or it is not known."""
        return {} if coding is None else self.root.get(coding, {})

    def label(self, coding: int | None, code: float) -> str | None:
        """Say what a code means, if that is known."""
        return self.labels(coding).get(int(code))

    def codes(self, coding: int | None) -> dict[str, float]:
        """Map `plain` labels of a coding to codes."""
        return {plain(label): float(code) for code, label in self.labels(coding).items()}

    def extended(self, folder: Path) -> Codings:
        """Add the codings of a folder, and those that the dictionary ships.

        Parameters
        ----------
        folder : Path
            With files such as ``coding100605.tsv``: columns ``coding`` and ``meaning``, as the
            showcase hands them out. It may be absent.

        Returns
        -------
        Codings
            What a file says goes before what was known.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        joined = {coding: dict(labels) for coding, labels in self.root.items()}
        for place in (schema_folder() / "coding", folder):
            for path in sorted(place.glob("coding*.tsv")) if place.is_dir() else ():
                number = path.stem.removeprefix("coding")
                if number.isdigit():
                    joined[int(number)] = joined.get(int(number), {}) | _labels_in(path)
        return Codings(joined)


def _labels_in(path: Path) -> dict[int, str]:
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, encoding="latin-1", quoting=3)
        named = table[["coding", "meaning"]].dropna()
    except (ValueError, KeyError, pd.errors.ParserError):
        raise InputError(
            f"The coding file {path} cannot be read: a tab-separated file with columns `coding` "
            "and `meaning` was expected, as the showcase hands it out. Fetch it again or move it "
            "away."
        ) from None
    # Codings of text, such as diagnoses, have no numbers; no target is made of them.
    numbers = named[named["coding"].str.fullmatch(r"-?\d+")]
    return dict(zip(numbers["coding"].astype(int), numbers["meaning"], strict=True))
