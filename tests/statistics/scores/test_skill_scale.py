import numpy as np
import pandas as pd
from reporting_cases import reported, study_grid

from ukb_brain.figures.interactive import hover_texts
from ukb_brain.reports.dashboard import cell_table
from ukb_brain.reports.summary import write_summary
from ukb_brain.statistics.scores.skill import (
    SAME_FOR_ALL,
    TOO_FEW,
    fullest_cells,
    why_no_interval,
    with_skill,
)

GRID = study_grid()


def without_interval(target, score):
    """The map, with the fullest cell of a target at a score without bounds."""
    table = reported().copy()
    at = fullest_cells(table, GRID).set_index("target")["inputs"][target]
    rows = (table["target"] == target) & (table["inputs"] == at)
    metric = "roc_auc" if GRID.targets[target].kind == "binary" else "r2"
    table.loc[rows, [metric, f"{metric}_low", f"{metric}_high"]] = [score, np.nan, np.nan]
    return table, rows


def test_a_score_without_an_interval_says_why():
    for target, score, why in (("sex", 0.5, SAME_FOR_ALL), ("sex", 0.7, TOO_FEW)):
        table, rows = without_interval(target, score)
        cell = with_skill(table)[rows].iloc[0]
        assert why_no_interval(cell) == why
    known = with_skill(reported()).query("target == 'age'").assign(score_low=0.1)
    assert all(why_no_interval(row) == "" for row in known.to_dict("records"))
    assert why_no_interval({"score": np.nan, "score_low": np.nan, "kind": "binary"}) == ""


def test_map_pages_and_summary_show_no_certainty_of_a_constant_prediction():
    table, rows = without_interval("sex", 0.5)
    shown = with_skill(table)
    text = hover_texts(shown, GRID, 10)[rows].iloc[0]
    assert f"AUC 0.50, no interval: {SAME_FOR_ALL}" in text
    status = cell_table(shown, GRID, 10)["Status"][rows].iloc[0]
    assert status == f"no interval: {SAME_FOR_ALL}"
    assert f"AUC 0.50, no interval: {SAME_FOR_ALL}" in write_summary(table, GRID, "ukb", "x")
    assert pd.isna(shown.loc[rows, "skill_low"]).all()
