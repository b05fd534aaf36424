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


def shown_counts(found: pd.DataFrame, below: int) -> list[str]:
    """Write all counts of a check, without small ones and what would give them away.

    Sections count the same people, so that a small number could be found from two of them: one
    that is suppressed anywhere rounds the others everywhere.

    Parameters
    ----------
    found : pandas.DataFrame
        ``n``, missing where nothing is counted.
    below : int
        The smallest count that may be shown.

    Returns
    -------
    list of str
        Empty where nothing is counted.
    """
    counted = found["n"].notna().to_numpy(bool)
    numbers = pd.DataFrame({"n": found["n"].to_numpy()[counted].astype(int)})
    # Two counts that differ by less than the limit give as few people away.
    ordered = numbers["n"].drop_duplicates().sort_values()
    close = ordered[(ordered > 0) & ordered.diff().between(1, below - 1)]
    if len(close):
        numbers = pd.concat([numbers, pd.DataFrame({"n": [1]})], ignore_index=True)
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
    found = found.assign(shown=shown_counts(found, below))
    sections = []
    for key, heading in HEADINGS.items():
        rows = found[found["section"] == key]
        if len(rows) and key not in MATRICES:
            columns = (rows["item"], rows["finding"], rows["shown"])
            sections.append((key, heading, list(zip(*columns, strict=True))))
    matrices = {key: _matrix(found[found["section"] == key]) for key in MATRICES}
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


def _matrix(rows: pd.DataFrame) -> tuple[list[str], list[tuple[str, str, list[str]]]]:
    """Spread findings over columns: their names, and a row an item with its use and its counts."""
    counted = rows[rows["n"].notna()]
    columns = sorted(counted["finding"].unique()) if rows["n"].isna().any() else []
    columns = columns or list(dict.fromkeys(counted["finding"]))
    uses = rows[rows["n"].isna()].set_index("item")["finding"].str.removeprefix(USE)
    written = []
    for item in dict.fromkeys(rows["item"]):
        own = counted[counted["item"] == item].set_index("finding")["shown"]
        written.append((str(item), uses.get(item, ""), [own.get(c, "–") for c in columns]))
    return columns, written
