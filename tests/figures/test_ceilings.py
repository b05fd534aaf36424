import numpy as np
import pytest
from figure_cases import marks, spans, words
from report_cases import few_targets, reliability

from ukb_brain.figures.ceilings import draw_ceilings
from ukb_brain.figures.stamp import NOTICE

GRID = few_targets()


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


def test_intervals_are_drawn():
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


def test_an_empty_table_says_so():
    texts = words(draw_ceilings(reliability(GRID)[:0], GRID, "ukb"))
    assert "no target was measured twice" in texts
    assert NOTICE not in texts
