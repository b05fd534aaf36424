"""The raw folder of a synthetic cohort: claimed once, and never shared with anything else."""

import json
import re
from pathlib import Path
from typing import Any, get_args

from ukb_brain.atomic import PARTIAL, atomic_path
from ukb_brain.errors import InputError
from ukb_brain.synthetic.settings import FIRST_EID, Arrangement, SyntheticCohort
from ukb_brain.synthetic.visits import KINDS, OFFERED, Scan

MARKER = "synthetic_cohort.json"
TABLES = re.compile(
    r"ukb12345\.(csv|tab|txt|csv\.gz)|data_participant(_\d)?\.(csv|tsv|parquet)"
    r"|w12345_\d+\.csv|withdraw12345_\d+_\d+\.txt|ukb_rel_a12345_s\d+\.dat"
)
SCAN = re.compile(rf"^(\d+)_({'|'.join(map(str, KINDS | OFFERED))})_([23])_0\.(zip|txt)$")


def bulk_folder(raw: Path, arrangement: Arrangement) -> Path:
    """Name the folder of bulk files."""
    return raw / ("Bulk/Brain MRI" if arrangement == "platform" else "bulk")


def file_path(arrangement: Arrangement, scan: Scan, number: int) -> Path:
    """Place a person's bulk file under the folder of bulk files."""
    name = scan.file_name(number)
    folders = {
        "flat": Path(),
        "by_field": Path(str(scan.field)),
        "by_person": Path(name.partition("_")[0]),
        "platform": Path((KINDS | OFFERED)[scan.field].folder, name[:2]),
    }
    return folders[arrangement] / name


def claim(folder: Path, cohort: SyntheticCohort, source: str) -> SyntheticCohort:
    """Make a folder this cohort's own, before anything is written into it; give the cohort back.

    The cohort may grow by further participants and phenotypes, nothing else may change. A
    synthetic cohort is never written where real data belong.

    Raises
    ------
    InputError
        If the source is not ``synthetic``, or the folder holds what this cohort did not write.
    """
    if source != "synthetic":
        raise InputError(
            f"This environment holds data of source {source!r}, and a synthetic cohort is written "
            "only where source is 'synthetic': run synthetic_cohort without --env, or with "
            "--env test."
        )
    marker = folder / MARKER
    claimed = marker.exists()
    if claimed:
        _check_same(folder, json.loads(marker.read_text()), cohort)
    # What a generation that was killed before its first file may have left is no matter.
    foreign = sum(
        not (_is_ours(path, folder) if claimed else path.name == PARTIAL + MARKER)
        for path in folder.rglob("*")
        if not path.is_dir()
    )
    if foreign:
        raise InputError(
            f"{folder} holds {foreign} file(s) that a synthetic cohort did not write, and it "
            "is never mixed with other data: give it a data root of its own "
            "(--params data_root=…)."
        )
    folder.mkdir(parents=True, exist_ok=True)
    text = cohort.model_dump_json(indent=1) + "\n"
    if not claimed or marker.read_text() != text:
        with atomic_path(marker) as part:
            part.write_text(text)
    return cohort


def _check_same(folder: Path, there: dict[str, Any], asked: SyntheticCohort) -> None:
    # Earlier versions wrote fewer settings, and their time series without a header.
    there, grows = {"idps": 0, "depth": False} | there, ("participants", "idps")
    # Of the truth alone.
    there["reference_people"] = asked.reference_people
    changed = [
        f"{key} {there.get(key)} there, {new} asked"
        for key, new in asked.model_dump().items()
        if there.get(key) != new and (key not in grows or new < there[key])
    ]
    if changed:
        raise InputError(
            f"{folder} holds another synthetic cohort ({'; '.join(changed)}): give this one a data "
            "root of its own (--params data_root=…), or delete that folder."
        )


def _is_ours(path: Path, folder: Path) -> bool:
    name = path.name.removeprefix(PARTIAL)
    if path.parent == folder and (name == MARKER or TABLES.fullmatch(name)):
        return True
    found = SCAN.match(name)
    if found is None or int(found[1]) < FIRST_EID:
        return False
    scan = Scan(int(found[2]), int(found[3]), "ok")
    number = int(found[1]) - FIRST_EID + 1
    places = [
        bulk_folder(folder, way) / file_path(way, scan, number) for way in get_args(Arrangement)
    ]
    return path.with_name(name) in places
