"""The page of the check: what is there, and what stands in the way of a run."""

from __future__ import annotations

import jinja2
import pandas as pd

from ukb_brain.figures.stamp import NOTICE, is_synthetic
from ukb_brain.figures.suppression import suppress_counts

PROBLEMS = "problems"
# Told as a table of counts: what its rows and its columns are.
MATRICES = {"fields": ("Field", "Used for"), "cells": ("Target", "")}
USE = "for "
HEADINGS = {
    "tables": "Tables",
    "fields": "Fields that the grid and confounds need",
    "withdrawals": "Withdrawals",
    "relatives": "Relatives",
    "cohort": "Who is in",
    "scans": "Scans",
    "cells": "People in each cell",
    "machine": "This machine",
    "cost": "What a run would cost, by rates measured before",
}


def shown_counts(rows: pd.DataFrame, below: int) -> list[str]:
    """Write a section's counts, without small ones and what would give them away.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``n``, missing where nothing is counted.
    below : int
        The smallest count that may be shown.

    Returns
    -------
    list of str
        Empty where nothing is counted.
    """
    counted = rows["n"].notna().to_numpy(bool)
    numbers = pd.DataFrame({"n": rows["n"].to_numpy()[counted].astype(int)})
    written = iter(suppress_counts(numbers, ["n"], below)["n"])
    return [next(written) if has else "" for has in counted]


def build_check(found: pd.DataFrame, source: str, below: int = 10) -> str:
    """Build the page.

    Parameters
    ----------
    found : pandas.DataFrame
        ``section, item, finding, n, severity, remedy``.
    source : str
        ``synthetic`` is stamped.
    below : int
        The smallest count of people that may be shown.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere and names no participant.
    """
    sections = []
    for key, heading in HEADINGS.items():
        rows = found[found["section"] == key]
        if len(rows) and key not in MATRICES:
            columns = (rows["item"], rows["finding"], shown_counts(rows, below))
            sections.append((key, heading, list(zip(*columns, strict=True))))
    matrices = {key: _matrix(found[found["section"] == key], below) for key in MATRICES}
    problems = found.loc[found["section"] == PROBLEMS, ["severity", "finding", "remedy"]]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ukb_brain", "figures"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("check.html.j2").render(
        sections=sections,
        matrices={k: (HEADINGS[k], MATRICES[k], *m) for k, m in matrices.items() if m[1]},
        problems=problems.to_numpy().tolist(),
        stops=int((problems["severity"] == "stop").sum()),
        synthetic=is_synthetic(source),
        notice=NOTICE,
        below=below,
    )


def _matrix(rows: pd.DataFrame, below: int) -> tuple[list[str], list[tuple[str, str, list[str]]]]:
    """Spread findings over columns: their names, and a row an item with its use and its counts."""
    counted = rows[rows["n"].notna()]
    counted = counted.assign(n=shown_counts(counted, below))
    columns = sorted(counted["finding"].unique()) if rows["n"].isna().any() else []
    columns = columns or list(dict.fromkeys(counted["finding"]))
    uses = rows[rows["n"].isna()].set_index("item")["finding"].str.removeprefix(USE)
    written = []
    for item in dict.fromkeys(rows["item"]):
        own = counted[counted["item"] == item].set_index("finding")["n"]
        written.append((str(item), uses.get(item, ""), [own.get(c, "–") for c in columns]))
    return columns, written
