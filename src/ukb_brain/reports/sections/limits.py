"""Tables of the report on what limits legibility."""

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
    without_small_counts,
)
from ukb_brain.statistics.kinds import KINDS, LABELS


def confound_rows(confounds: pd.DataFrame, grid: Grid, below: int) -> Shown:
    """List the imaging cell, within-site score and gain over confounds of each target.

    Parameters
    ----------
    confounds : pandas.DataFrame
        From `ukb_brain.statistics.limits.limit_tables.confound_table`.
    grid : Grid
        Gives names and order.
    below : int
        Counts under it are not shown.

    Returns
    -------
    Shown
    """
    table = _counted(in_order(confounds, grid), below)
    rows = []
    for _, row in table.iterrows():
        metric = LABELS[row["metric"]]
        how = f"{metric}, held-out test people, from {row['inputs']}"
        status = row["status"]
        rows.append(
            [
                Entry(grid.targets[row["target"]].name),
                Entry(metric),
                Entry(row["n"], number=True),
                estimate(row, "score", how),
                estimate(row, "within_site", how),
                estimate(row, "confounds", f"{metric} from confounds alone"),
                estimate(row, "gain", f"Difference in {metric}", 3),
                Entry("" if status == "ok" else without_small_counts(status, below)),
            ]
        )
    return Shown(
        "Images against confounds.",
        (
            ("Target", "Characteristic"),
            ("Scale", "AUC of binary targets, R² of continuous ones"),
            ("Test people", "With images and the target; small counts are hidden"),
            ("Imaging cell", "All imaging and as few blocks as may be"),
            ("Within sites", "The same predictions, compared among people of one site only"),
            (
                "Confounds alone",
                "Site, sex, age, head size, head motion, as far as known, less the target itself",
            ),
            (
                "Added by images",
                "Confounds, the cell's block and images together, less the first two",
            ),
            ("Remark", "Why a number is missing"),
        ),
        rows,
    )


def ceiling_rows(
    reliability: pd.DataFrame, repeatability: pd.DataFrame, grid: Grid, below: int
) -> Shown:
    """List each target's test-retest ceiling, the share reached, and how predictions repeat.

    Parameters
    ----------
    reliability : pandas.DataFrame
        From `ukb_brain.statistics.limits.retest_table.retest_table`.
    repeatability : pandas.DataFrame
        From `ukb_brain.statistics.limits.retest_table.repeatability_table`; may be empty.
    grid : Grid
        Gives names and order.
    below : int
        Counts under it are not shown.

    Returns
    -------
    Shown
    """
    table = _counted(in_order(reliability, grid), below)
    if len(repeatability):
        again = repeatability.drop(columns=["n", "status", "pearson_r"], errors="ignore")
        table = table.merge(again, on="target", how="left", suffixes=("", "_again"))
    rows = [
        [
            Entry(grid.targets[row["target"]].name),
            Entry(KINDS[grid.targets[row["target"]].kind].label),
            Entry(row["n"], number=True),
            estimate(row, "ceiling"),
            estimate(row, "share", f"Fullest inputs: {row.get('inputs')}"),
            estimate(row, "icc", f"ICC of predictions from {row.get('inputs_again')}"),
            Entry("" if row["status"] == "ok" else without_small_counts(row["status"], below)),
        ]
        for _, row in table.iterrows()
    ]
    return Shown(
        "What each target's own measurement allows.",
        (
            ("Target", "Characteristic"),
            ("Scale", "Of the ceiling"),
            ("People measured twice", "At two imaging visits; small counts are hidden"),
            ("Ceiling", "Best score of a perfect reader, from how two measurements agree"),
            ("Share reached", "Skill of the fullest inputs over the skill at the ceiling"),
            ("Prediction repeats", "Intraclass correlation (agreement) of what the imaging cell "
             "predicts of test people scanned twice, by models that have seen neither scan"),
            ("Remark", "Why a number is missing"),
        ),
        rows,
    )  # fmt: skip


def scale_rows(model_scale: pd.DataFrame, grid: Grid) -> list[Shown]:
    """Count the cells that models of other sizes and strategies read better, and list these.

    Parameters
    ----------
    model_scale : pandas.DataFrame
        See `ukb_brain.tables.reported.model_scale`.
    grid : Grid
        Gives names and order.

    Returns
    -------
    list of Shown
        Of models, and of the cells whose gain has an interval without 0. Numbers of people are
        not shown.
    """
    above, below = model_scale["gain_low"] > 0, model_scale["gain_high"] < 0
    models = []
    for _, mine in model_scale.groupby(["variant", "strategy"], sort=False):
        first = mine.iloc[0]
        sizes = mine["parameters"].dropna()
        told = [int(side[mine.index].sum()) for side in (above, below)]
        models.append(
            [
                Entry(first["variant"].replace("_", " ")),
                Entry(first["strategy"]),
                Entry(f"{sizes.iloc[0]:,.0f}" if len(sizes) else "–", number=True),
                Entry(str(int(mine["gain"].notna().sum())), number=True),
                *(Entry(str(count), "By its own paired interval", number=True) for count in told),
            ]
        )
    listed = in_order(model_scale[above | below], grid)
    cells = [
        [
            Entry(grid.targets[row["target"]].name, row["inputs"]),
            Entry(f"{row['variant'].replace('_', ' ')}, {row['strategy']}"),
            estimate(row, "skill", f"From {row['inputs']}"),
            estimate(row, "gain", "Skill less that of the map's models, same test people", 3),
        ]
        for _, row in listed.iterrows()
    ]
    size = ("Models", "As in the configuration: evidence.model_scale.variants")
    return [
        Shown(
            "Models of other sizes against the map's.",
            (
                size,
                ("Strategy", "How cells are trained"),
                ("Parameters", "Trained weights of the encoders"),
                ("Cells", "Compared on the same test people"),
                ("Better", "Cells whose gain has a 95 % interval above 0; 2.5 % are so by chance"),
                ("Worse", "Cells whose gain has a 95 % interval below 0; 2.5 % are so by chance"),
            ),
            models,
        ),
        Shown(
            "Cells that another model reads better or worse.",
            (
                ("Target", "Characteristic"),
                size,
                ("Skill", "R², or 2·AUC − 1, on test people"),
                ("Gain", "Over the map's models, with a paired interval over families"),
            ),
            cells,
        ),
    ]


def curve_rows(fits: pd.DataFrame, grid: Grid) -> Shown:
    """List what ten times the training people would give.

    Parameters
    ----------
    fits : pandas.DataFrame
        See `ukb_brain.tables.reported.learning_curve_fits`.
    grid : Grid
        Gives names and order.

    Returns
    -------
    Shown
    """
    rows = [
        [
            Entry(grid.targets[row["target"]].name, row["inputs"]),
            Entry(row["inputs"]),
            Entry(row["strategy"]),
            Entry(row["shape"]),
            estimate(row, "at_10x", "Skill, extrapolated"),
            Entry(number(row["at_100x_scenario"]), "A scenario: nothing measured", number=True),
        ]
        for _, row in in_order(fits, grid).iterrows()
    ]
    return Shown(
        "Learning curves.",
        (
            ("Target", "Characteristic"),
            ("Inputs", "Of the cell"),
            ("Strategy", "How cells are trained"),
            ("Shape", "Rising where the largest size beats the smallest, by its interval"),
            ("Skill at 10×", "Of a power law at ten times the largest training set"),
            ("Scenario at 100×", "Of the same curve; no interval that one may rest on"),
        ),
        rows,
    )


def site_rows(left_out_sites: pd.DataFrame, grid: Grid) -> Shown:
    """List scores on sites that were not learned from.

    Parameters
    ----------
    left_out_sites : pandas.DataFrame
        See `ukb_brain.tables.reported.left_out_sites`.
    grid : Grid
        Gives names and order.

    Returns
    -------
    Shown
        Numbers of people are not shown.
    """
    table = in_order(left_out_sites, grid)
    single = table[table["site"] != "all"].groupby(["target", "inputs", "strategy"])["skill"]
    worst, best = single.min(), single.max()
    rows = []
    for _, row in table[table["site"] == "all"].iterrows():
        key = (row["target"], row["inputs"], row["strategy"])
        ends = [number(x.get(key, float("nan"))) for x in (worst, best)]
        rows.append(
            [
                Entry(grid.targets[row["target"]].name, row["inputs"]),
                Entry(row["strategy"]),
                estimate(row, "skill", f"From {row['inputs']}"),
                Entry(" to ".join(ends), number=True),
            ]
        )
    return Shown(
        "Skill on sites that the models have not seen.",
        (
            ("Target", "Characteristic"),
            ("Strategy", "How cells are trained"),
            ("All sites", "Skill over everybody, each predicted by models of the other sites"),
            ("Worst to best site", "Skill of single sites; too few people each for an interval"),
        ),
        rows,
    )


def _counted(table: pd.DataFrame, below: int) -> pd.DataFrame:
    # A table in which no target has a number does not count anybody.
    table = table.reindex(columns=[*table.columns.drop("n", errors="ignore"), "n"])
    known = table["n"].notna()
    shown = suppress_counts(table.assign(n=table["n"].fillna(0)), ["n"], below)
    return shown.assign(n=shown["n"].where(known, "–"))
