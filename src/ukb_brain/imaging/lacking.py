"""Imaging groups of the grid that nobody has in full, and how to go on without them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.problems import Problem


@dataclass(frozen=True)
class Usable:
    """Usable scans by modality; visits with all modalities by imaging group."""

    scans: Mapping[str, int]
    visits: Mapping[str, int]


def count_usable(usable: pd.DataFrame, grid: Grid) -> Usable:
    """Count scans by modality, and visits that have all that an imaging group needs.

    Parameters
    ----------
    usable : pandas.DataFrame
        ``eid, instance, modality``, one row a scan that can be used.
    """
    visits = {
        modality: set(zip(rows["eid"], rows["instance"], strict=True))
        for modality, rows in usable.groupby("modality", observed=True)
    }
    none: set[tuple[int, int]] = set()
    return Usable(
        {modality: len(visits.get(modality, none)) for modality in grid.modalities},
        {
            group: len(set.intersection(*(visits.get(m, none) for m in held)))
            for group, held in grid.imaging.items()
        },
    )


def problems_of_groups(
    usable: Usable, lacking: Mapping[str, str], grid: Grid, fields: Mapping[str, int]
) -> list[Problem]:
    """Tell of all imaging groups that nobody has in full, and how to go on without them.

    Parameters
    ----------
    usable : Usable
    lacking : dict of str to str
        What there is of each modality of which no scan can be used.
    grid : Grid
    fields : dict of str to int
        Bulk field of each modality that has one.

    Returns
    -------
    list of Problem
        One that stops, or none.
    """
    empty = [group for group in grid.imaging if not usable.visits[group]]
    if not empty:
        return []
    told = [
        f"{modality} ({place(modality, fields)}, imaging group {group}): {lacking[modality]}"
        for group in empty
        for modality in grid.imaging[group]
        if modality in lacking
    ]
    words = [f"no scan can be used of {' · '.join(told)}"] if told else []
    for group in empty:
        needed = [f"{m} ({usable.scans[m]:,})" for m in grid.imaging[group]]
        if len(needed) > 1 and any(usable.scans[m] for m in grid.imaging[group]):
            words.append(f"{group} needs {' and '.join(needed)} of the same visit")
    needed_of = {modality for group in empty for modality in grid.imaging[group]}
    ways = []
    if needed_of & fields.keys():
        ways.append(
            "put these files among the bulk files, or name their folder with --params "
            "bulk_folder=… (`kedro run --pipelines check` says what is there)"
        )
    if needed_of - fields.keys():
        ways.append("give the main table numbers of these fields at the imaging visits")
    remedy = ", and ".join(ways)
    names = to_leave_out(grid, usable)
    if names:
        remedy += f", or go on without: --params grid.leave_out={'+'.join(names)}"
    return [Problem("stop", "; ".join(words), remedy)]


def place(modality: str, fields: Mapping[str, int]) -> str:
    """Say where a modality is found: its bulk field, or the main table."""
    return f"field {fields[modality]}" if modality in fields else "numbers of the main table"


def to_leave_out(grid: Grid, usable: Usable) -> tuple[str, ...]:
    """Name what `grid.leave_out` takes, so that the grid needs no scan that is not there.

    Of a group that nobody has in full, all modalities but those that can be used; where these are
    never of the same visit, all but the one with most scans. A group of which nothing would be left
    goes by its own name. Empty if no imaging group would be left.
    """
    names: list[str] = []
    for group, held in grid.imaging.items():
        if usable.visits[group]:
            continue
        gone = [modality for modality in held if not usable.scans[modality]]
        if not gone:
            most = max(held, key=lambda modality: usable.scans[modality])
            gone = [modality for modality in held if modality != most]
        names += [group] if len(gone) == len(held) else gone
    return () if set(grid.imaging) <= set(names) else tuple(names)
