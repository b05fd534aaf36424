import numpy as np
import pandas as pd
import pytest
from figure_cases import words
from hypothesis import given
from hypothesis import strategies as st
from report_cases import calibration_curves, few_targets

from ukb_brain.figures.calibration import draw_calibration, showable
from ukb_brain.figures.stamp import NOTICE

GRID = few_targets()


def points(axes):
    return next(line for line in axes.lines if line.get_marker() == "o")


def panel(figure, name):
    return next(axes for axes in figure.axes if axes.get_title("left").startswith(name))


def test_points_and_bars_are_those_of_the_table():
    curves = calibration_curves(GRID)
    figure = draw_calibration(curves, GRID, "ukb", 10)
    for key, target in GRID.targets.items():
        axes, mine = panel(figure, target.name), curves[curves["target"] == key]
        line = points(axes)
        assert line.get_xdata().tolist() == mine["predicted"].tolist()
        assert line.get_ydata().tolist() == mine["observed"].tolist()
        bars = [segment for one in axes.collections for segment in one.get_segments()]
        assert np.allclose([b[:, 1] for b in bars], mine[["low", "high"]])
        assert np.allclose([b[0, 0] for b in bars], mine["predicted"])
    assert NOTICE not in words(figure)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1), st.integers(2, 20))
def test_shown_bins_have_no_small_count(bins, below):
    table = pd.DataFrame(
        {"n": [yes + no for yes, no in bins], "events": [yes for yes, _ in bins]}
    ).astype({"events": "Int64"})
    kept = showable(table, below)
    assert (kept["events"] >= below).all()
    assert (kept["n"] - kept["events"] >= below).all()
    assert len(kept) == sum(yes >= below and no >= below for yes, no in bins)


def test_continuous_bins_are_judged_by_their_people_alone():
    table = pd.DataFrame({"n": [9, 10, 400], "events": [pd.NA] * 3}).astype({"events": "Int64"})
    assert showable(table, 10)["n"].tolist() == [10, 400]


@pytest.mark.parametrize(("n", "events"), [(400, 9), (400, 391), (9, 5), (400, 0)])
def test_bins_with_nine_people_are_not_drawn(n, events):
    curves = calibration_curves(GRID)
    first = (curves["target"] == "smoking") & (curves["bin"] == 0)
    curves.loc[first, ["n", "events"]] = n, events
    axes = panel(draw_calibration(curves, GRID, "synthetic", 10), "Smoking")
    assert len(points(axes).get_xdata()) == 4
    assert [t.get_text() for t in axes.texts] == ["1 of 5 bins too small to show"]


def test_all_bins_small_and_no_curves_at_all():
    curves = calibration_curves(GRID).assign(n=9)
    figure = draw_calibration(curves, GRID, "synthetic", 10)
    assert not [line for axes in figure.axes for line in axes.lines]
    texts = words(draw_calibration(curves[:0], GRID, "synthetic", 10))
    assert "no target has a calibration curve" in texts
    assert NOTICE in texts
