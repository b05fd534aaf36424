import numpy as np
import pandas as pd
import pytest
from figure_cases import words
from report_cases import few_targets, learning_curves

from ukb_brain.figures.learning_curves import draw_learning_curves, power_law_at
from ukb_brain.figures.stamp import NOTICE
from ukb_brain.statistics.limits.power_law import PowerLaw

GRID = few_targets()


def panel(figure, key):
    name = GRID.targets[key].name
    return next(axes for axes in figure.axes if axes.get_title("left") == name)


@pytest.mark.parametrize("rate", [0.3, 1.0, np.nan])
def test_curve_is_the_fitted_power_law(rate):
    drop = 0.0 if np.isnan(rate) else 0.2
    law = PowerLaw(np.array([0.7]), np.array([drop]), np.array([rate]), 3200.0)
    numbers = {"asymptote": 0.7, "rate": rate, "at_10x": law.at(32000)[0], "n_largest": 3200.0}
    sizes = np.array([400.0, 3200.0, 20000.0, 320000.0])
    expected = [law.at(n)[0] for n in sizes]
    assert power_law_at(pd.Series(numbers), sizes) == pytest.approx(expected)


def test_points_intervals_and_extrapolation_are_those_of_the_tables():
    curves, fits = learning_curves()
    figure = draw_learning_curves(curves, fits, GRID, "synthetic")
    for key in GRID.targets:
        axes = panel(figure, key)
        mine = curves[curves["target"] == key]
        fit = fits.set_index("target").loc[key]
        points, tenfold, scenario = (line for line in axes.lines if line.get_marker() == "o")
        assert points.get_xdata().tolist() == mine["n_train"].tolist()
        assert points.get_ydata().tolist() == mine["skill"].tolist()
        assert tenfold.get_xdata()[0] == 32000
        assert tenfold.get_ydata()[0] == fit["at_10x"]
        assert scenario.get_xdata()[0] == 320000
        assert scenario.get_ydata()[0] == fit["at_100x_scenario"]
        assert scenario.get_markerfacecolor() == "white"
        assert axes.get_xscale() == "log"
        spans = [s[:, 1] for c in axes.collections if hasattr(c, "get_segments")
                 for s in c.get_segments()]  # fmt: skip
        assert np.allclose(spans[:4], mine[["skill_low", "skill_high"]])
        assert np.allclose(spans[4], fit[["at_10x_low", "at_10x_high"]].astype(float))
    assert NOTICE in words(figure)


def test_marks_lie_within_the_axes():
    figure = draw_learning_curves(*learning_curves(), GRID, "ukb")
    for key in GRID.targets:
        axes = panel(figure, key)
        low, high = axes.get_xlim()
        marks = [x for line in axes.lines if line.get_marker() == "o" for x in line.get_xdata()]
        assert low < min(marks) < max(marks) < high


def test_too_few_sizes_have_points_only_and_nothing_gives_no_figure():
    curves, fits = learning_curves()
    bare = fits.assign(at_10x=np.nan)
    figure = draw_learning_curves(curves, bare, GRID, "ukb")
    marked = [line for line in panel(figure, "age").lines if line.get_marker() == "o"]
    assert len(marked) == 1
    assert draw_learning_curves(curves[:0], fits[:0], GRID, "ukb") is None
    assert draw_learning_curves(curves.assign(skill=np.nan), fits, GRID, "ukb") is None
