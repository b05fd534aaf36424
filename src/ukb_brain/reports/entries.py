"""Fields of the report: what a reader sees, and what pointing at a number says."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

# Ends of an interval.
BOTH = 2
NO_INTERVAL = "no interval: it is the same in every draw of people, or they are too few for one"


@dataclass(frozen=True)
class Entry:
    """What a field of a table shows.

    Attributes
    ----------
    text : str
        Shown.
    hover : str
        Said where one points at it.
    number : bool
        Whether it is set as one.
    """

    text: str
    hover: str = ""
    number: bool = False


@dataclass(frozen=True)
class Shown:
    """A table of the report.

    Attributes
    ----------
    caption : str
        In a sentence.
    heads : tuple of (str, str)
        Names of the columns, and how their numbers were obtained.
    rows : list of list of Entry
        The first is the row's name.
    """

    caption: str
    heads: tuple[tuple[str, str], ...]
    rows: list[list[Entry]]


def number(value: float, digits: int = 2) -> str:
    """Write a number with a true minus, or a dash where there is none.

    Parameters
    ----------
    value : float
        NaN for none.
    digits : int
        After the point.

    Returns
    -------
    str
    """
    return "–" if pd.isna(value) else f"{value:z.{digits}f}".replace("-", "−")


def estimate(
    row: pd.Series,
    name: str,
    how: str = "",
    digits: int = 2,
    bounds: tuple[str, str] | None = None,
    scale: float = 1.0,
) -> Entry:
    """Write an estimate with its interval.

    Parameters
    ----------
    row : pandas.Series
        Holds them.
    name : str
        Of the estimate.
    how : str
        How it was obtained, for whoever points at it.
    digits : int
        After the point.
    bounds : (str, str), optional
        Names of the bounds; by default ``name_low, name_high``.
    scale : float
        Factor of the numbers.

    Returns
    -------
    Entry
        Such as ``0.71 [0.60, 0.81]``, or ``0.00, no interval``.
    """
    low, high = bounds or (f"{name}_low", f"{name}_high")
    value = row.get(name)
    if value is None or pd.isna(value):
        return Entry("–", "no estimate", number=True)
    ends = [float(end) for end in (row.get(low), row.get(high)) if end is not None]
    text = number(value * scale, digits)
    exact = number(value * scale, 4)
    if len(ends) == BOTH and all(pd.notna(end) for end in ends):
        text += f" [{', '.join(number(end * scale, digits) for end in ends)}]"
        exact += f"; 95 % interval {' to '.join(number(end * scale, 4) for end in ends)}"
    else:
        text += ", no interval"
        exact += f"; {NO_INTERVAL}"
    return Entry(text, f"{exact}. {how}".strip(), number=True)


def p_value(value: float) -> str:
    """Write a p value.

    Parameters
    ----------
    value : float
        NaN for none.

    Returns
    -------
    str
        No smaller than ``< .001``.
    """
    return "–" if pd.isna(value) else "< .001" if value < 0.001 else f"{value:.3f}"


def without_small_counts(text: str, below: int) -> str:
    """Hide whole numbers that may be small counts of people in a sentence.

    Parameters
    ----------
    text : str
        Such as a status.
    below : int
        The smallest count that may be shown.

    Returns
    -------
    str
        With ``<below`` in place of 1 to ``below - 1``.
    """
    whole = re.compile(r"(?<![\d.,−-])\d+(?![\d%])(?![.,]\d)")
    return whole.sub(lambda m: f"<{below}" if 0 < int(m[0]) < below else m[0], text)
