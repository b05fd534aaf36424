"""Regional time series of fields 31014 to 31019, in the format of their makers.

A gzipped CSV with a header ``label_name,timepoint_0,…``: one row a region, its label first. A
region without voxels is a row of empty cells. Fields 31018 and 31019 hold several atlases in one
zip. Held against the makers' own code (github.com/sina-mansour/UKB-connectomics).
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ukb_brain.errors import InputError

LABEL = "label_name"
SERIES_FIELDS = (31014, 31015, 31016, 31018, 31019)
PREFIX, ENDING = "fMRI.", ".csv.gz"


class Wanted(NamedTuple):
    """Of which field and atlas the time series of a modality are, and which setting says so.

    No atlas is the only one that there is.
    """

    field: int
    atlas: str | None
    setting: str


@dataclass(frozen=True)
class TimeSeries:
    """Time series of one person's regions.

    Attributes
    ----------
    labels : tuple of str
        Of regions, in the file's order.
    values : ndarray of shape (regions, time_points)
        NaN throughout for a region without voxels.
    """

    labels: tuple[str, ...]
    values: NDArray[np.float64]


def atlas_of(member: str) -> str | None:
    """Name the atlas of a member, such as ``fMRI/fMRI.Glasser.csv.gz``; None for other kinds."""
    name = member.rpartition("/")[2]
    if not (name.startswith(PREFIX) and name.endswith(ENDING)):
        return None
    return name[len(PREFIX) : -len(ENDING)]


def parse_time_series(text: str) -> TimeSeries:
    """Read a table of time series.

    Raises
    ------
    InputError
        If it has no header, a label twice, rows of different lengths, or something else than
        numbers.
    """
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if row
        ]
    except csv.Error:
        raise InputError("the time series is not a table") from None
    if not rows or rows[0][0].strip().casefold() != LABEL:
        raise InputError(f"the time series has no header that starts with {LABEL}")
    body = rows[1:]
    labels = tuple(row[0].strip() for row in body)
    cells = [[cell if cell.strip() else "nan" for cell in row[1:]] for row in body]
    return TimeSeries(labels, numbers(labels, cells, len(rows[0]) - 1))


def numbers(labels: Sequence[str], rows: list[list[str]], width: int) -> NDArray[np.float64]:
    """Turn the rows of a table into numbers, shape (rows, width), or raise an `InputError`."""
    if any(len(row) != width for row in rows):
        raise InputError("the time series has rows of different lengths")
    if len(set(labels)) < len(labels):
        raise InputError("the time series has a region twice")
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), width)
    except ValueError:
        raise InputError("the time series holds something that is not a number") from None
