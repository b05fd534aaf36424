"""Index of 120,000 bulk files as they lie on the Research Analysis Platform.

The zips are small, since only their directories are read, and each lists as many members as UK
Biobank's do. They are made in the temporary folder of the system and erased afterwards.
"""

from __future__ import annotations

import io
import re
import tempfile
import time
import zipfile
from pathlib import Path

import pandas as pd

from benchmarks.record import Figure
from ukb_brain.imaging.bulk_index import index_bulk, states
from ukb_brain.synthetic.visits import KINDS

PEOPLE, NEW, GOAL = 30_000, 1_000, 60.0
FIRST, STEP = 1_000_001, 131
# By field: the member that is needed, the folder of others, and how many.
MEMBERS = {
    20252: ("T1/T1_unbiased_brain.nii.gz", "T1/T1_fast", 43),
    20253: ("T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz", "T2_FLAIR/lesions", 39),
    20250: ("dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz", "dMRI/dMRI", 52),
    31016: ("fMRI/fMRI.Glasser.csv.gz", "fMRI", 0),
}


def _content(field: int) -> bytes:
    needed, folder, others = MEMBERS[field]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (needed, *(f"{folder}/member_{k:02d}.nii.gz" for k in range(others))):
            archive.writestr(name, b"")
    return packed.getvalue()


def write(folder: Path, numbers: range) -> None:
    """Write the zips of some people."""
    for field in MEMBERS:
        content = _content(field)
        for number in numbers:
            eid = str(FIRST + STEP * number)
            place = folder / KINDS[field].folder / eid[:2]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{eid}_{field}_2_0.zip").write_bytes(content)


def _timed(folder: Path, before: pd.DataFrame | None) -> tuple[float, pd.DataFrame]:
    start = time.perf_counter()
    index, _ = index_bulk(folder, MEMBERS, before)
    state = states(index, {f: re.compile(re.escape(m)) for f, (m, *_) in MEMBERS.items()})
    seconds = time.perf_counter() - start
    assert (state == "ok").all()
    return seconds, index


def measure() -> list[Figure]:
    """Index them anew, again, and with new ones."""
    with tempfile.TemporaryDirectory(prefix="bulk_") as name:
        folder = Path(name)
        write(folder, range(PEOPLE))
        first, index = _timed(folder, None)
        again, _ = _timed(folder, index)
        write(folder, range(PEOPLE, PEOPLE + NEW // len(MEMBERS)))
        grown, larger = _timed(folder, index)
    seconds = {
        "first, on a warm disk": first,
        "again, nothing new": again,
        f"again, {len(larger) - len(index):,} new": grown,
    }
    for what, value in seconds.items():
        print(f"Index of {len(index):,} bulk files, {what}: {value:.1f} s", flush=True)
    more = {"files": len(index)}
    return [
        Figure.at_most(f"bulk index, {what}", value, GOAL, "s", more)
        for what, value in seconds.items()
    ]
