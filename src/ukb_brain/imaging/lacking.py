"""Modalities of the grid of which no scan can be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ukb_brain.grid import Grid
from ukb_brain.problems import Problem


def problems_of_modalities(
    lacking: Mapping[str, str], grid: Grid, fields: Mapping[str, int]
) -> list[Problem]:
    """Tell of all modalities without a scan at once, and how to go on without them.

    Parameters
    ----------
    lacking : dict of str to str
        What there is of each modality of which no scan can be used.
    grid : Grid
        Whose modalities must have scans.
    fields : dict of str to int
        Bulk field of each modality.

    Returns
    -------
    list of Problem
        One that stops, or none.
    """
    told = [
        f"{modality} (field {fields.get(modality)}, imaging group {group}): {lacking[modality]}"
        for group, held in grid.imaging.items()
        for modality in held
        if modality in lacking
    ]
    if not told:
        return []
    remedy = (
        "put these files among the bulk files, or name their folder with --params bulk_folder=… "
        "(`kedro run --pipelines check` says what is there)"
    )
    names = to_leave_out(grid, lacking)
    if names:
        remedy += f", or go on without: --params grid.leave_out={'+'.join(names)}"
    return [Problem("stop", f"no scan can be used of {' · '.join(told)}", remedy)]


def to_leave_out(grid: Grid, lacking: Collection[str]) -> tuple[str, ...]:
    """Name what `grid.leave_out` takes, so that the grid needs no scan that is not there.

    Parameters
    ----------
    grid : Grid
        With imaging groups.
    lacking : collection of str
        Modalities without scans.

    Returns
    -------
    tuple of str
        Whole groups by their own name, single modalities of others; empty if no imaging group
        would be left.
    """
    names: list[str] = []
    for group, held in grid.imaging.items():
        gone = [modality for modality in held if modality in lacking]
        names += [group] if len(gone) == len(held) else gone
    return () if set(grid.imaging) <= set(names) else tuple(names)
