"""Tables of the report on what can be concluded: claims and verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.reports.claims import WORDS
from ukb_brain.reports.entries import Entry, Shown, estimate, number, p_value
from ukb_brain.statistics.claims import BY_CELLS


def claims_table(claims: pd.DataFrame) -> Shown:
    """List the claims, their parts and verdicts.

    Parameters
    ----------
    claims : pandas.DataFrame
        From `ukb_brain.statistics.claims.evaluate_claims`.

    Returns
    -------
    Shown
    """
    rows = []
    for _, group in claims.groupby("claim", sort=False):
        whole = group[group["part"] == "all"].iloc[0]
        parts = group[group["part"] != "all"]
        for at, (_, row) in enumerate(parts.iterrows()):
            rows.append(
                [
                    Entry(whole["text"] if at == 0 else ""),
                    Entry(WORDS[whole["verdict"]] if at == 0 else "", whole["reason"]),
                    Entry(_part(row), row["reason"]),
                    estimate(row, "statistic", row["reason"], 3, ("low", "high")),
                    Entry(number(row["bound"]), number=True),
                    Entry(p_value(row["p"]), number=True),
                ]
            )
    return Shown(
        "The study's claims, tested on this run.",
        (
            ("Claim", "Of the study"),
            ("Verdict", "All parts must hold; one that fails decides"),
            ("Part", "What is measured: a skill, or a difference of two"),
            ("Skill [95 %]", "Over bootstrap draws of whole families of test people"),
            ("Bound", "What the interval must lie above, or below; written down beforehand"),
            ("p", "Of the part, over the same draws"),
        ),
        rows,
    )


def verdict_table(verdicts: pd.DataFrame, grid: Grid) -> Shown:
    """List the verdict on each target.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        ``target, verdict, reasons``.
    grid : Grid
        Gives names.

    Returns
    -------
    Shown
    """
    rows = [
        [
            Entry(grid.targets[row["target"]].name),
            Entry(str(row["verdict"])),
            Entry(_joined(row["reasons"])),
        ]
        for _, row in verdicts.iterrows()
        if row["target"] in grid.targets
    ]
    return Shown(
        "What stands in the way of reading each target better.",
        (
            ("Target", "Characteristic"),
            (
                "Verdict",
                "By rules written down beforehand, from the tables below; of these models, not of "
                "what others would read",
            ),
            ("Reasons", "What the verdict rests on"),
        ),
        rows,
    )


def _part(row: pd.Series) -> str:
    """Name a part; the study's own test has its own verdict, which decides nothing."""
    by_study = row["basis"] == BY_CELLS
    return f"{row['part']}: {WORDS[row['verdict']]}" if by_study else str(row["part"])


def _joined(reasons: str | Sequence[str]) -> str:
    return reasons if isinstance(reasons, str) else "; ".join(map(str, reasons))
