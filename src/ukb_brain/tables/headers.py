"""What a column of the main table holds, in each of the header styles it is handed out in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ukb_brain.errors import InputError

_UKBCONV_CSV = re.compile(r"(\d+)-(\d+)\.(\d+)")
_UKBCONV_R = re.compile(r"f\.(\d+)\.(\d+)\.(\d+)")
_PLATFORM = re.compile(r"(?:\w+\.)?p(\d+)(?:_i(\d+))?(?:_a(\d+))?")
_ID = re.compile(r"(?:f\.|participant\.)?eid")


class FieldColumn(NamedTuple):
    """A field of one visit: what a column of the main table holds."""

    field: int
    instance: int
    array: int

    @property
    def name(self) -> str:
        """The column's name in the style of ``ukbconv … csv``, used throughout the project."""
        return f"{self.field}-{self.instance}.{self.array}"


def parse_column(name: str) -> FieldColumn | None:
    """Read field, instance and array from a column's name.

    Parameters
    ----------
    name : str
        Such as ``21003-2.0``, ``f.21003.2.0``, ``p21003_i2`` or ``participant.p31``.

    Returns
    -------
    FieldColumn or None
        None where the name is of no known style. An absent instance or array is 0.
    """
    for style in (_UKBCONV_CSV, _UKBCONV_R, _PLATFORM):
        match = style.fullmatch(name)
        if match:
            return FieldColumn(*(int(part or 0) for part in match.groups()))
    return None


def find_id_column(names: Iterable[str]) -> str | None:
    """Find the column of participants' numbers.

    Parameters
    ----------
    names : iterable of str
        The header.

    Returns
    -------
    str or None
        ``eid``, ``f.eid`` or ``participant.eid``, whichever is there first.
    """
    return next((name for name in names if _ID.fullmatch(name)), None)


def parse_header(names: Iterable[str]) -> dict[FieldColumn, str]:
    """Map what is held to the names of the columns that hold it.

    Parameters
    ----------
    names : iterable of str
        The header.

    Returns
    -------
    dict of FieldColumn to str
        Columns of no known style are left out.

    Raises
    ------
    InputError
        If two columns hold the same field, instance and array.
    """
    held: dict[FieldColumn, str] = {}
    for name in names:
        column = parse_column(name)
        if column is None:
            continue
        if column in held:
            raise InputError(
                f"Columns {held[column]!r} and {name!r} both hold field {column.field}, instance "
                f"{column.instance}, array {column.array}; remove one of them from the table."
            )
        held[column] = name
    return held
