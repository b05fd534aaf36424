import numpy as np
import pytest
from figure_cases import marks, spans, words
from report_cases import confounds, few_targets

from ukb_brain.figures.confounds import draw_confounds
from ukb_brain.figures.stamp import NOTICE

GRID = few_targets()
SHAPES = {"score": "o", "within_site": "s", "confounds": "X"}


@pytest.mark.parametrize("name", SHAPES)
def test_scores_are_on_the_scale_of_skill(name):
    table = confounds(GRID)
    drawn = marks(draw_confounds(table[::-1], GRID, "ukb").axes[0], SHAPES[name])
    assert len(drawn) == len(table)
    for y, row in table.iterrows():
        value = 2 * row[name] - 1 if row["metric"] == "roc_auc" else row[name]
        assert drawn[y].get_xdata()[0] == pytest.approx(value)


def test_a_gain_in_area_counts_twice_and_is_hollow_where_it_may_be_none():
    table = confounds(GRID)
    axes = draw_confounds(table, GRID, "ukb").axes[1]
    drawn = marks(axes, "o")
    for y, row in table.iterrows():
        factor = 2 if row["metric"] == "roc_auc" else 1
        assert drawn[y].get_xdata()[0] == pytest.approx(factor * row["gain"])
        assert (drawn[y].get_markerfacecolor() == "white") == (row["gain_low"] <= 0)
    factors = np.where(table["metric"] == "roc_auc", 2, 1)[:, None]
    expected = factors * table[["gain_low", "gain_high"]].to_numpy()
    assert np.allclose(sorted(spans(axes).values()), sorted(map(tuple, expected)))


def test_missing_scores_small_counts_and_stamps():
    table = confounds(GRID)
    scores = [c for c in table if c.startswith(("score", "within", "confounds", "gain"))]
    table.loc[1, scores] = np.nan
    table.loc[1, "status"] = "9 validation people cannot say how to join confounds and cell"
    figure = draw_confounds(table, GRID, "synthetic")
    assert [t.get_text() for t in figure.axes[0].texts] == ["no scores"]
    assert NOTICE in words(figure)
    texts = words(draw_confounds(table[:0], GRID, "ukb"))
    assert "no imaging cell has scores" in texts
    assert NOTICE not in texts
