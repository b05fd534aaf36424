import re

import figure_cases
import pandas as pd
import pytest
from figure_cases import stays_on_the_page
from hypothesis import given
from hypothesis import strategies as st
from reporting_cases import study_grid

from ukb_brain.figures.exclusion_flow import draw_exclusion_flow, shown_counts
from ukb_brain.figures.stamp import NOTICE

GRID = study_grid()
LEFT = {
    "withdrawn (withdrawal list or negative eid)": 182,
    "left out by list: artefact": 40,
    "scanned, but no imaging visit has a date (field 53)": 0,
    "no imaging visit": 452_000,
}


def flow_of(total, left):
    flow = pd.DataFrame({"reason": ["in the table", *left], "excluded": [0, *left.values()]})
    flow.insert(0, "step", range(len(flow)))
    return flow.assign(remaining=total - flow["excluded"].cumsum())


def scans_of(people, undated, in_cohort):
    names = ["t1", "flair", "dwi", "rsfmri"]
    return pd.DataFrame(
        {"modality": names, "people": people, "undated": undated, "in_cohort": in_cohort}
    )


FLOW = flow_of(502_505, LEFT)
SCANS = scans_of(
    [34_041, 39_276, 38_909, 31_748], [12, 0, 20, 31], [33_000, 38_000, 37_000, 31_000]
)


def words(figure):
    return [" ".join(text.split()) for text in figure_cases.words(figure) if text]


def test_every_step_and_every_modality_is_there():
    said = words(draw_exclusion_flow(FLOW, SCANS, GRID, 10, "ukb"))
    assert "502,505 in the table" in said
    for reason, n in LEFT.items():
        assert f"{n:,} {reason}" in said
    assert "502,323 stay" in said and "50,283 in the cohort" in said
    for name, count in {"T1": "34,041", "FLAIR": "39,276", "DWI": "38,909"}.items():
        assert name in said and count in said
    assert not any("rounded" in text for text in said)


@pytest.mark.parametrize(
    ("flow", "scans"),
    [
        (flow_of(502_505, LEFT | {"no imaging visit": 3}), SCANS),
        (FLOW, SCANS.assign(undated=[4, 0, 20, 31])),
        # Nobody sees the small number itself, but for the difference of two others.
        (FLOW, SCANS.assign(in_cohort=[34_036, 38_000, 37_000, 31_000])),
    ],
)
def test_one_small_count_rounds_all_of_both_tables(flow, scans):
    said = words(draw_exclusion_flow(flow, scans, GRID, 10, "ukb"))
    assert any("Counts under 10 are not shown, and the others are rounded." in t for t in said)
    assert "≈ 502,500 in the table" in said
    shown = shown_counts(flow, scans, 10)
    for table, columns in zip(
        shown, (["excluded", "remaining"], ["people", "undated", "in_cohort"]), strict=True
    ):
        for text in table[list(columns)].to_numpy().ravel():
            assert text in ("0", "<10") or re.fullmatch(r"≈ [\d,]*0", text)


counts = st.integers(0, 60)


@given(
    st.lists(counts, min_size=4, max_size=4),
    st.lists(st.tuples(*[counts] * 3), min_size=4, max_size=4),
)
def test_no_small_count_is_shown_or_is_the_difference_of_two_that_are(left, scans):
    flow = flow_of(sum(left) + 500, dict(zip(LEFT, left, strict=True)))
    rows = [(sum(each), each[0], each[1]) for each in scans]
    people, undated, in_cohort = zip(*rows, strict=True)
    shown = shown_counts(flow, scans_of(people, undated, in_cohort), 10)
    exact = [
        int(text.replace(",", ""))
        for table in shown
        for text in table.drop(columns=["step", "reason", "modality"], errors="ignore")
        .to_numpy()
        .ravel()
        if re.fullmatch(r"[\d,]+", text)
    ]
    small = [n for n in [*left, *(p - c for p, _, c in rows), *undated] if 0 < n < 10]
    assert not [n for n in exact if 0 < n < 10]
    if small:
        assert set(exact) <= {0}


def test_it_is_stamped_and_stays_on_the_page():
    synthetic, real = (draw_exclusion_flow(FLOW, SCANS, GRID, 10, s) for s in ("synthetic", "ukb"))
    assert NOTICE in words(synthetic) and "SYNTHETIC" in words(synthetic)
    assert not [w for w in words(real) if "SYNTHETIC" in w]
    for figure in (synthetic, real):
        assert stays_on_the_page(figure)
        boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
        crossing = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
        assert not crossing
