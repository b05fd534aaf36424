"""The raw folder of a synthetic cohort: claimed once, and never shared with anything else."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ukb_brain.atomic import PARTIAL, atomic_path
from ukb_brain.errors import InputError
from ukb_brain.synthetic.settings import FIRST_EID, SyntheticCohort

MARKER = "synthetic_cohort.json"
TABLES = ("ukb_table.csv", "w12345_20260101.csv", "ukb_rel.dat")
BULK = "bulk"
SCAN = re.compile(r"^(\d+)_(20252|20253|20250|25750|31016)_[23]_0\.(zip|txt)$")


def claim(folder: Path, cohort: SyntheticCohort, source: str) -> None:
    """Make a folder this cohort's own, before anything is written into it.

    Parameters
    ----------
    folder : Path
        The raw folder; made where it is not there.
    cohort : SyntheticCohort
        Whose files it shall hold. It may grow by further participants, nothing else may change.
    source : str
        Must be ``synthetic``: a synthetic cohort is never written where real data belong.

    Raises
    ------
    InputError
        If the source is another, or the folder holds what this cohort did not write.
    """
    if source != "synthetic":
        raise InputError(
            f"This environment holds data of source {source!r}, and a synthetic cohort is written "
            "only where source is 'synthetic': run synthetic_cohort without --env, or with "
            "--env test."
        )
    marker = folder / MARKER
    if marker.exists():
        _check_same(folder, SyntheticCohort(**json.loads(marker.read_text())), cohort)
    _check_nothing_foreign(folder, marker.exists())
    folder.mkdir(parents=True, exist_ok=True)
    text = cohort.model_dump_json(indent=1) + "\n"
    if not marker.exists() or marker.read_text() != text:
        with atomic_path(marker) as part:
            part.write_text(text)


def _check_same(folder: Path, there: SyntheticCohort, asked: SyntheticCohort) -> None:
    old, new = there.model_dump(), asked.model_dump()
    shrinks = new["participants"] < old["participants"]
    changed = [
        f"{key} {old[key]} there, {new[key]} asked"
        for key in old
        if old[key] != new[key] and (key != "participants" or shrinks)
    ]
    if changed:
        raise InputError(
            f"{folder} holds another synthetic cohort ({'; '.join(changed)}): give this one a data "
            "root of its own (--params data_root=…), or delete that folder."
        )


def _check_nothing_foreign(folder: Path, claimed: bool) -> None:
    if not folder.exists():
        return
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    foreign = [path for path in files if not (claimed and _is_ours(path, folder))]
    if not claimed:
        # What a generation that was killed before its first file may have left.
        foreign = [path for path in foreign if path.name != PARTIAL + MARKER]
    if foreign:
        raise InputError(
            f"{folder} holds {len(foreign)} file(s) that a synthetic cohort did not write, and it "
            "is never mixed with other data: give it a data root of its own "
            "(--params data_root=…)."
        )


def _is_ours(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    if len(parts) == 1:
        return parts[0].removeprefix(PARTIAL) in (MARKER, *TABLES)
    scan = SCAN.match(parts[-1].removeprefix(PARTIAL))
    return (
        len(parts) == 3
        and parts[0] == BULK
        and scan is not None
        and scan[2] == parts[1]
        and int(scan[1]) >= FIRST_EID
    )
