"""The closing words of a run, as Markdown."""

import pandas as pd

from ukb_brain.figures.legibility import RULE, in_full
from ukb_brain.figures.stamp import titled
from ukb_brain.figures.suppression import count_range
from ukb_brain.grid import Grid
from ukb_brain.statistics.limits.verdicts import NOT_ADDED, NOT_APART
from ukb_brain.statistics.scores.skill import fullest_cells, with_skill
from ukb_brain.words import markdown_table, number

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


def _ranked(title: str, cells: pd.DataFrame, grid: Grid) -> list[str]:
    if cells.empty:
        return []
    heads = ["characteristic", "score, 95 % interval", "skill"]
    rows = [
        [grid.targets[cell["target"]].name, in_full(cell), number(cell["skill"])]
        for cell in cells.to_dict("records")
    ]
    return [f"## {title} ({len(cells)})", "", *markdown_table(heads, rows), ""]


def named_with(cells: pd.DataFrame, why: str, grid: Grid) -> str:
    """Name cells' targets, each with what a column says in brackets."""
    pairs = zip(cells["target"], cells[why], strict=True)
    return ", ".join(f"{grid.targets[target].name} ({said})" for target, said in pairs)


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
    having scored well by chance in one of its many cells. By ``verdicts``, ``target, verdict,
    through``, what is read through site, or age and sex, only, is not told apart from confounds,
    or may be read from the blocks alone, is listed apart. ``folder`` is where the reports are.
    """
    full = fullest_cells(with_skill(performance), grid)
    if verdicts is not None:
        told = verdicts[verdicts["verdict"].isin([NOT_APART, NOT_ADDED])].set_index("target")
        through = "through " + told["through"]
        full["apart"] = full["target"].map(through.where(told["through"] != "", told["verdict"]))
    else:
        full["apart"] = pd.NA
    read = full.dropna(subset="skill").sort_values("skill", ascending=False, kind="stable")
    only, read = read[read["apart"].notna()], read[read["apart"].isna()]
    without = full[full["skill"].isna()]
    done = int((performance["status"] == "ok").sum())
    lines = [
        *titled("The legibility map", source),
        f"This grid: {grid.in_words()}",
        "",
        f"{done} of {len(performance)} cells have a result ({performance['strategy'].iloc[0]} "
        f"strategy; {count_range(performance['n_test'], suppress_below)} test people a cell). "
        f"Characteristics are ranked by skill (R², or 2·AUC − 1) from {RULE}.",
        "",
        *_ranked("Best read", read.head(SHOWN), grid),
        *_ranked("Worst read", read.iloc[SHOWN:].tail(SHOWN), grid),
    ]
    if len(only):
        listed = named_with(only, "apart", grid)
        lines += [f"Read, but not shown to be read from images: {listed}.", ""]
    if len(without):
        lines += [f"Without a result: {named_with(without, 'status', grid)}.", ""]
    lines += ["## Where to look next", ""]
    lines += [f"- `{folder}/{name}`: {what}" for name, what in WHERE_NEXT.items()]
    return "\n".join([*lines, ""])
