"""How many people would enter each cell, by what is listed of their scans."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.readiness.findings import Readiness

KEYS = ["eid", "instance"]
NO_IMAGING = "no imaging"


def people_of_cells(
    targets: pd.DataFrame,
    participants: pd.DataFrame,
    index: pd.DataFrame,
    grid: Grid,
    fields: Mapping[str, int],
) -> pd.DataFrame:
    """Count the people of each cell at their chosen visits.

    Cells of the same imaging groups have the same people: blocks leave nobody out, since their
    missing traits are filled.

    Parameters
    ----------
    targets : DataFrame
        ``eid, instance`` and a column a target.
    participants : DataFrame
        ``eid, instance, chosen``.
    index : DataFrame
        Bulk files: ``eid, field, instance, array, state``.
    grid : Grid
        Its cells.
    fields : mapping of str to int
        Bulk field of each modality.

    Returns
    -------
    DataFrame
        ``target, imaging, n``: one row a target and set of imaging groups.
    """
    chosen = participants.loc[participants["chosen"], KEYS]
    known = chosen.merge(targets, on=KEYS, how="left", validate="one_to_one")
    people = pd.MultiIndex.from_frame(chosen)
    listed = index[(index["array"] == 0) & (index["state"] == "ok")]
    modality = {
        name: people.isin(pd.MultiIndex.from_frame(listed.loc[listed["field"] == field, KEYS]))
        for name, field in fields.items()
    }
    everybody = np.ones(len(people), dtype=bool)
    has = {
        group: np.all([modality.get(m, ~everybody) for m in modalities], axis=0)
        for group, modalities in grid.imaging.items()
    }
    counts: dict[tuple[str, str], int] = {}
    for cell in grid.cells:
        key = (cell.target, " + ".join(cell.inputs.groups) or NO_IMAGING)
        if key not in counts:
            groups = np.all([everybody, *(has[g] for g in cell.inputs.groups)], axis=0)
            counts[key] = int((groups & known[cell.target].notna().to_numpy()).sum())
    rows = [(*key, n) for key, n in counts.items()]
    return pd.DataFrame(rows, columns=["target", "imaging", "n"])


def check_cells(ready: Readiness, counted: pd.DataFrame, grid: Grid, least: int) -> None:
    """Note how many people each target's cells have, and which have too few for a split."""
    for target, imaging, n in counted[["target", "imaging", "n"]].to_numpy():
        ready.found("cells", grid.targets[target].name, str(imaging), int(n))
    few = counted[counted["n"] < least]
    if len(few):
        named = ", ".join(few["target"].drop_duplicates().head(3))
        more = " …" if few["target"].nunique() > 3 else ""
        ready.warn(
            f"cells of {named}{more} have fewer than {least} people and would be left without a "
            "model",
            "see which scans or answers are missing, or leave the imaging group or the target out "
            "of the grid",
        )
