import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting_cases import (
    dashboard,
    exclusion_flow,
    quality_summary,
    reported,
    study_grid,
    target_summary,
)

from ukb_brain.figures.suppression import count_range, suppress_counts
from ukb_brain.reports.dashboard import cell_table, flow_table, quality_table, target_table
from ukb_brain.reports.summary import write_summary
from ukb_brain.statistics.limits.verdicts import NOT_ADDED, NOT_APART
from ukb_brain.statistics.scores.skill import fullest_cells, with_skill

GRID = study_grid()


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12), st.integers(2, 20))
def test_no_small_count_is_shown_nor_can_be_worked_out(counts, below):
    shown = suppress_counts(pd.DataFrame({"n": counts}), ["n"], below)["n"].tolist()
    small = [0 < n < below for n in counts]
    for count, text, hidden in zip(counts, shown, small, strict=True):
        if hidden:
            assert text == f"<{below}"
        elif any(small) and count:
            rounded = int(text.removeprefix("≈ ").replace(",", ""))
            assert text.startswith("≈ ")
            assert rounded % below == 0
            assert abs(rounded - count) <= below / 2
        else:
            assert text == f"{count:,}"


def test_exclusion_flow_and_quality_hide_small_counts():
    flow = flow_table(exclusion_flow(), 10)
    assert flow["Left out"].tolist() == ["0", "<10", "≈ 120", "≈ 30"]
    assert flow["Remaining"].tolist() == ["≈ 1,360", "≈ 1,350", "≈ 1,230", "≈ 1,200"]
    quality = quality_table(quality_summary(), GRID, 10)
    assert quality["Modality"].tolist() == ["T1", "FLAIR", "DWI", "rsfMRI Connectivity"]
    assert quality["broken"].tolist() == ["<10"] * 4
    assert quality["ok"].tolist() == ["≈ 1,150"] * 4


def test_target_table_hides_rare_answers():
    summary = target_summary(GRID)
    summary.loc[summary["target"] == "guilty", "mean_or_prevalence"] = 5 / 1150
    summary.loc[summary["target"] == "sex", "mean_or_prevalence"] = 1 - 5 / 1150
    shown = target_table(summary, GRID, 10).set_index("Target")["Value"]
    assert (shown["Guilty"], shown["Sex (Male)"]) == ("too few", "too few")
    assert (shown["Worry"], shown["Age"]) == ("30 % yes", "64.2 ± 0.4 years")


def test_cell_table_hides_small_counts_and_keeps_every_cell():
    few = with_skill(reported()).assign(n_test=7)
    shown = cell_table(few, GRID, 10)
    assert len(shown) == 700
    assert set(shown["Test people"]) == {"<10"}
    assert count_range(few["n_test"], 10) == "<10"
    assert count_range(reported()["n_test"], 10) == "40"


@pytest.mark.parametrize(("source", "stamped"), [("synthetic", True), ("ukb", False)])
def test_dashboard_is_stamped_and_holds_nobody(source, stamped):
    html = dashboard(source)
    assert ("SYNTHETIC" in html) == stamped
    assert not re.search(r"90000\d\d\b", html)
    assert "eid" not in re.findall(r"<t[hd][^>]*>([^<]*)<", html)
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*[\"']?http", html)


def test_the_same_results_give_the_same_dashboard():
    assert dashboard() == dashboard()


def test_summary_ranks_by_the_fullest_inputs():
    text = write_summary(reported(), GRID, "synthetic", "somewhere/08_reporting")
    skill = fullest_cells(with_skill(reported()), GRID).dropna(subset="skill")
    ranked = skill.sort_values("skill", ascending=False)["target"]
    names = [GRID.targets[key].name for key in ranked]
    rows = re.findall(r"^\| ([^|]+?) \| (?:AUC|R²)", text, flags=re.M)
    assert rows == [*names[:5], *names[-5:]]
    assert "**SYNTHETIC" in text
    assert "668 of 700 cells" in text
    assert "Guilty (one class in test)" in text
    assert "`somewhere/08_reporting/dashboard.html`" in text
    assert "SYNTHETIC" not in write_summary(reported(), GRID, "ukb", "x")


def test_summary_lists_no_characteristic_twice():
    few = reported().copy()
    keep = list(GRID.targets)[:7]
    few.loc[~few["target"].isin(keep), ["roc_auc", "r2"]] = float("nan")
    text = write_summary(few, GRID, "ukb", "x")
    rows = re.findall(r"^\| ([^|]+?) \| (?:AUC|R²)", text, flags=re.M)
    assert len(rows) == len(set(rows)) == 7
    assert "Worst read (2)" in text


def test_summary_sets_apart_what_is_read_through_something_else():
    skill = fullest_cells(with_skill(reported()), GRID).dropna(subset="skill")
    best = skill.sort_values("skill", ascending=False)["target"].iloc[:3].tolist()
    verdicts = pd.DataFrame({"target": list(GRID.targets), "verdict": "legible", "through": ""})
    verdicts.loc[verdicts["target"].isin(best), "verdict"] = NOT_APART
    verdicts.loc[verdicts["target"] == best[0], "through"] = "site"
    verdicts.loc[verdicts["target"] == best[2], "verdict"] = NOT_ADDED
    text = write_summary(reported(), GRID, "ukb", "x", verdicts=verdicts)
    first, second, third = (GRID.targets[target].name for target in best)
    apart = f"{first} (through site), {second} (not told apart from confounds)"
    apart += f", {third} (images not shown to add)"
    assert f"Read, but not shown to be read from images: {apart}." in text
    assert f"| {first} |" not in text
    assert f"| {second} |" not in text
    assert f"| {third} |" not in text
    assert "`x/report.html`" in text
