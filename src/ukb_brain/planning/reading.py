"""How long reading scans takes here."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

from ukb_brain.imaging.store import Key, open_store
from ukb_brain.planning.case import Case
from ukb_brain.planning.invented import scans_in, write_scans

# People whose scans are read, as long as these are small.
MOST_READ, FEWEST_READ, BYTES_READ = 40, 4, 40e6


def measure_reading(case: Case, pooling: int, stored: Path | None) -> dict[str, float]:
    """Time the reading of one person's scans.

    Parameters
    ----------
    case : Case
        Grid and shapes.
    pooling : int
        Of volumes.
    stored : Path, optional
        Folder of stores whose scans are read if they are of this shape; random ones otherwise.

    Returns
    -------
    dict of str to float
        Seconds by imaging group.
    """
    shapes = case.shapes(1)
    with tempfile.TemporaryDirectory() as folder:
        there = _found(case, stored)
        scans = scans_in(Path(folder) if there is None else stored or Path(), case.grid, pooling)
        keys = there or [(k + 1, 2) for k in range(_number_read(case))]
        took = {}
        for group, own in scans.items():
            if there is None:
                write_scans(own, shapes[group], keys)
            # The first opens what all share.
            own.read(keys[:1])
            started = time.perf_counter()
            for key in keys[1:]:
                own.read([key])
            took[group] = (time.perf_counter() - started) / (len(keys) - 1)
    return took


def _number_read(case: Case) -> int:
    each = sum(4.0 * math.prod(shape) for shape in case.shapes(1).values())
    return int(min(MOST_READ, max(FEWEST_READ, BYTES_READ / each)))


def _found(case: Case, stored: Path | None) -> list[Key] | None:
    """People of the run's own stores, if these hold scans of the shape that is planned."""
    if stored is None:
        return None
    scans, shapes = scans_in(stored, case.grid, 1), case.shapes(1)
    common: set[Key] | None = None
    for own in scans.values():
        store = open_store(own.volumes if own.is_volume else own.connectivity)
        for modality in own.modalities:
            keys = set(store.keys(modality))
            common = keys if common is None else common & keys
    if not common or len(common) < FEWEST_READ:
        return None
    chosen = sorted(common)[: _number_read(case)]
    same = all(own.read(chosen[:1]).shape[1:] == shapes[g] for g, own in scans.items())
    return chosen if same else None
