"""The page of the check gives no small count away, in no section and not by two of them."""

import re

import pandas as pd

from ukb_brain.readiness.findings import Readiness
from ukb_brain.readiness.page import build_check


def page(*counts, below=10):
    ready = Readiness()
    for section, n in counts:
        ready.found(section, f"{section} {n}", "people", n)
    return build_check(ready.table(), "ukb", below)


def numbers(html):
    return [int(n.replace(",", "")) for n in re.findall(r'count">(?:≈ )?([\d,]+)<', html)]


def test_a_small_count_rounds_those_of_other_sections():
    html = page(("tables", 40_000), ("withdrawals", 5), ("cohort", 39_995))
    assert "&lt;10" in html
    assert numbers(html) == [40_000, 40_000]


def test_two_counts_that_are_close_are_rounded():
    assert numbers(page(("tables", 40_003), ("cohort", 39_998))) == [40_000, 40_000]


def test_counts_far_apart_are_exact():
    assert numbers(page(("tables", 40_003), ("cohort", 38_998))) == [40_003, 38_998]


def test_problems_come_first_with_their_remedies():
    table = pd.DataFrame(
        [("problems", "", "no <list>", None, "stop", "put one there")],
        columns=["section", "item", "finding", "n", "severity", "remedy"],
    ).astype({"n": "Int64"})
    html = build_check(table, "synthetic")
    assert "No: 1 problem must be mended first." in html
    assert "no &lt;list&gt;" in html
    assert "SYNTHETIC" in html
    assert "http" not in re.sub(r"http-equiv", "", html)
