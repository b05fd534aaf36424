"""Sites made alike by ComBat: a step of vectors, and the same for encodings."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.imaging.shelf import Key, ids_of
from ukb_brain.ledger import fingerprint_of
from ukb_brain.tables.splits import SET_ASIDE
from ukb_brain.tables.visits import by_phase
from ukb_brain.training.combat import Alike, Codes, fit_combat
from ukb_brain.training.people import Mask, People
from ukb_brain.training.settings import Harmonise
from ukb_brain.training.steps import Source, Vectors

logger = logging.getLogger(__name__)

# Numbers that are held at a time: of longer vectors fewer people, as many of each site, are used.
MOST_NUMBERS = 200_000_000
# People of a scanner who stay where not all are used.
FEWEST_DRAWN = 200


def scanners_of(people: People, settings: Harmonise) -> Codes:
    """Give each person's site, or site and phase, as one code, of shape (n,); negative: unknown."""
    if settings.by == "phase":
        return np.where(people.site >= 0, by_phase(people.site, people.phase), -1)
    return people.site


def learnt(people: People, group: Mask, settings: Harmonise) -> tuple[Mask, Mask, Codes]:
    """Tell on whom ComBat of a fold is fitted, among those who are true in ``group``.

    Returns
    -------
    training : ndarray of shape (n,)
        Training people at scanners that have enough of them.
    own : ndarray of shape (n,)
        People who are set aside, at scanners without any training people, if they are enough.
    passed : ndarray of shape (m,)
        Codes of other scanners, of which people pass through.
    """
    scanner = scanners_of(people, settings)
    known = group & (scanner >= 0)

    def enough(some: Mask) -> Mask:
        codes, counts = np.unique(scanner[some], return_counts=True)
        return some & np.isin(scanner, codes[counts >= settings.least_people])

    training = enough(known & people.train)
    aside = known & (people.part == SET_ASIDE)
    own = enough(aside & ~np.isin(scanner, scanner[known & people.train]))
    passed = np.setdiff1d(scanner[group], scanner[training | own])
    return training, own, passed


def check_scanners(people: People, settings: Harmonise) -> None:
    """Log which sites are not harmonised in a fold, and why.

    Raises
    ------
    InputError
        If phases are asked for, and nobody was scanned after a change of the scanner.
    """
    if settings.by == "phase" and not people.phase.any():
        raise InputError(
            "modelling.harmonise.by is phase, and no site's scanner changed before any scan: name "
            "the days in data_engineering.phases and run data_engineering, or use site."
        )
    everybody = np.ones(len(people.eid), dtype=bool)
    passed = learnt(people, everybody, settings)[2]
    if len(passed):
        logger.warning(
            "Fold %s: people of %s %s pass through unharmonised: fewer than %s training people "
            "were there, and no %s of its own were set aside (splitting.set_aside).",
            people.fold,
            "site" if settings.by == "site" else "site and phase",
            ", ".join("unknown" if code < 0 else f"{code}" for code in passed.tolist()),
            settings.least_people,
            settings.least_people,
        )


@dataclass(frozen=True)
class Harmonised:
    """Vectors made alike, by scanner.

    Attributes
    ----------
    records : ndarray of shape (n,)
        Sorted keys, as `ids_of` numbers them.
    scanner : ndarray of shape (n,)
        Of each.
    """

    alike: Alike
    records: Codes
    scanner: Codes

    def apply(self, values: Vectors, keys: Sequence[Key]) -> Vectors:
        """Change vectors, one a row."""
        numbers = ids_of(keys)
        places = np.searchsorted(self.records, numbers).clip(max=len(self.records) - 1)
        if not np.array_equal(self.records[places], numbers):
            raise ValueError("vectors are to be harmonised of people whose site was not given")
        return self.alike.apply(values, self.scanner[places])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give what was fitted."""
        return {"sites": self.alike.sites, "scale": self.alike.scale, "shift": self.alike.shift}


@dataclass(frozen=True)
class Combat:
    """Make scanners alike, by training people of one fold who have an imaging group.

    Attributes
    ----------
    about : str
        Tells it from others.
    records, scanner : ndarray of shape (n,)
        Everybody who has the group.
    training, own : ndarray of shape (n,)
        From `learnt`.
    """

    name: ClassVar[str] = "combat"
    costly: ClassVar[bool] = True

    about: str
    records: NDArray[np.int64] = field(repr=False, compare=False)
    scanner: Codes = field(repr=False, compare=False)
    training: Mask = field(repr=False, compare=False)
    own: Mask = field(repr=False, compare=False)

    @classmethod
    def of(cls, people: People, group: str, settings: Harmonise) -> Self:
        """Take what is known of a fold's people."""
        has = people.has[group]
        training, own, _ = learnt(people, has, settings)
        given = (people.record_of(group), scanners_of(people, settings)[has])
        about = fingerprint_of(*given, training[has], own[has])
        return cls(about, *given, training[has], own[has])

    def fit(self, scans: Source, training: Sequence[Key]) -> Harmonised | None:
        """Fit on vectors as the steps before leave them; None where no site has enough people."""
        asked = np.isin(ids_of(self.records), ids_of(training))
        rows = np.flatnonzero(self.training & asked)
        if not len(rows):
            return None

        def read(some: NDArray[np.intp]) -> Vectors:
            return scans.read([(int(e), int(i)) for e, i in self.records[some]])

        rows = _some_of_each(rows, self.scanner[rows], MOST_NUMBERS // read(rows[:1]).shape[1])
        others, values = np.flatnonzero(self.own), _completed(read(rows), self.scanner[rows])
        numbers = values[:0]
        if len(others):
            numbers = _completed(read(others), self.scanner[others])
        alike = fit_combat(values, self.scanner[rows], numbers, self.scanner[others])
        return Harmonised(alike, ids_of(self.records), self.scanner)

    def restore(
        self, scans: Source, arrays: Mapping[str, NDArray[np.generic]]
    ) -> Harmonised | None:
        """Make it again."""
        if "sites" not in arrays:
            return None
        sites = arrays["sites"].astype(np.int64)
        alike = Alike(sites, *(arrays[name].astype(np.float32) for name in ("scale", "shift")))
        return Harmonised(alike, ids_of(self.records), self.scanner)


def _some_of_each(rows: NDArray[np.intp], scanner: Codes, most: int) -> NDArray[np.intp]:
    """Take evenly of each scanner's people, of small ones all, so that few more than ``most`` stay.

    Of no scanner fewer than `FEWEST_DRAWN` stay, where it has so many.
    """
    codes, counts = np.unique(scanner, return_counts=True)
    share = min(1.0, most / len(rows))
    kept = np.minimum(counts, np.maximum(np.ceil(share * counts), FEWEST_DRAWN)).astype(int)
    found = []
    for code, count in zip(codes, kept, strict=True):
        mine = rows[scanner == code]
        found.append(mine[np.linspace(0, len(mine) - 1, count).round().astype(int)])
    return np.concatenate(found)


def _completed(values: Vectors, scanner: Codes) -> Vectors:
    """Repeat a scanner's known numbers where others of its people have none, or the mean of all.

    So that gaps change neither location nor scale.
    """
    lacking = np.isnan(values)
    for column in np.flatnonzero(lacking.any(axis=0)):
        known = values[~lacking[:, column], column]
        mean = known.mean() if len(known) else np.float32(0)
        for code in np.unique(scanner[lacking[:, column]]):
            here = scanner == code
            gaps, own = here & lacking[:, column], values[here & ~lacking[:, column], column]
            values[gaps, column] = np.resize(own, gaps.sum()) if len(own) else mean
    return values


def made_alike(
    values: NDArray[np.float64], people: People, known: Mask, settings: Harmonise
) -> NDArray[np.float64]:
    """Make numbers of everybody in a fold alike, of shape (n, numbers), such as encodings.

    Whoever is not ``known``, or lacks a number, stays.
    """
    known = known & np.isfinite(values).all(axis=1)
    training, own, _ = learnt(people, known, settings)
    if not training.any():
        return values
    scanner, found = scanners_of(people, settings), values.copy()
    alike = fit_combat(values[training], scanner[training], values[own], scanner[own])
    found[known] = alike.apply(values[known], scanner[known])
    return found
