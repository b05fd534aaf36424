import pandas as pd
import pytest
from figure_cases import marks, spans, stays_on_the_page, words
from report_cases import contributions, few_targets

from ukb_brain.figures.contributions import draw_contributions
from ukb_brain.figures.stamp import NOTICE, SYNTHETIC

GRID = few_targets()
COLUMNS = ["baseline", "structural", "diffusion", "functional", "disease", "serology"]
COLUMNS += ["psychology", "fullest"]


def test_every_number_of_the_table_is_a_mark_at_its_place():
    table = contributions(GRID)
    figure = draw_contributions(table, GRID, "ukb")
    found = 0
    for at, axes in enumerate(figure.axes):
        domain, column = list(GRID.domains)[at // len(COLUMNS)], COLUMNS[at % len(COLUMNS)]
        keys = [*GRID.targets_of(domain), ""]
        rows = table[(table["domain"] == domain) & (table["measure"] != "interaction")]
        chosen = rows["part"].eq(column) | rows["measure"].eq(column)
        mine = rows[chosen].set_index("target")
        drawn, intervals = marks(axes, "o", "D"), spans(axes)
        assert set(drawn) == (set(range(len(keys))) if len(mine) else set())
        for y, line in drawn.items():
            row = mine.loc[keys[y]]
            assert line.get_xdata()[0] == row["estimate"]
            clear = row["low"] > 0 or row["high"] < 0
            assert (line.get_markerfacecolor() != "white") == clear
            assert intervals[y] == (row["low"], row["high"])
            found += 1
    assert found == (table["measure"] != "interaction").sum()


def test_parts_that_are_no_inputs_say_so_and_parts_share_a_scale():
    figure = draw_contributions(contributions(GRID), GRID, "ukb")
    texts = [[t.get_text() for t in axes.texts] for axes in figure.axes]
    none = [at for at, words in enumerate(texts) if "not an input" in words]
    # The base domain has no blocks; each other domain lacks its own.
    assert none == [4, 5, 6, 8 + 4, 16 + 5, 24 + 6]
    disease = [figure.axes[8 + at].get_xlim() for at in (1, 2, 3, 5, 6)]
    assert len(set(disease)) == 1


@pytest.mark.parametrize(("source", "stamped"), [("synthetic", True), ("ukb", False)])
def test_stamp_and_no_label_leaves_the_page(source, stamped):
    figure = draw_contributions(contributions(GRID), GRID, source)
    assert (NOTICE in words(figure) and SYNTHETIC in words(figure)) == stamped
    assert stays_on_the_page(figure)


def test_an_empty_table_says_so():
    empty = pd.DataFrame(columns=contributions(GRID).columns)
    texts = words(draw_contributions(empty, GRID, "ukb"))
    assert "no target has a score from every input" in texts
