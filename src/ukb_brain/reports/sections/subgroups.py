"""Whether anybody is read worse: subgroups, and participation weights."""

import pandas as pd

from ukb_brain.figures.suppression import suppress_counts
from ukb_brain.grid import Grid
from ukb_brain.reports import show


def subgroup_rows(subgroups: pd.DataFrame, grid: Grid, suppress_below: int) -> show.Table:
    """List the subgroups whose score differs from the others'.

    Counts under ``suppress_below`` are not shown, and the others of that division are rounded.
    """
    # A subgroup without a count has a small one, or one that is small in a class.
    counted = subgroups.assign(n=subgroups["n"].fillna(1))
    divisions = counted.groupby(["target", "subgroup_of"], sort=False)
    written = [suppress_counts(of, ["n"], suppress_below)["n"] for _, of in divisions]
    differing = subgroups["differs"].fillna(False).astype(bool)
    table = counted.assign(
        n=pd.concat(written), division=subgroups["subgroup_of"].str.replace("_", " ")
    )
    rows = show.rows_of(table[differing], grid)
    scored = (subgroups["target"].isin(list(grid.targets)) & (subgroups["status"] == "ok")).sum()
    return show.Table(
        f"Read better or worse than the other people: {len(rows)} of {scored} subgroups.",
        rows,
        show.TARGET_OF_CELL,
        show.text("Subgroup: A division of the test people", "{division}: {subgroup}"),
        show.numeral("People: Of the subgroup; small counts are hidden", "{n}", "Test people"),
        show.measured(
            "Score: AUC or R² within the subgroup, fullest inputs", "score", "From {inputs}"
        ),
        show.measured(
            "Difference: From all others whose label is known",
            "difference",
            "Score of the subgroup less that of all others",
        ),
        show.p("p, adjusted: Benjamini and Hochberg over all subgroups and targets", "p_adjusted"),
    )


def participation_rows(participation: pd.DataFrame, grid: Grid) -> show.Table:
    """List scores as if people took part alike; numbers of people are not shown."""
    return show.Table(
        "Scores as if people took part alike, by the participation weights that were given.",
        show.rows_of(participation, grid),
        show.TARGET_OF_CELL,
        show.SCALE,
        show.measured(
            "Plain: Each person counts the same",
            "plain",
            "Test people with a weight, from {inputs}",
        ),
        show.measured(
            "Weighted: Each counts for as many as the weight says; weights are taken as known",
            "weighted",
            "The same people, each counted by the weight",
        ),
        show.measured(
            "Difference: An interval without 0 says that selection matters for this score",
            "difference",
            "Weighted less plain, draw by draw",
            digits=3,
        ),
    )


SECTION = show.Section(
    "Is anybody read worse?",
    "Scores in subgroups of age, sex, site, ethnic background and deprivation, where known, "
    "against all other people. A difference is a reason to look, not yet unfairness: R² and AUC "
    "also fall where a subgroup varies less.",
    "Fullest cell of each target. Differences over bootstrap draws of families, p adjusted over "
    "all subgroups and targets (Benjamini and Hochberg) at 5 %. Subgroups with few people, or few "
    "in a class, are not scored.",
    {subgroup_rows: "", participation_rows: ""},
)
