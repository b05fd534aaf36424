import numpy as np
import pandas as pd
import pytest
from reporting_cases import study_grid

from ukb_brain.errors import InputError
from ukb_brain.statistics.scores.published import COLUMNS, FLAGS, read_published

GRID = study_grid()


def published():
    """Make a table in the published layout, without a score of its own."""
    rows = []
    for cell in GRID.cells:
        target, flags = GRID.targets[cell.target], GRID.flags(cell.inputs)
        binary = target.kind == "binary"
        row = dict.fromkeys(COLUMNS, 0.0) | {"Target": target.name, "Inputs": cell.inputs.name}
        row |= {"Mode": "classification" if binary else "regression", "Balanced accuracy": 0.6}
        row |= {"AUC": 0.7 if binary else 0.0, "r2": 0.0 if binary else -0.2}
        row |= {name: "Yes" if flags[key] else "No" for name, key in FLAGS.items()}
        rows.append(row | {"Domain": target.domain.title()})
    return pd.DataFrame(rows)


def test_a_score_is_read_only_where_it_applies():
    read = read_published(published(), GRID)
    binary = read["kind"] == "binary"
    assert (read.loc[binary, "roc_auc"] == 0.7).all()
    assert read.loc[~binary, "roc_auc"].isna().all()
    assert read.loc[binary, "r2"].isna().all()
    assert (read.loc[~binary, "r2"] == -0.2).all()
    assert len(read) == 700


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("Target", "Height", "no such target"),
        ("Inputs", "EEG", "no such inputs"),
        ("Mode", "ranking", "use one of"),
        ("Balanced accuracy", 1.2, "scores lie between"),
        ("AUC", -0.1, "scores lie between"),
        ("AUC", "good", "no number"),
        ("T1", "perhaps", "use Yes or No"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_it(column, value, why):
    table = published()
    table[column] = table[column].astype(object)
    table.loc[0, column] = value
    with pytest.raises(InputError, match=rf"{column}.*1 rows.*{why}") as raised:
        read_published(table, GRID)
    assert str(value) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_cell_that_is_there_twice_is_refused():
    with pytest.raises(InputError, match=r"1 rows.*twice"):
        read_published(pd.concat([published(), published().iloc[[3]]], ignore_index=True), GRID)


def test_r2_may_be_as_low_as_it_likes_and_empty():
    table = published()
    regression = table["Mode"] == "regression"
    table.loc[regression, "r2"] = -40.0
    table.loc[table.index[~regression][0], "AUC"] = np.nan
    assert read_published(table, GRID)["r2"].min() == -40.0


def test_published_layout_is_refused_where_it_is_another():
    with pytest.raises(InputError, match=r"lacks the columns.*Balanced accuracy"):
        read_published(pd.DataFrame({"Target": ["Age"]}), GRID)
