"""What can be concluded: claims and verdicts."""

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.reports import show
from ukb_brain.reports.claims import parts_of


def claims_table(claims: pd.DataFrame) -> show.Table:
    """List the claims, their parts and verdicts."""
    rows = parts_of(claims)
    for row in rows:
        # The study's own test has its own verdict, which decides nothing.
        row["part"] += f": {row['study_says']}" if row["study_says"] else ""
    return show.Table(
        "The study's claims, tested on this run.",
        rows,
        show.text("Claim: Of the study", "{text}"),
        show.text(
            "Verdict: All parts must hold; one that fails decides", "{words}", "{claim_reason}"
        ),
        show.text("Part: What is measured: a skill, or a difference of two", "{part}", "{reason}"),
        show.measured(
            "Skill [95 %]: Over bootstrap draws of whole families of test people",
            "statistic",
            "{reason}",
            digits=3,
        ),
        show.plain(
            "Bound: What the interval must lie above, or below; written down beforehand", "bound"
        ),
        show.p("p: Of the part, over the same draws", "p"),
    )


def verdict_table(verdicts: pd.DataFrame, grid: Grid) -> show.Table:
    """List the verdict on each target."""
    several = verdicts["reasons"].map(lambda r: r if isinstance(r, str) else "; ".join(r))
    return show.Table(
        "What stands in the way of reading each target better.",
        show.rows_of(verdicts.assign(reasons=several), grid),
        show.TARGET,
        show.text(
            "Verdict: By rules written down beforehand, from the tables below; of these models,"
            " not of what others would read",
            "{verdict}",
        ),
        show.text("Reasons: What the verdict rests on", "{reasons}"),
    )


SECTION = show.Section(
    "What can be concluded",
    "The study's claims, put as numbers before looking, and each target's verdict. “Cannot be "
    "told” is a result: these people are too few to decide.",
    "Skill is R², or 2·AUC − 1. Claims: bootstrap draws of whole families of test people; a claim "
    "holds where the intervals of all its parts lie on its side of the bound, and fails where one "
    "lies on the other; its p is the largest of its parts'. Networks are not retrained. Verdicts: "
    "rules in the configuration, applied to the tables below.",
    {claims_table: "", verdict_table: ""},
)
