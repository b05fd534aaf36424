"""What each input adds: nested pairs of cells, and Shapley values."""

from dataclasses import replace
from functools import partial

import pandas as pd

from ukb_brain.figures.contributions import draw_contributions
from ukb_brain.grid import Grid
from ukb_brain.reports import show
from ukb_brain.statistics.inputs.judged import ALL_IMAGES
from ukb_brain.words import number


def _gain(part: str, row: show.Row) -> show.Entry:
    if part not in row:
        return show.Entry("")
    found = show.estimate(row[part], "difference", "{note}")
    return replace(found, text=f"{row[part]['verdict']}: {found.text}")


def what_adds(comparisons: pd.DataFrame, grid: Grid) -> list[show.Table]:
    """List what each part adds to all others: images, and blocks; a row a target, a column a part.

    ``comparisons`` is ``target, part, difference, low, high, verdict, note, margin``.
    """
    how = (
        "Skill of all inputs together less the same without this one, before the ladder. Adds: "
        "above 0 after correction within domain and input. No gain: by these models; the upper "
        f"bound of the 90 % interval lies below {number(comparisons['margin'].iloc[0])}. Unknown: "
        "these people cannot tell"
    )
    tables = []
    kinds = {"images": (*grid.imaging, ALL_IMAGES), "blocks of traits": tuple(grid.domains)}
    for kind, parts in kinds.items():
        by_target: dict[str, show.Row] = {}
        for row in show.rows_of(comparisons[comparisons["part"].isin(parts)], grid):
            by_target[row["name"]] = {**by_target.get(row["name"], row), row["part"]: row}
        caption = f"What {kind} add to all other inputs, in skill, by these models."
        compared = [part for part in parts if part in set(comparisons["part"])]
        gains = [
            show.Column(f"{part.capitalize()}: {how}", partial(_gain, part)) for part in compared
        ]
        tables.append(show.Table(caption, by_target.values(), show.TARGET, *gains))
    return [table for table in tables if table.rows]


def domain_means(contributions: pd.DataFrame, grid: Grid) -> show.Table:
    """List what each part contributes to a domain on average, and with what it overlaps.

    Rows of a domain's mean have no target.
    """
    means = contributions[contributions["target"] == ""]
    pairs = means[means["measure"] == "interaction"]
    either = pd.concat([pairs, pairs.rename(columns={"part": "other", "other": "part"})])
    overlaps = either.sort_index(kind="stable").groupby(["domain", "part", "verdict"])["other"]
    others = overlaps.agg(", ".join).to_dict() if len(either) else {}
    place = {name: at for at, name in enumerate((*grid.imaging, *grid.domains))}
    listed = means[(means["measure"] == "contribution") & means["domain"].isin(list(grid.domains))]
    listed = listed.sort_values(["domain", "part"], key=lambda names: names.map(place))
    rows = listed.assign(domain=listed["domain"].str.capitalize()).to_dict("records")
    for row, domain in zip(rows, listed["domain"], strict=True):
        for kind in ("redundancy", "synergy"):
            row[kind] = others.get((domain, row["part"], kind), "–")
    return show.Table(
        "What each part contributes to a domain on average, in skill.",
        rows,
        show.text("Domain and part: Mean over the domain's targets", "{domain}: {part}"),
        show.measured(
            "Contribution: Shapley value: its share of what all parts give together",
            "estimate",
            "Mean over the targets",
            digits=3,
        ),
        show.text(
            "Overlaps with: The interaction's 95 % interval lies below 0, however little: both "
            "tell the same",
            "{redundancy}",
        ),
        show.text(
            "More together with: The interaction's 95 % interval lies above 0, however little",
            "{synergy}",
        ),
    )


SECTION = show.Section(
    "What does each input add?",
    "The cell with all inputs is compared, on the same people, with the cell that lacks one of "
    "them. “No gain” is said of these models and no others: a gain of theirs that matters is "
    "excluded. It does not say that there is nothing in the images. Shapley values share out the "
    "skill of all inputs, and do not depend on the order in which one adds them; what two inputs "
    "know in common is split between them.",
    "Pairs of cells of a target on the people that both have, as cells predicted before the "
    "ladder, which may give both the same predictions; differences over bootstrap draws of whole "
    "families. “Adds”: above 0 after correction within the family of comparisons. “No gain”: the "
    "upper bound lies below the margin; where both cells score the same there is no interval and "
    "no verdict. Shapley values: of the map's cells, on the people common to all of a target's "
    "cells, draw by draw; where the ladder chose no cell with an input they are 0 without an "
    "interval.",
    {
        draw_contributions: "Panels by domain and input: each target's Shapley contribution with "
        "its 95 % interval, the skill without any of these inputs, and that of all together.",
        what_adds: "",
        domain_means: "",
    },
)
