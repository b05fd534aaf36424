"""Tables of the report on calibration, subgroups of people, and relations between targets."""

from __future__ import annotations

import pandas as pd

from ukb_brain.figures.forest import in_order
from ukb_brain.figures.suppression import suppress_counts
from ukb_brain.grid import Grid
from ukb_brain.reports.entries import (
    Entry,
    Shown,
    estimate,
    number,
    p_value,
    without_small_counts,
)
from ukb_brain.statistics.kinds import LABELS

MOST_RELATIONS, MOST_CENTRAL = 8, 5
MEASURES = {
    "mutual_information": "Mutual information between what people have",
    "distance_correlation": "Distance correlation between what people have",
    "profile_similarity": "Similarity of what reads them",
}


def calibration_rows(numbers: pd.DataFrame, grid: Grid, below: int) -> Shown:
    """List slopes and offsets of calibration.

    Parameters
    ----------
    numbers : pandas.DataFrame
        From `ukb_brain.statistics.people.calibration_tables.calibration_tables`.
    grid : Grid
        Gives names and order.
    below : int
        Counts under it are not shown.

    Returns
    -------
    Shown
    """
    rows = []
    for key, target in grid.targets.items():
        mine = numbers[numbers["target"] == key].set_index("measure")
        if mine.empty:
            continue
        how = f"From {mine['inputs'].iloc[0]}"
        binary = target.kind == "binary"
        none = pd.Series(dtype=float)

        def of(measure: str, mine: pd.DataFrame = mine, none: pd.Series = none) -> pd.Series:
            rows = mine[mine.index == measure]
            return rows.iloc[0] if len(rows) else none

        offset = "calibration_intercept" if binary else "mean_error"
        unit = "log-odds" if binary else target.unit
        changed = of("recalibration_change")
        rows.append(
            [
                Entry(target.name),
                estimate(of("calibration_slope"), "estimate", how, 2, ("low", "high")),
                estimate(of(offset), "estimate", f"In {unit}. {how}", 2, ("low", "high")),
                Entry(unit),
                estimate(
                    changed, "estimate", "Brier score" if binary else "R²", 4, ("low", "high")
                ),
                Entry(without_small_counts(mine["note"].iloc[0], below)),
            ]
        )
    return Shown(
        "Calibration of the fullest cell of each target.",
        (
            ("Target", "Characteristic"),
            ("Slope", "Of the outcome on the prediction (log-odds where binary); 1 is right, less "
             "is too extreme, more too timid"),
            ("Offset", "Intercept at a slope of 1 (binary), or mean prediction less outcome; 0 is "
             "right"),
            ("Unit", "Of the offset"),
            ("Change by recalibration", "By a line fitted on validation people: of the Brier score "
             "(binary; below 0 is better) or of R² (above 0 is better)"),
            ("Remark", "Why a number is missing"),
        ),
        rows,
    )  # fmt: skip


def subgroup_rows(subgroups: pd.DataFrame, grid: Grid, below: int) -> Shown:
    """List the subgroups whose score differs from the others'.

    Parameters
    ----------
    subgroups : pandas.DataFrame
        From `ukb_brain.statistics.limits.limit_tables.subgroup_table`.
    grid : Grid
        Gives names and order.
    below : int
        Counts under it are not shown, and the others of that division are rounded.

    Returns
    -------
    Shown
    """
    table = in_order(subgroups, grid)
    scored = int((table["status"] == "ok").sum())
    rows = []
    for _, division in table.groupby(["target", "subgroup_of"], sort=False):
        # A subgroup without a count has a small one, or one that is small in a class.
        shown = suppress_counts(division.assign(n=division["n"].fillna(1)), ["n"], below)
        for _, row in shown[division["differs"].fillna(False).astype(bool)].iterrows():
            rows.append(
                [
                    Entry(grid.targets[row["target"]].name, row["inputs"]),
                    Entry(f"{row['subgroup_of'].replace('_', ' ')}: {row['subgroup']}"),
                    Entry(row["n"], "Test people", number=True),
                    estimate(row, "score", f"From {row['inputs']}"),
                    estimate(row, "difference", "Score of the subgroup less that of all others"),
                    Entry(p_value(row["p_adjusted"]), number=True),
                ]
            )
    return Shown(
        f"Read better or worse than the other people: {len(rows)} of {scored} subgroups.",
        (
            ("Target", "Characteristic"),
            ("Subgroup", "A division of the test people"),
            ("People", "Of the subgroup; small counts are hidden"),
            ("Score", "AUC or R² within the subgroup, fullest inputs"),
            ("Difference", "From all others whose label is known"),
            ("p, adjusted", "Benjamini and Hochberg over all subgroups and targets"),
        ),
        rows,
    )


def participation_rows(participation: pd.DataFrame, grid: Grid) -> Shown:
    """List scores as if people took part alike, beside the plain ones.

    Parameters
    ----------
    participation : pandas.DataFrame
        From `ukb_brain.statistics.limits.limit_tables.participation_table`.
    grid : Grid
        Gives names and order.

    Returns
    -------
    Shown
        Numbers of people are not shown.
    """
    rows = [
        [
            Entry(grid.targets[row["target"]].name, row["inputs"]),
            Entry(LABELS[row["metric"]]),
            estimate(row, "plain", f"Test people with a weight, from {row['inputs']}"),
            estimate(row, "weighted", "The same people, each counted by the weight"),
            estimate(row, "difference", "Weighted less plain, draw by draw", 3),
        ]
        for _, row in in_order(participation, grid).iterrows()
    ]
    return Shown(
        "Scores as if people took part alike, by the participation weights that were given.",
        (
            ("Target", "Characteristic"),
            ("Scale", "AUC of binary targets, R² of continuous ones"),
            ("Plain", "Each person counts the same"),
            ("Weighted", "Each counts for as many as the weight says; weights are taken as known"),
            ("Difference", "An interval without 0 says that selection matters for this score"),
        ),
        rows,
    )


def relation_rows(relations: pd.DataFrame, centrality: pd.DataFrame, grid: Grid) -> list[Shown]:
    """List the closest pairs and most central targets of each measure of relation.

    Parameters
    ----------
    relations, centrality : pandas.DataFrame
        From `ukb_brain.statistics.relations.relation_tables.relation_tables`; the latter may
        be empty.
    grid : Grid
        Gives names.

    Returns
    -------
    list of Shown
        One a measure, the most central targets named in its caption.
    """
    tables = []
    for measure, words in MEASURES.items():
        mine = relations[(relations["measure"] == measure) & relations["estimate"].notna()]
        if mine.empty:
            continue
        closest = mine.sort_values("estimate", ascending=False, kind="stable").head(MOST_RELATIONS)
        rows = [
            [
                Entry(f"{grid.targets[row['target']].name} – {grid.targets[row['other']].name}"),
                estimate(row, "estimate", words, 2, ("low", "high")),
                Entry(p_value(row["p_adjusted"]), number=True),
            ]
            for _, row in closest.iterrows()
        ]
        central = centrality[centrality["measure"] == measure] if len(centrality) else centrality
        names = ""
        if len(central):
            first = central.sort_values("estimate", ascending=False).head(MOST_CENTRAL)
            listed = [
                f"{grid.targets[t].name} ({number(e)})"
                for t, e in zip(first["target"], first["estimate"], strict=True)
            ]
            names = f" Most central (eigenvector centrality): {', '.join(listed)}."
        tables.append(
            Shown(
                f"{words}: the {len(rows)} closest of {len(mine)} pairs.{names}",
                (
                    ("Targets", "A pair"),
                    ("Relation", f"{words}, with a 95 % interval over families"),
                    (
                        "p, adjusted",
                        "Of no relation, where tested; Benjamini and Hochberg over pairs",
                    ),
                ),
                rows,
            )
        )
    return tables
