import base64
import re
from xml.etree import ElementTree

import pandas as pd
import pytest
from figure_cases import stays_on_the_page
from hypothesis import given
from hypothesis import strategies as st
from report_cases import evidence_tables, few_targets, report

from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.stamp import NOTICE
from ukb_brain.figures.suppression import suppress_counts, without_small_counts
from ukb_brain.reports.page import build_report
from ukb_brain.reports.sections.certainty import how_sure
from ukb_brain.reports.sections.inputs import what_adds
from ukb_brain.reports.sections.learning import scale_rows
from ukb_brain.reports.sections.limits import ceiling_rows, confound_rows, scan_rows
from ukb_brain.reports.sections.models import mixed_models_table
from ukb_brain.reports.sections.subgroups import participation_rows, subgroup_rows
from ukb_brain.reports.show import estimate

GRID = few_targets()
TABLES = evidence_tables()


@pytest.fixture(scope="module")
def page():
    return report()


@pytest.fixture(scope="module")
def tree(page):
    return ElementTree.fromstring(page)


def texts(shown):
    return [[entry.text for entry in row] for row in shown.rows]


def said(element):
    return "".join(element.itertext())


def test_every_section_has_its_numbers_and_says_how_they_were_obtained(tree):
    sections = tree.findall(".//section")
    assert len(sections) == 9
    for section in sections:
        assert len(section.findall("h2")) == 1
        assert section.findall(".//table")
        assert len(said(section.find("p[@class='how']"))) > 60
        assert section.find("p[@class='quiet missing']") is None
    links = [a.get("href") for a in tree.findall(".//nav//a")]
    assert links == [f"#{section.get('id')}" for section in sections]


def test_tables_and_figures_are_accessible_and_hover(tree):
    for table in tree.findall(".//table"):
        assert said(table.find("caption"))
        heads = table.findall("thead//th")
        assert all(th.get("title") and th.get("scope") == "col" for th in heads)
        assert all(th.get("scope") == "row" for th in table.findall("tbody//th"))
        assert all(len(row) == len(heads) for row in table.findall("tbody/tr"))
        assert all(cell.get("title") for cell in table.findall("tbody//td") if said(cell))
    images = tree.findall(".//img")
    assert len(images) == 6
    assert all(len(image.get("alt")) > 30 and image.get("title") for image in images)


def cells(tree, section, row):
    found = tree.find(f".//section[@id='{section}']").findall(f".//tr[th='{row}']")
    return found[0].findall("td")


def test_numbers_of_a_table_are_on_the_page(tree):
    # The imaging cell of age: the second target of the grid, R² 0.71 ± 0.02.
    score = cells(tree, "limits", "Age")[2]
    assert said(score) == "0.71 [0.69, 0.73]"
    assert score.get("title").startswith("0.7100; 95 % interval 0.6900 to 0.7300")
    assert said(cells(tree, "conclusions", "Sex is legible.")[0]) == "holds here"
    assert said(cells(tree, "conclusions", "Sex (Male)")[0]) == "limited by the number of people"


def test_no_count_of_nine_people_is_on_the_page(tree):
    assert NINE.search(" 9 people")
    shown = said(tree.find("body")) + " ".join(e.get("title", "") for e in tree.iter())
    assert not NINE.search(shown)
    assert "<10 validation people" in shown
    people = tree.find(".//section[@id='subgroups']//tbody").findall("tr/td[2]")
    assert [said(td) for td in people] == ["<10", "≈ 740"]


NINE = re.compile(r"(?<![\d.,−-])9(?![\d.,])")


@given(st.text("aé .,−-%", max_size=9), st.integers(0, 30), st.text("a ", max_size=5))
def test_small_counts_leave_sentences(before, count, after):
    hidden = without_small_counts(f"{before} {count} people{after}", 10)
    shown = "<10" if 0 < count < 10 else str(count)
    assert hidden == f"{before} {shown} people{after}"


def test_sentences_keep_decimals_and_large_numbers():
    assert (
        without_small_counts("0.5 of 384 people, 5 of them", 10) == "0.5 of 384 people, <10 of them"
    )


@pytest.mark.parametrize("rows", [confound_rows, ceiling_rows])
def test_counts_of_people_measured_are_suppressed(rows):
    name = "confounds" if rows is confound_rows else "reliability"
    table = TABLES[name].assign(n=[9, *TABLES[name]["n"][1:]])
    more = () if rows is confound_rows else (TABLES["repeatability"],)
    shown = texts(rows(table, GRID, 10, *more))
    assert [row[2] for row in shown] == suppress_counts(table, ["n"], 10)["n"].tolist()
    assert shown[0][2] == "<10"


def test_scans_of_people_scanned_twice_are_compared_without_small_counts():
    shown = texts(scan_rows(TABLES["scan_agreement"], 10))
    assert shown[0] == ["functional", "as they are", "<10", "0.61 [0.56, 0.66]", ""]
    assert shown[1][1] == "made alike" and shown[1][2] != "<10"


def test_a_subgroup_without_a_count_hides_the_others_of_its_division():
    table = TABLES["subgroups"].assign(n=pd.array([pd.NA, 741], dtype="Int64"))
    table["differs"] = [False, True]
    assert [row[2] for row in texts(subgroup_rows(table, GRID, 10))] == ["≈ 740"]


def test_how_predictions_repeat_stands_beside_the_ceiling():
    measured = TABLES["reliability"]
    both = ceiling_rows(measured, GRID, 10, TABLES["repeatability"])
    shown = {row[0]: row[5] for row in texts(both)}
    name = GRID.targets["sex"].name
    assert shown.pop(name) == "0.83 [0.78, 0.88]"
    assert set(shown.values()) == {"–"}
    alone = texts(ceiling_rows(measured, GRID, 10))
    assert {row[5] for row in alone} == {"–"}


def test_models_of_other_sizes_and_people_by_weight():
    models, better = map(texts, scale_rows(TABLES["model_scale"], GRID))
    assert models == [
        ["as it is", "amortised", "123,456", "1", "0", "0"],
        ["twice as wide", "amortised", "–", "1", "1", "0"],
    ]
    assert [row[1:] for row in better] == [
        ["twice as wide, amortised", "0.60 [0.55, 0.65]", "0.020 [0.010, 0.030]"]
    ]
    (row,) = texts(participation_rows(TABLES["participation"], GRID))
    assert row[1:4] == ["AUC", "0.91 [0.89, 0.93]", "0.89 [0.87, 0.91]"]


def test_counts_of_cells_and_pairs():
    sure = texts(how_sure(TABLES["permutations"], GRID, TABLES["intervals"]))
    tested = TABLES["permutations"]
    for row, domain in zip(sure, GRID.domains, strict=True):
        mine = tested[tested["target"].isin(GRID.targets_of(domain))]
        for at, column in ((3, "p_max"), (4, "p_bh")):
            assert row[at].split(" ")[0] == str((mine[column] <= 0.05).sum())
        assert row[1] == str(len(mine))


def test_gains_are_listed_with_interval_and_verdict_or_why_there_is_none():
    shown, blocks = what_adds(TABLES["comparisons"], GRID)
    assert [head[0] for head in shown.heads] == ["Target", "Diffusion", "All images"]
    rows = {row[0]: row[1:] for row in texts(shown)}
    assert rows["Smoking"] == ["adds: 0.10 [0.05, 0.15]", "unknown: 0.00, no interval"]
    assert rows["Age"] == ["no gain: 0.00 [−0.01, 0.01]", ""]
    assert texts(blocks) == [["Smoking", "unknown: 0.00 [−0.03, 0.03]"]]
    tied = next(row for row in shown.rows if row[0].text == "Smoking")[2]
    assert "both cells score the same" in tied.hover
    assert all("before the ladder" in how for _, how in shown.heads[1:])


def test_mixed_models_show_both_intervals_and_name_the_pseudo_replication(tree):
    shown = mixed_models_table(TABLES["mixed_models_resampled"], GRID, TABLES["mixed_models"])
    first = texts(shown)[0]
    assert first[1:] == ["2.10 [0.10, 4.10]", "2.00 [1.00, 3.00]", "0.041"]
    assert "pseudo-replication" in shown.heads[3][1]
    assert "pseudo-replication" in said(tree.find(".//section[@id='models']/p"))


def test_coefficients_draw_the_resampled_intervals_beside_the_models_own():
    figure = draw_coefficients(
        TABLES["mixed_models"], GRID, "ukb", TABLES["mixed_models_resampled"]
    )
    for axes, own in zip(figure.axes, TABLES["mixed_models"].itertuples(), strict=False):
        found = {
            line.get_marker(): line.get_xdata()[0]
            for line in axes.lines
            if line.get_marker() in ("o", "D")
        }
        assert found["o"] == pytest.approx(100 * own.estimate)
        assert found["D"] == pytest.approx(100 * (own.estimate + 0.001))
    assert any("Rest on the diamonds" in t.get_text() for t in figure.texts)
    assert stays_on_the_page(figure)
    alone = draw_coefficients(TABLES["mixed_models"], GRID, "ukb")
    assert not any("diamonds" in t.get_text() for t in alone.texts)
    assert {line.get_marker() for line in alone.axes[0].lines} == {"None", "o"}


def test_what_is_missing_is_said_with_its_command():
    page = ElementTree.fromstring(build_report(GRID, "ukb"))
    missing = {
        section.get("id"): said(section.find("p[@class='quiet missing']"))
        for section in page.findall(".//section")
    }
    assert len(missing) == 9
    assert "kedro run --pipelines evidence" in missing["learning"]
    assert "kedro run --pipelines reporting" in missing["limits"]
    assert page.find(".//table") is page.find(".//img") is None


def test_empty_tables_are_as_good_as_none():
    empty = {name: table[:0] for name, table in TABLES.items()}
    assert build_report(GRID, "ukb", **empty) == build_report(GRID, "ukb")


def test_a_table_of_no_section_is_refused():
    with pytest.raises(ValueError, match="confound'"):
        build_report(GRID, "ukb", confound=TABLES["confounds"])


def svg(page):
    return base64.b64decode(re.search(r"svg\+xml;base64,([^\"]+)", page)[1]).decode()


def test_stamp_nobody_and_nothing_from_elsewhere(page):
    assert page.count("SYNTHETIC") >= 2
    few = [report(source, "reliability") for source in ("synthetic", "ukb")]
    assert ["SYNTHETIC" in one for one in few] == [True, False]
    assert [NOTICE in svg(one) for one in few] == [True, False]
    assert "eid" not in re.findall(r"<t[hd][^>]*>([^<]*)<", page)
    assert not re.search(r"(?:src|href)=(?!\"(?:data:|#))", page)
    assert "<script" not in page


def test_the_same_tables_give_the_same_page():
    assert report("ukb", "reliability", "claims") == report("ukb", "reliability", "claims")


def test_estimates_without_an_interval_or_value():
    row = pd.Series({"x": -0.004, "x_low": float("nan"), "x_high": 1.0})
    assert estimate(row, "x").text == "0.00, no interval"
    assert estimate(row, "x", digits=3).text == "−0.004, no interval"
    assert "the same in every draw" in estimate(row, "x").hover
    assert estimate(row, "y").text == "–"


def test_confounds_of_a_map_without_imaging_cells_are_told_without_counts():
    row = {"target": next(iter(GRID.targets)), "inputs": "", "metric": "r2"}
    table = pd.DataFrame([row | {"status": "its imaging cell has no scores"}])
    (shown,) = texts(confound_rows(table, GRID, 10))
    assert shown[2:] == [*["–"] * 5, "its imaging cell has no scores"]
