"""The closing words of a run, as Markdown."""

from __future__ import annotations

import pandas as pd

from ukb_brain.figures.legibility import RULE, in_words
from ukb_brain.figures.stamp import NOTICE, is_synthetic
from ukb_brain.figures.suppression import count_range
from ukb_brain.grid import Grid
from ukb_brain.statistics.limits.verdicts import NOT_ADDED, NOT_APART
from ukb_brain.statistics.scores.skill import fullest_cells, why_no_interval, with_skill

SHOWN = 5
WHERE_NEXT = {
    "dashboard.html": "the map, every cell and the cohort; open it in a browser",
    "report.html": "how sure it is, what each input adds, and a verdict with its reasons",
    "data_dictionary.html": "what each variable is, where it is from, how it is distributed",
    "heat_maps.png": "the map on one page",
    "legibility.png": "each characteristic with its interval",
    "coefficients.png": "which inputs help, by domain",
    "performance.parquet": "one row a cell, all metrics with intervals",
    "metrics_comparison_test.csv": "the same in the study's published columns",
}


def _table(cells: pd.DataFrame, grid: Grid) -> list[str]:
    lines = ["| characteristic | score, 95 % interval | skill |", "| --- | --- | --- |"]
    for cell in cells.to_dict("records"):
        words = in_words(cell["score"], cell["score_low"], cell["score_high"], cell["metric"])
        if why := why_no_interval(cell):
            words += f": {why}"
        name = grid.targets[cell["target"]].name
        lines.append(f"| {name} | {words} | {cell['skill']:z.2f} |".replace("| -", "| −"))
    return lines


def _apart(verdicts: pd.DataFrame) -> dict[str, str]:
    """Say of targets why their score is no reading of images."""
    told = verdicts[verdicts["verdict"].isin([NOT_APART, NOT_ADDED])]
    return {
        target: f"through {through}" if through else verdict
        for target, verdict, through in told[["target", "verdict", "through"]].to_numpy()
    }


def write_summary(
    performance: pd.DataFrame,
    grid: Grid,
    source: str,
    folder: str,
    suppress_below: int = 10,
    verdicts: pd.DataFrame | None = None,
) -> str:
    """Name the best and worst read characteristics, and where to look next.

    Characteristics are ranked by the skill of their fullest inputs, so that none is listed for
    having scored well by chance in one of its many cells.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    grid : Grid
        Gives names.
    source : str
        ``synthetic`` is stamped.
    folder : str
        Where the reports are.
    suppress_below : int
        The smallest count of people that may be shown.
    verdicts : pandas.DataFrame, optional
        ``target, verdict, through``: what is read through site, or age and sex, only, is not told
        apart from confounds, or may be read from the blocks alone, is listed apart.

    Returns
    -------
    str
        Markdown.
    """
    full = fullest_cells(with_skill(performance), grid)
    read = full.dropna(subset="skill").sort_values("skill", ascending=False, kind="stable")
    why = {} if verdicts is None else _apart(verdicts)
    apart = read["target"].isin(why)
    only, read = read[apart], read[~apart]
    best, rest = read.head(SHOWN), read.iloc[SHOWN:]
    done = int((performance["status"] == "ok").sum())
    lines = ["# The legibility map", ""]
    if is_synthetic(source):
        lines += [f"**{NOTICE}.**", ""]
    lines += [f"This grid: {grid.in_words()}", ""]
    lines += [
        f"{done} of {len(performance)} cells have a result ({performance['strategy'].iloc[0]} "
        f"strategy; {count_range(performance['n_test'], suppress_below)} test people a cell). "
        f"Characteristics are ranked by skill (R², or 2·AUC − 1) from {RULE}.",
        "",
    ]
    if len(best):
        lines += [f"## Best read ({len(best)})", "", *_table(best, grid), ""]
    if len(rest):
        lines += [
            f"## Worst read ({len(rest.tail(SHOWN))})",
            "",
            *_table(rest.tail(SHOWN), grid),
            "",
        ]
    if len(only):
        named = [
            f"{grid.targets[cell['target']].name} ({why[cell['target']]})"
            for cell in only.to_dict("records")
        ]
        lines += [f"Read, but not shown to be read from images: {', '.join(named)}.", ""]
    without = full.loc[full["skill"].isna()]
    if len(without):
        named = [
            f"{grid.targets[cell['target']].name} ({cell['status']})"
            for cell in without.to_dict("records")
        ]
        lines += [f"Without a result: {', '.join(named)}.", ""]
    lines += ["## Where to look next", ""]
    lines += [f"- `{folder}/{name}`: {what}" for name, what in WHERE_NEXT.items()]
    return "\n".join([*lines, ""])
