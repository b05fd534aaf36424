"""The page of the check: what is there, and what stands in the way of a run."""

import pandas as pd

from ukb_brain.figures.suppression import suppress_counts
from ukb_brain.readiness.findings import PROBLEMS, SECTIONS, USE
from ukb_brain.reports.html import render

# Told as a table of counts: what its rows and its columns are.
MATRICES = {"fields": ("Field", "Used for"), "cells": ("Target", "")}


def shown_counts(found: pd.DataFrame, below: int) -> list[str]:
    """Write the counts ``n`` of a check, without small ones and what would give them away.

    Sections count the same people, so that a small number could be found from two of them: one
    that is suppressed anywhere rounds the others everywhere. Empty where nothing is counted.
    """
    counted = found["n"].notna()
    numbers = pd.DataFrame({"n": found.loc[counted, "n"].astype(int)})
    # Two counts that differ by less than the limit give as few people away.
    ordered = numbers["n"].drop_duplicates().sort_values()
    if ((ordered > 0) & ordered.diff().between(1, below - 1)).any():
        numbers.loc[-1] = 1
    written = suppress_counts(numbers, ["n"], below)["n"]
    return written.reindex(found.index, fill_value="").tolist()


def build_check(found: pd.DataFrame, source: str, below: int = 10) -> str:
    """Build the page: HTML that loads nothing from elsewhere and names no participant.

    ``found`` is ``section, item, finding, n, severity, remedy``, its index without duplicates. No
    count of people under ``below`` is shown.
    """
    found = found.assign(shown=shown_counts(found, below))
    by_section = dict(iter(found.groupby("section")))
    there = {key: by_section[key] for key in SECTIONS if key in by_section}
    sections = [
        (key, SECTIONS[key], rows[["item", "finding", "shown"]].to_numpy().tolist())
        for key, rows in there.items()
        if key not in MATRICES
    ]
    matrices = [
        (key, SECTIONS[key], MATRICES[key], *_matrix(rows))
        for key, rows in there.items()
        if key in MATRICES
    ]
    problems = found.loc[found["section"] == PROBLEMS, ["severity", "finding", "remedy"]]
    return render(
        "check",
        source,
        below,
        [(str(one[0]), str(one[1])) for one in (*sections, *matrices)],
        sections=sections,
        matrices=matrices,
        problems=problems.to_numpy().tolist(),
        stops=int((problems["severity"] == "stop").sum()),
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
