"""How sure the map is: intervals, and cells that are told from chance."""

import numpy as np
import pandas as pd

from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.grid import Grid
from ukb_brain.reports import show
from ukb_brain.statistics.kinds import LABELS
from ukb_brain.statistics.scores.skill import headline_intervals
from ukb_brain.words import number

ALPHA = 0.05


def _share(mask: pd.Series) -> str:
    return f"{int(mask.sum()):,} ({100 * mask.sum() / max(1, len(mask)):.0f} %)"


def how_sure(
    permutations: pd.DataFrame, grid: Grid, intervals: pd.DataFrame | None = None
) -> show.Table:
    """Count by domain the cells that are told from chance, and say how wide intervals are."""
    domain = {key: target.domain for key, target in grid.targets.items()}
    if intervals is None:
        intervals = pd.DataFrame(columns=["target", "metric", "low", "high"], dtype=float)
    headline = headline_intervals(intervals)
    rows = []
    for name in grid.domains:
        mine = permutations[permutations["target"].map(domain) == name]
        ours = headline[headline["target"].map(domain) == name]
        width = (ours["high"] - ours["low"]).groupby(ours["metric"]).median()
        rough = _share(~ours["validated"].astype(bool)) if "validated" in ours else "–"
        row = {"domain": name.capitalize(), "cells": f"{len(mine):,}", "rough": rough}
        row |= {metric: number(width.get(metric, np.nan), 3) for metric in LABELS}
        row |= {p: _share(mine[p] <= ALPHA) for p in ("p_max", "p_bh")}
        if len(mine):
            rows.append(row | {"skill": mine["skill"].median()})
    return show.Table(
        "Cells that are told from chance, by domain.",
        rows,
        show.text("Domain: Of the target", "{domain}"),
        show.numeral("Cells: Target and inputs; cells with a permutation test", "{cells}"),
        show.plain("Median skill: R², or 2·AUC − 1, over the domain's cells", "skill"),
        show.numeral(
            "Told from chance, strictly: p ≤ .05 after correction for all cells at once "
            "(largest standardised score in each permutation of labels): the chance of a single"
            " false one among all is 5 %",
            "{p_max}",
        ),
        show.numeral(
            "Told from chance, false discoveries at 5 %: p ≤ .05 after Benjamini and Hochberg: "
            "some 5 % of those are expected to be false",
            "{p_bh}",
        ),
        show.numeral(
            "Width of AUC intervals: Median width of the 95 % intervals of binary targets",
            "{roc_auc}",
        ),
        show.numeral(
            "Width of R² intervals: Median width of the 95 % intervals of continuous targets",
            "{r2}",
        ),
        show.numeral(
            "Rough intervals °: Cells with fewer people in a class than intervals were "
            "validated for, or an area near 1 that few people carry: see docs/coverage.md",
            "{rough}",
        ),
    )


SECTION = show.Section(
    "How sure is the map?",
    "Each score is of people never used in training. Some of it is luck of the draw: intervals say "
    "how much, and permutations say which cells tell more than site, sex and age do. A cell that "
    "is told from chance may still be of little use: look at its size.",
    "Intervals: over test people, by the method that held its coverage in simulation for that "
    "metric; the map marks with a degree sign those of samples in which none held it. p: labels of "
    "test people permuted within strata of site, sex and age (the target itself left out), so that "
    "it tests association beyond these. “Strictly” compares a cell with the largest standardised "
    "score of all cells in each permutation.",
    {
        draw_legibility: "Forest plot: each target's skill from its fullest inputs, with 95 % "
        "intervals.",
        how_sure: "",
    },
)
