"""The check benchmark: 500,000 people and 400,000 bulk files, looked at as a user does."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import pandas as pd

from benchmarks.record import Figure
from benchmarks.runs import kedro_run
from ukb_brain.synthetic.settings import FIRST_EID, SyntheticCohort
from ukb_brain.synthetic.table import main_table, write_lists
from ukb_brain.synthetic.visits import DWI, FLAIR, SERIES, T1

PEOPLE, SCANNED, MOST_SECONDS = 500_000, 100_000, 60.0
# So many people differ; the others repeat them under numbers of their own.
DISTINCT = 1_000
KINDS = {
    T1: ("T1", ("T1/T1_unbiased_brain.nii.gz", "T1/transforms/T1_to_MNI_linear.mat")),
    FLAIR: ("T2 FLAIR", ("T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz",)),
    DWI: ("dMRI", ("dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz",)),
    SERIES: ("Functional time series", ("fMRI/fMRI.Glasser.csv.gz",)),
}


def write_raw(folder: Path) -> None:
    """Write a table, lists, and bulk files as links to a few zips."""
    cohort = SyntheticCohort(participants=DISTINCT, voxel_mm=8, regions=25, time_points=60, seed=1)
    few = main_table(cohort)
    answers = few.drop(columns="eid")
    scanned = answers.to_csv(index=False, header=False).splitlines()
    # Of half a million people a fifth came to an imaging visit.
    at_scan = [name for name in answers if "-2." in name or "-3." in name]
    others = answers.assign(**dict.fromkeys(at_scan, "")).to_csv(index=False, header=False)
    folder.mkdir(parents=True)
    with (folder / "ukb12345.csv").open("w") as file:
        file.write(",".join(few.columns) + "\n")
        for start in range(0, PEOPLE, DISTINCT):
            rows = scanned if start < SCANNED else others.splitlines()
            file.writelines(f"{FIRST_EID + start + k},{row}\n" for k, row in enumerate(rows))
    write_lists(cohort, folder)
    for kind, (name, members) in KINDS.items():
        first = folder / f"{kind}.zip"
        with zipfile.ZipFile(first, "w") as archive:
            for member in members:
                archive.writestr(member, b"")
        place = folder / "Bulk" / "Brain MRI" / name / "90"
        place.mkdir(parents=True)
        for number in range(SCANNED):
            # A file system takes so many names of one file.
            if number % 10_000 == 0:
                shutil.copyfile(first, origin := folder / f".{kind}_{number}")
            os.link(origin, place / f"{FIRST_EID + number}_{kind}_2_0.zip")
        first.unlink()


def measure() -> list[Figure]:
    """Time `kedro run --pipelines check`, with the start of Kedro."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_TMP")) as name:
        root = Path(name)
        write_raw(root / "01_raw")
        seconds = kedro_run(root, "check", {"splitting": {"min_per_part": 1}})
        found = pd.read_parquet(root / "08_reporting" / "check.parquet")
        stops = int((found["severity"] == "stop").sum())
    return [
        Figure.at_most("check: 500,000 people, 400,000 files", seconds, MOST_SECONDS, "s"),
        Figure("check: problems that stop a run, of a sound folder", stops, "", "0", stops == 0),
    ]
