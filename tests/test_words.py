import pandas as pd
import pytest

from ukb_brain.words import bounded, markdown_table, number, p_value, with_interval

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.714, 2, "0.71"),
        (-0.25, 2, "−0.25"),
        (-0.004, 2, "0.00"),
        (-0.004, 3, "−0.004"),
        (NAN, 2, "–"),
    ],
)
def test_numbers_have_a_true_minus_and_none_before_zero(value, digits, text):
    assert number(value, digits) == text


def test_an_estimate_has_its_interval_or_says_that_there_is_none():
    assert with_interval(0.714, -0.1, 0.81) == "0.71 [−0.10, 0.81]"
    assert with_interval(0.714, NAN, 0.81) == "0.71, no interval"
    assert with_interval(NAN, 0.1, 0.2) == "–"


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< .001"), (0.041, "0.041"), (NAN, "–")])
def test_p_values(p, text):
    assert p_value(p) == text


def test_bounds_of_an_estimate_are_its_own_before_plain_ones():
    row = {"x": 1, "x_low": 0, "x_high": None, "low": 5, "high": 6, "y": pd.NA}
    assert bounded(row, "x")[:2] == (1, 0)
    assert pd.isna(bounded(row, "x")[2])
    assert pd.isna(bounded(row, "y")[0])
    assert bounded({"z": 1, "low": 5, "high": 6}, "z") == (1, 5, 6)


def test_markdown_table_has_a_line_a_row():
    assert markdown_table(("a", "b"), [("1", "")]) == ["| a | b |", "| --- | --- |", "| 1 | |"]
