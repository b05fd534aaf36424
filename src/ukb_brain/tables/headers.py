"""What a column of the main table holds, in each of the header styles it is handed out in."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ukb_brain.tables.dictionary import fields_by_title, words

# Each after what UK Biobank's tools write; R puts an X before a digit and dots for other signs, and
# its package ukbtools a title before it all.
_STYLES = {
    "ukbconv r": re.compile(r"f\.(\d+)\.(\d+)\.(\d+)"),
    "platform": re.compile(r"(?:\w+\.)?p(\d+)(?:_i(\d+))?(?:_a(\d+))?"),
    "ukbconv": re.compile(r"(\d+)-(\d+)\.(\d+)"),
    "read in R": re.compile(r"x?(\d+)[._](\d+)[._](\d+)"),
    "ukbtools": re.compile(r"(?:\w+_)?f_?(\d+)_(\d+)_(\d+)"),
}
TITLES = "titles"
_TITLE = re.compile(r"(?P<title>.+?)(?: instance (?P<instance>\d+))?(?: array (?P<array>\d+))?")
_MERGED = re.compile(r"(?P<name>.+)[_.](?P<side>[xy])")
_ID = re.compile(r"(?:(?:f\.|participant\.)?eid|participant[ ._]id)")
STYLES = (*_STYLES, TITLES)


class FieldColumn(NamedTuple):
    """A field of one visit: what a column of the main table holds."""

    field: int
    instance: int
    array: int

    @property
    def name(self) -> str:
        """The column's name in the style of ``ukbconv … csv``, used throughout the project."""
        return f"{self.field}-{self.instance}.{self.array}"


def parse_column(name: str, titles: bool = False) -> tuple[FieldColumn, ...]:
    """Read field, instance and array from a column's name.

    Parameters
    ----------
    name : str
        Such as ``21003-2.0``, ``f.21003.2.0``, ``p21003_i2``, ``participant.p31``,
        ``X21003.2.0`` or ``Weight | Instance 2``; ``_x`` or ``.y`` behind it, which merges in
        pandas and R leave, is passed over.
    titles : bool
        Whether names may be titles of the dictionary, as the Platform's exporter writes them.

    Returns
    -------
    tuple of FieldColumn
        None where the name is of no known style; several where fields share the title. An absent
        instance or array is 0.

    Examples
    --------
    >>> parse_column("f.21003.2.0") == parse_column("p21003_i2") == parse_column("21003-2.0")
    True
    >>> parse_column("p21003_i2")
    (FieldColumn(field=21003, instance=2, array=0),)
    """
    return _parsed(name, titles)[1]


def style_of(names: Iterable[str]) -> str:
    """Name the style of a header: one of `STYLES`, or ``unknown``."""
    names = list(names)
    titles = _has_titles(names)
    return next((style for name in names if (style := _parsed(name, titles)[0])), "unknown")


def _has_titles(names: Iterable[str]) -> bool:
    # Other tables may hold a column called Sex or Age beside an eid, which is no field then.
    found = (find_id_column(names) or "").casefold()
    return "participant" in found and "eid" not in found


def _parsed(name: str, titles: bool) -> tuple[str, tuple[FieldColumn, ...]]:
    plain = " ".join(name.strip().strip('"').split()).casefold()
    for candidate in (plain, (_MERGED.fullmatch(plain) or {"name": ""})["name"]):
        for style, pattern in _STYLES.items():
            if match := pattern.fullmatch(candidate):
                return style, (FieldColumn(*(int(part or 0) for part in match.groups())),)
        match = _TITLE.fullmatch(words(candidate)) if titles else None
        if match and (fields := fields_by_title().get(match["title"])):
            place = (int(match["instance"] or 0), int(match["array"] or 0))
            return TITLES, tuple(FieldColumn(field, *place) for field in fields)
    return "", ()


def find_id_column(names: Iterable[str]) -> str | None:
    """Find the first of ``eid``, ``f.eid``, ``participant.eid`` and ``Participant ID``."""
    return next((name for name in names if _ID.fullmatch(name.strip().casefold())), None)


def parse_header(names: Iterable[str]) -> dict[FieldColumn, tuple[int, ...]]:
    """Map what is held to the places of the columns that hold it.

    A column has two places where a merge left it twice, and one place stands under several fields
    where they share a title. Columns of no known style are left out.
    """
    held: dict[FieldColumn, tuple[int, ...]] = {}
    names = list(names)
    titles = _has_titles(names)
    for place, name in enumerate(names):
        for column in parse_column(name, titles):
            held[column] = (*held.get(column, ()), place)
    return held
