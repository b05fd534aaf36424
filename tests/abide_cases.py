"""A small invented cohort in ABIDE's own formats: its phenotypic table and its series."""

import csv

import numpy as np

TABLE = "Phenotypic_V1_0b_preprocessed1.csv"
# A part of the real header, in its order; the first two names are as pandas left them.
HEADER = [
    *("", "Unnamed: 0", "SUB_ID", "X", "subject", "SITE_ID", "FILE_ID", "DX_GROUP", "DSM_IV_TR"),
    *("AGE_AT_SCAN", "SEX", "HANDEDNESS_CATEGORY", "HANDEDNESS_SCORES", "FIQ", "VIQ", "PIQ"),
    *("MEDICATION_NAME", "func_mean_fd", "qc_notes_rater_1", "SUB_IN_SMP"),
]
SITES = ("NYU", "UM_1", "LEUVEN_2", "MAX_MUN")
# As their files are called.
CALLED = {"NYU": "NYU", "UM_1": "UM_1", "LEUVEN_2": "Leuven_2", "MAX_MUN": "MaxMun_a"}


def row_of(number, **changed):
    random = np.random.default_rng(number)
    site = SITES[number % len(SITES)]
    row = {
        "": number,
        "Unnamed: 0": number + 1,
        "SUB_ID": 50_000 + number,
        "X": number,
        "subject": 50_000 + number,
        "SITE_ID": site,
        "FILE_ID": f"{CALLED[site]}_{50_000 + number:07d}",
        "DX_GROUP": 1 + number // 4 % 2,
        "DSM_IV_TR": 0,
        "AGE_AT_SCAN": round(6.5 + 30 * random.random(), 2),
        "SEX": 2 if number % 3 == 0 else 1,
        "HANDEDNESS_CATEGORY": "R",
        "HANDEDNESS_SCORES": "",
        "FIQ": int(100 + 15 * random.standard_normal()),
        "VIQ": "-9999",
        "PIQ": "",
        "MEDICATION_NAME": "Fluoxetine, Guanfacine",
        "func_mean_fd": f"{0.05 + 0.2 * random.random():.10f}",
        "qc_notes_rater_1": 'skullstrip "bad"',
        "SUB_IN_SMP": 1,
    }
    return row | changed


def write_table(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def series_of(number, regions=7, points=40):
    """One person's regions in mm of nothing: correlated, and the more so the older they are."""
    random = np.random.default_rng([number, 1])
    shared = random.standard_normal((points, 1)) * row_of(number)["AGE_AT_SCAN"] / 20
    values = shared + random.standard_normal((points, regions))
    return 10 * (values - values.mean(axis=0))


def text_of(series, labels=None):
    """As AFNI's 3dROIstats leaves it."""
    labels = labels or range(1, series.shape[1] + 1)
    lines = ["\t".join(f"#{label}" for label in labels)]
    return "\n".join([*lines, *("\t".join(f"{x:.6f}" for x in row) for row in series)]) + "\n"


def write_series(folder, row, series, atlas="cc200"):
    folder.mkdir(parents=True, exist_ok=True)
    name = row["FILE_ID"]
    if name == "no_filename":
        name = f"{CALLED[row['SITE_ID']]}_{row['SUB_ID']:07d}"
    path = folder / f"{name}_rois_{atlas}.1D"
    path.write_text(text_of(series))
    return path


def write_cohort(folder, people=60, place="ABIDE_pcp/cpac/nofilt_noglobal", constant=()):
    """Write everybody's row and series, as nilearn arranges them."""
    rows = [row_of(number) for number in range(people)]
    rows[1] |= {"FILE_ID": "no_filename", "FIQ": "-9999.0"}
    write_table(folder / place.partition("/")[0], rows)
    for number, row in enumerate(rows):
        series = series_of(number)
        series[:, 2] *= number not in constant
        write_series(folder / place, row, series)
        write_series(folder / place, row, series[:, :5], "ho")
    return folder
