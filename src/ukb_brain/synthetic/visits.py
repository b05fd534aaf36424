"""Which visits a person attends, which files come of them, and what goes wrong with some."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, NamedTuple

import numpy as np

from ukb_brain.imaging.connectome import CONNECTOME_FIELDS
from ukb_brain.synthetic.settings import FIRST_EID

IMAGING_VISITS = (2, 3)
T1, FLAIR, DWI, MATRIX, SERIES = 20252, 20253, 20250, 25750, 31016
State = Literal["missing", "unusable", "broken", "ok"]


class Kind(NamedTuple):
    """A bulk field: its folder on the Platform, and how often its scans fail.

    Shares are of scans that are not there, lie under `unusable`, or whose zip is cut off.
    """

    folder: str
    missing: float
    unusable: float
    broken: float
    ending: str = "zip"


KINDS = {
    T1: Kind("T1", 0.010, 0.006, 0.002),
    FLAIR: Kind("T2 FLAIR", 0.025, 0.008, 0.002),
    DWI: Kind("dMRI", 0.025, 0.008, 0.002),
    MATRIX: Kind("rfMRI", 0.030, 0.0, 0.0, "txt"),
    SERIES: Kind("Functional time series", 0.035, 0.006, 0.002),
}
# What is made where it is asked for alone.
OFFERED = dict.fromkeys(CONNECTOME_FIELDS, Kind("Connectomes", 0.030, 0.006, 0.002))
NEVER_SCANNED, REPEATED, FIRST_REPEAT, WITHDRAWN = 0.02, 0.10, 0.12, 0.006
FIRST_DAY = date(2006, 6, 1)
IMAGING_BEGAN = date(2014, 5, 1)


@dataclass(frozen=True)
class Scan:
    """One bulk file of a person."""

    field: int
    instance: int
    state: State

    def file_name(self, number: int) -> str:
        """Name the file of a person, numbered from 1, as UK Biobank does."""
        stem = f"{FIRST_EID + number - 1}_{self.field}_{self.instance}_0"
        return f"{stem}.{(KINDS | OFFERED)[self.field].ending}"


@dataclass(frozen=True)
class Visits:
    """Visits of one person.

    Attributes
    ----------
    dates : dict of int to date
        By instance: 0 first visit, 1 first repeat, 2 imaging, 3 repeat imaging.
    scans : tuple of Scan
        Every bulk file, also those that are missing.
    withdrawn : bool
        Whether the person is on the withdrawal list.
    """

    dates: dict[int, date]
    scans: tuple[Scan, ...]
    withdrawn: bool


def visits_of(seed: int, number: int) -> Visits:
    """Draw the visits of a person, numbered from 1; nothing else decides."""
    rng = np.random.default_rng([seed, number, 4])
    first = FIRST_DAY + timedelta(days=int(rng.integers(0, 4 * 365)))
    imaging = first + timedelta(days=int(rng.normal(9.2, 1.0) * 365))
    # Nobody was scanned before imaging began; whoever would have been comes in its first years.
    imaging = max(imaging, IMAGING_BEGAN + timedelta(days=imaging.toordinal() % 365))
    dates = {0: first}
    if rng.random() < FIRST_REPEAT:
        dates[1] = first + timedelta(days=int(rng.normal(4.2, 0.4) * 365))
    scanned = rng.random() >= NEVER_SCANNED
    repeated = rng.random() < REPEATED
    if scanned:
        dates[2] = imaging
        if repeated:
            dates[3] = imaging + timedelta(days=int(rng.normal(2.4, 0.3) * 365))
    scans = tuple(
        Scan(field, instance, _state(kind, float(rng.random())))
        for instance in IMAGING_VISITS
        if instance in dates
        for field, kind in KINDS.items()
    )
    return Visits(dates, scans, bool(rng.random() < WITHDRAWN))


def offered_scans(seed: int, number: int, fields: Iterable[int]) -> list[Scan]:
    """Draw a person's scans of fields of `OFFERED`; all others stay as they are."""
    dates = visits_of(seed, number).dates
    scans = []
    for instance in (instance for instance in IMAGING_VISITS if instance in dates):
        for field in (field for field in fields if field in OFFERED):
            draw = float(np.random.default_rng([seed, number, field, instance]).random())
            scans.append(Scan(field, instance, _state(OFFERED[field], draw)))
    return scans


def _state(kind: Kind, draw: float) -> State:
    edges = np.cumsum([kind.missing, kind.unusable, kind.broken])
    states: tuple[State, ...] = ("missing", "unusable", "broken", "ok")
    return states[int(np.searchsorted(edges, draw, side="right"))]
