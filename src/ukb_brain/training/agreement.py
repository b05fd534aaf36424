"""How well two scans of a person agree: volumes, and vectors as models read them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.statistics.draws import FamilyDraws, measured
from ukb_brain.statistics.limits.reliability import LEAST_PEOPLE, agreement_of_scans
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of
from ukb_brain.training.harmonised import Combat
from ukb_brain.training.items import Work, gram_name
from ukb_brain.training.people import REPEAT, Mask, People
from ukb_brain.training.scans import GroupScans

AS_THEY_ARE, ALIKE = "as they are", "made alike"
# Numbers of scans that are held at a time; of larger scans there are fewer people.
MOST_NUMBERS = 100_000_000
FEW = f"fewer than {LEAST_PEOPLE} test people scanned twice"


def scan_agreement(work: Work, steps: ModelFolder, draws: int, level: float) -> pd.DataFrame:
    """Compare the scans of test people of the first fold who were scanned twice.

    Parameters
    ----------
    steps : ModelFolder
        What was done to vectors, fitted on training people.
    draws, level : int and float
        Of the bootstrap of families, and of intervals.

    Returns
    -------
    pandas.DataFrame
        One row a modality of volumes, and one or two a group of vectors: ``scans, sites, n``
        (missing under ten), ``status, icc`` with ``_low`` and ``_high``: of agreement, over all
        numbers of a scan. Of several later visits the earliest counts.
    """
    people = work.people[min(work.people)]
    scans, rows = work.scans.read_as(1, work.settings, people), []
    for group, some in scans.groups.items():
        one, two = _twice(people, people.has[group])
        for name, sites, read in _kinds(group, some, people, steps):
            row: dict[str, Any] = {"scans": name, "sites": sites, "n": np.nan, "status": FEW}
            if len(one) >= LEAST_PEOPLE:
                numbers = read.read(people.keys(one[:1])).size
                most = max(LEAST_PEOPLE, MOST_NUMBERS // (2 * numbers))
                one, two = one[:most], two[:most]
                first, second = (
                    read.read(people.keys(at)).reshape(len(at), -1) for at in (one, two)
                )
                families = people.family[one]
                weights = FamilyDraws(families, draws, work.seed).weights(families)
                row |= measured(agreement_of_scans(first, second), weights, level)
                there = np.isfinite(row["icc"])
                row["status"] = "ok" if there else "no variation between people"
                row["n"] = float(len(one))
            rows.append(row)
    return table_of(reported.scan_agreement, rows)


def _kinds(
    group: str, scans: GroupScans, people: People, steps: ModelFolder
) -> Iterator[tuple[str, str, GroupScans]]:
    """Name what is compared of a group, and say how it is read."""
    name, made = gram_name(people.fold, group), steps.cards()
    if scans.is_volume:
        for modality in scans.modalities:
            yield modality, AS_THEY_ARE, replace(scans, modalities=(modality,))
        return
    plain = tuple(maker for maker in scans.makers if not isinstance(maker, Combat))
    for sites, makers in ((AS_THEY_ARE, plain), (ALIKE, scans.makers)):
        some = replace(scans, makers=makers)
        if sites == ALIKE and makers == plain:
            return
        if name in made and made[name]["status"] == "ok":
            yield group, sites, some.restored(steps.read(name).arrays)
        else:
            training = people.has[group] & people.train
            yield group, sites, some.fitted(people.keys(training))


def _twice(people: People, has: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the visit that is judged, and of the earliest other one that has the group."""
    first = np.flatnonzero(has & (people.part == "test"))
    again = np.flatnonzero(has & (people.part == REPEAT))
    # Rows are sorted by eid and instance: the first of each is the earliest.
    eids, at = np.unique(people.eid[again], return_index=True)
    _, one, two = np.intersect1d(people.eid[first], eids, return_indices=True)
    return first[one], again[at][two]
