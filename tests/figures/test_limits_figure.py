import numpy as np
import pytest
from figure_cases import marks, spans, words
from report_cases import confounds, few_targets, reliability

from ukb_brain.figures.limits import draw_ceilings, draw_confounds
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


def test_ceilings_are_on_the_scale_of_skill_and_shares_as_they_are():
    table = reliability(GRID)
    # The order of the grid decides, not that of the table.
    left, right = draw_ceilings(table[::-1], GRID, "ukb").axes[:2]
    ceilings, shares = marks(left, "D"), marks(right, "o")
    assert len(ceilings) == len(shares) == len(GRID.targets)
    for y, (key, target) in enumerate(GRID.targets.items()):
        row = table.set_index("target").loc[key]
        value = 2 * row["ceiling"] - 1 if target.kind == "binary" else row["ceiling"]
        assert ceilings[y].get_xdata()[0] == pytest.approx(value)
        assert shares[y].get_xdata()[0] == row["share"]
        assert left.get_yticklabels()[y].get_text() == target.name


def test_intervals_of_shares_are_drawn():
    table = reliability(GRID)
    right = draw_ceilings(table, GRID, "ukb").axes[1]
    assert np.allclose(sorted(spans(right).values()), table[["share_low", "share_high"]])


def test_a_target_without_a_ceiling_says_so_without_its_count():
    table = reliability(GRID)
    gone = ["ceiling", "ceiling_low", "ceiling_high", "share", "share_low", "share_high"]
    table.loc[0, gone] = np.nan
    table.loc[0, "status"] = "9 people were measured twice"
    figure = draw_ceilings(table, GRID, "synthetic")
    assert 0 not in marks(figure.axes[0], "D")
    assert [t.get_text() for t in figure.axes[0].texts] == ["no ceiling"]
    assert NOTICE in words(figure)


def test_an_empty_table_of_ceilings_says_so():
    texts = words(draw_ceilings(reliability(GRID)[:0], GRID, "ukb"))
    assert "no target was measured twice" in texts
    assert NOTICE not in texts
