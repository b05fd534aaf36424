"""A small raw folder as UK Biobank hands it out: real tables and lists, zips with empty members."""

import zipfile
from pathlib import Path

import yaml

from ukb_brain.synthetic.folder import bulk_folder, file_path
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.table import main_table, write_lists
from ukb_brain.synthetic.table_styles import write_table
from ukb_brain.synthetic.visits import DWI, FLAIR, SERIES, T1, visits_of
from ukb_brain.tables.dictionary import Codings

CONF = Path(__file__).parents[1] / "conf" / "base"
CODINGS = Codings(yaml.safe_load((CONF / "parameters_codings.yml").read_text())["codings"])
MEMBERS = {
    T1: ("T1/T1_unbiased_brain.nii.gz", "T1/transforms/T1_to_MNI_linear.mat"),
    FLAIR: ("T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz",),
    DWI: ("dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz",),
    SERIES: ("fMRI/fMRI.Glasser.csv.gz",),
}


def cohort_of(people=40, style="ukbconv csv", arrangement="by_field"):
    return SyntheticCohort(
        participants=people,
        voxel_mm=8,
        regions=25,
        time_points=60,
        seed=3,
        style=style,
        arrangement=arrangement,
    )


def write_raw(folder, cohort=None, fields=tuple(MEMBERS)):
    """Write tables, lists and the directories of zips."""
    cohort = cohort or cohort_of()
    write_table(main_table(cohort), folder, cohort.style, CODINGS)
    write_lists(cohort, folder)
    bulk = bulk_folder(folder, cohort.arrangement)
    for number in range(1, cohort.participants + 1):
        for scan in visits_of(cohort.seed, number).scans:
            if scan.field not in fields or scan.state == "missing":
                continue
            path = bulk / file_path(cohort.arrangement, scan, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(path, "w") as archive:
                for name in MEMBERS[scan.field]:
                    archive.writestr(name, b"")
    return folder
