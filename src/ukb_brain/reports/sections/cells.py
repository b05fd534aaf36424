"""Tables of the report on the map and on what inputs add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from ukb_brain.figures.coefficients import POINTS, term_name
from ukb_brain.grid import Grid
from ukb_brain.reports.entries import Entry, Shown, estimate, number, p_value
from ukb_brain.statistics.inputs.nested_pairs import ALL_IMAGES
from ukb_brain.statistics.kinds import LABELS
from ukb_brain.statistics.scores.skill import headline_intervals

ALPHA = 0.05
RESAMPLED = (
    "Families of test people drawn anew, all cells rescored and the model refitted: rest on this, "
    "for these targets and trained networks"
)
PSEUDO = (
    "Takes cells of the same test people as independent (pseudo-replication): for comparison with "
    "the paper only"
)


def how_sure(permutations: pd.DataFrame, intervals: pd.DataFrame, grid: Grid) -> Shown:
    """Count by domain the cells that are told from chance, and say how wide intervals are.

    Parameters
    ----------
    permutations : pandas.DataFrame
        ``target, inputs, skill, p_bh, p_max`` a cell.
    intervals : pandas.DataFrame
        ``target, metric, low, high`` a cell and metric; may be empty.
    grid : Grid
        Gives domains.

    Returns
    -------
    Shown
        Counts are of cells.
    """
    domain = {key: target.domain for key, target in grid.targets.items()}
    tested = permutations.assign(domain=permutations["target"].map(domain))
    rows = []
    for name in grid.domains:
        mine = tested[tested["domain"] == name]
        if mine.empty:
            continue
        row = [Entry(name.capitalize()), Entry(f"{len(mine):,}", number=True)]
        row.append(Entry(number(mine["skill"].median()), number=True))
        for column in ("p_max", "p_bh"):
            share = (mine[column] <= ALPHA).mean()
            few = int((mine[column] <= ALPHA).sum())
            row.append(Entry(f"{few:,} ({100 * share:.0f} %)", number=True))
        for metric in LABELS:
            kept = pd.DataFrame(columns=["low", "high"])
            if len(intervals):
                ours = intervals["target"].map(domain) == name
                kept = intervals[ours & (intervals["metric"] == metric)]
            row.append(Entry(number((kept["high"] - kept["low"]).median(), 3), number=True))
        row.append(Entry(_share_rough(intervals, domain, name), number=True))
        rows.append(row)
    return Shown(
        "Cells that are told from chance, by domain.",
        (
            ("Domain", "Of the target"),
            ("Cells", "Target and inputs; cells with a permutation test"),
            ("Median skill", "R², or 2·AUC − 1, over the domain's cells"),
            (
                "Told from chance, strictly",
                "p ≤ .05 after correction for all cells at once (largest standardised score in "
                "each permutation of labels): the chance of a single false one among all is 5 %",
            ),
            (
                "Told from chance, false discoveries at 5 %",
                "p ≤ .05 after Benjamini and Hochberg: some 5 % of those are expected to be false",
            ),
            ("Width of AUC intervals", "Median width of the 95 % intervals of binary targets"),
            ("Width of R² intervals", "Median width of the 95 % intervals of continuous targets"),
            (
                "Rough intervals °",
                "Cells with fewer people in a class than intervals were validated for, or an area "
                "near 1 that few people carry: see docs/coverage.md",
            ),
        ),
        rows,
    )


def _share_rough(intervals: pd.DataFrame, domain: dict[str, str], name: str) -> str:
    if "validated" not in intervals:
        return "–"
    mine = headline_intervals(intervals)
    mine = mine[mine["target"].map(domain) == name]
    few = len(mine.query("not validated"))
    return f"{few:,} ({100 * few / max(1, len(mine)):.0f} %)"


def what_adds(comparisons: pd.DataFrame, grid: Grid) -> list[Shown]:
    """List what each part adds to all others, target by target.

    Parameters
    ----------
    comparisons : pandas.DataFrame
        ``target, part, difference, low, high, verdict, note, margin``, one row a target and part.
    grid : Grid
        Gives names, and parts in their order.

    Returns
    -------
    list of Shown
        Of images and of blocks: a row a target, a column a part.
    """
    kinds = {"images": (*grid.imaging, ALL_IMAGES), "blocks of traits": tuple(grid.domains)}
    margin = number(comparisons["margin"].iloc[0]) if len(comparisons) else "the margin"
    how = (
        "Skill of all inputs together less the same without this one, before the ladder. Adds: "
        "above 0 after correction within domain and input. No gain: by these models; the upper "
        f"bound of the 90 % interval lies below {margin}. Unknown: these people cannot tell"
    )
    of_pair = {(row["target"], row["part"]): row for _, row in comparisons.iterrows()}
    tables = []
    for kind, every in kinds.items():
        parts = [part for part in every if part in set(comparisons["part"])]
        rows = []
        for key in grid.targets:
            mine = [of_pair.get((key, part)) for part in parts]
            if any(row is not None for row in mine):
                entries = [Entry("") if row is None else _gain(row) for row in mine]
                rows.append([Entry(grid.targets[key].name), *entries])
        heads = (("Target", "Characteristic"), *((part.capitalize(), how) for part in parts))
        if rows:
            caption = f"What {kind} add to all other inputs, in skill, by these models."
            tables.append(Shown(caption, heads, rows))
    return tables


def _gain(row: pd.Series) -> Entry:
    found = estimate(row, "difference", str(row["note"]), 2, ("low", "high"))
    return replace(found, text=f"{row['verdict']}: {found.text}")


def domain_means(contributions: pd.DataFrame, grid: Grid) -> Shown:
    """List what each part contributes to a domain on average, and with what it overlaps.

    Parameters
    ----------
    contributions : pandas.DataFrame
        See `ukb_brain.statistics.inputs.contributions`; rows of a domain's mean have no target.
    grid : Grid
        Gives domains and parts, in their order.

    Returns
    -------
    Shown
    """
    means = contributions[contributions["target"] == ""]
    rows = []
    for domain in grid.domains:
        mine = means[means["domain"] == domain]
        pairs = mine[mine["measure"] == "interaction"]
        for part in (*grid.imaging, *grid.domains):
            of_part = mine[(mine["measure"] == "contribution") & (mine["part"] == part)]
            ours = (pairs["part"] == part) | (pairs["other"] == part)
            for _, row in of_part.iterrows():
                told = []
                for kind in ("redundancy", "synergy"):
                    found = pairs[ours & (pairs["verdict"] == kind)]
                    others = found["other"].where(found["part"] == part, found["part"])
                    told.append(Entry(", ".join(others) or "–"))
                bounds = ("low", "high")
                entry = estimate(row, "estimate", "Mean over the targets", 3, bounds)
                rows.append([Entry(f"{domain.capitalize()}: {part}"), entry, *told])
    return Shown(
        "What each part contributes to a domain on average, in skill.",
        (
            ("Domain and part", "Mean over the domain's targets"),
            ("Contribution", "Shapley value: its share of what all parts give together"),
            (
                "Overlaps with",
                "The interaction's 95 % interval lies below 0, however little: both tell the same",
            ),
            ("More together with", "The interaction's 95 % interval lies above 0, however little"),
        ),
        rows,
    )


def mixed_models(models: pd.DataFrame, resampled: pd.DataFrame, grid: Grid) -> Shown:
    """Set the mixed models' own numbers beside those over resampled people.

    Parameters
    ----------
    models : pandas.DataFrame
        ``domain, term, estimate, low, high, p``; may be empty.
    resampled : pandas.DataFrame
        ``domain, outcome, weighting, term, estimate, low, high``.
    grid : Grid
        Gives the domains' order.

    Returns
    -------
    Shown
    """
    alike = (resampled["outcome"] == "balanced_accuracy") & (resampled["weighting"] == "equal")
    ours = resampled[alike & (resampled["term"] != "intercept")]
    own: Mapping[tuple[str, str], pd.Series] = {}
    if len(models):
        own = {(m["domain"], m["term"]): m for _, m in models.iterrows()}
    rows = []
    for domain in grid.domains:
        for _, row in ours[ours["domain"] == domain].iterrows():
            study = own.get((domain, row["term"]), pd.Series(dtype=float))
            rows.append(
                [
                    Entry(f"{domain.capitalize()}: {term_name(row['term'], grid)}"),
                    estimate(row, "estimate", RESAMPLED, 2, ("low", "high"), POINTS),
                    estimate(study, "estimate", PSEUDO, 2, ("low", "high"), POINTS),
                    Entry(p_value(study.get("p", float("nan"))), PSEUDO, number=True),
                ]
            )
    return Shown(
        "Change in balanced accuracy, percentage points, with each input.",
        (
            ("Domain and input", "A mixed model a domain, a random intercept a target"),
            ("Over resampled people", RESAMPLED),
            ("The model's own", PSEUDO),
            ("p as in the study", PSEUDO),
        ),
        rows,
    )
