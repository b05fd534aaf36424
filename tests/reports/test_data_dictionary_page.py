import re

import pandas as pd
import pytest
from reporting_cases import described, study_grid

from ukb_brain.reports.data_dictionary import build_data_dictionary, shown_dictionary

GRID = study_grid()


def row(key="mood_swings", **changed):
    return described(key, GRID) | {"title": "Mood <swings>"} | changed


def shown(*rows):
    return shown_dictionary(pd.DataFrame(rows), 10)


def test_large_counts_and_shares_are_shown():
    (line,) = shown(row()).to_dict("records")
    assert (line["n"], line["missing"], line["train"]) == ("300", "50", "50 %")
    assert line["lag_years"] == "8.2 [7.0, 9.0]"
    assert line["visits"] == "0: 200, 2: 100"


def test_amounts_have_a_mean_and_a_spread():
    (line,) = shown(row("age")).to_dict("records")
    assert line["test"] == "−61.5 ± 7.12"


def test_a_small_count_is_hidden_and_the_others_of_its_row_are_rounded():
    (line,) = shown(row(n=297, missing=3, from_2=97)).to_dict("records")
    assert line["missing"] == "<10"
    assert line["n"] == "≈ 300"
    assert line["visits"] == "0: ≈ 200, 2: ≈ 100"


@pytest.mark.parametrize("changed", [{"test_events": 4}, {"test_events": 27}, {"test_n": 9}])
def test_where_one_part_has_few_no_part_gives_it_away(changed):
    (line,) = shown(row(**changed)).to_dict("records")
    assert {line["train"], line["validation"], line["test"]} == {"too few"}


def test_nobody_and_everybody_may_be_said():
    (line,) = shown(row(test_events=0, test_mean=0.0)).to_dict("records")
    assert line["test"] == "0 %"


@pytest.fixture(scope="module")
def page():
    rows = [
        row(),
        row("age"),
        row("site", kind="categorical", role="confound"),
        row("medication_insulin", role="covariate", n=297, missing=3),
    ]
    return build_data_dictionary(shown(*rows), GRID, "synthetic")


def test_the_page_has_every_role_and_every_domain_that_is_there(page):
    ids = re.findall(r'<section class="card" id="(\w+)"', page)
    assert ids == ["constitutional", "psychology", "confound", "covariate"]
    assert "Mood Swings" in page
    assert "medication_insulin" in page


def test_the_page_is_stamped_escapes_text_and_loads_nothing(page):
    assert "SYNTHETIC" in page
    assert "SYNTHETIC" not in build_data_dictionary(shown(row()), GRID, "ukb")
    assert "Mood &lt;swings&gt;" in page
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", page)
    assert ">3<" not in page
