"""Regional time series in AFNI's tables, as the Preprocessed Connectomes Project hands out ABIDE.

A file ``<site>_<number>_rois_<atlas>.1D`` holds one person's scan: a line of region numbers, each
with ``#`` before it, then one row a time point and one column a region. A region outside the scan
is 0 throughout. Several derivatives of the project lie in one folder; the name tells them apart.
"""

import re

import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.imaging.time_series import TimeSeries, numbers

ROI_NAME = re.compile(r"(?:.*_)?(?P<number>\d{7})_rois_(?P<atlas>[a-z0-9]+)\.1D", re.IGNORECASE)
# Numbers that no field of UK Biobank has: a kind of file each, as its bulk fields are.
ATLASES = ("aal", "cc200", "cc400", "dosenbach160", "ez", "ho", "tt")
ROI_FIELDS = {atlas: 1_000_001 + place for place, atlas in enumerate(ATLASES)}


def person_and_field(name: str) -> tuple[int, int] | None:
    """Tell by its name whose scan a file holds, of which of `ROI_FIELDS`; None for others."""
    match = ROI_NAME.fullmatch(name)
    field = ROI_FIELDS.get(match["atlas"].lower()) if match else None
    return (int(match["number"]), field) if match and field else None


def require_one_pipeline(listed: pd.DataFrame) -> None:
    """Refuse series of one person and atlas that were preprocessed in several ways.

    Parameters
    ----------
    listed : DataFrame
        ``eid, field, size``, a row a file; links may show a file twice.

    Raises
    ------
    InputError
        If files of one person and atlas differ in size.
    """
    series = listed[listed["field"].isin(list(ROI_FIELDS.values()))]
    sizes = series.groupby(["eid", "field"])["size"].nunique()
    several = int((sizes > 1).sum())
    if several:
        raise InputError(
            f"{several:,} scan(s) have several different .1D files of one atlas, as of two "
            "pipelines or filters: name the folder of one of them, --params bulk_folder=FOLDER."
        )


def parse_rois(text: str) -> TimeSeries:
    """Read the text of a ``.1D`` file.

    Raises
    ------
    InputError
        If it has no line of region numbers, a region twice, rows of different lengths, or something
        else than numbers.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].lstrip().startswith("#"):
        raise InputError("the time series has no line of region numbers that starts with #")
    labels = tuple(label.strip("#") for label in lines[0].replace("# ", "#").split())
    rows = [line.split() for line in lines[1:]]
    return TimeSeries(labels, numbers(labels, rows, len(labels)).T)
