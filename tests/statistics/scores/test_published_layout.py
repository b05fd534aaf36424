import numpy as np
import pandas as pd
import pytest
from reporting_cases import invented, small_grid, study_grid
from sklearn.metrics import auc, precision_recall_fscore_support, roc_curve

from ukb_brain.errors import InputError
from ukb_brain.statistics.scores.performance import score_map
from ukb_brain.statistics.scores.published import (
    COLUMNS,
    FLAGS,
    published_layout,
    read_published,
)
from ukb_brain.statistics.scores.skill import skill_of_cells
from ukb_brain.statistics.scores.target_predictions import gather_targets

GRID = study_grid()


def published():
    """Make a table in the published layout, without a score of its own."""
    rows = []
    for cell in GRID.cells:
        target, flags = GRID.targets[cell.target], GRID.flags(cell.inputs)
        binary = target.kind == "binary"
        row = dict.fromkeys(COLUMNS, 0.0) | {"Target": target.name, "Inputs": cell.inputs.name}
        row |= {"Mode": "Test", "Balanced accuracy": 0.6, "AUC": 0.9}
        row |= {"r2": 0.0 if binary else -0.2, "r": 0.0 if binary else 0.3}
        row |= {name: "Yes" if flags[key] else "No" for name, key in FLAGS.items()}
        rows.append(row | {"Domain": target.domain.title()})
    return pd.DataFrame(rows)


def test_a_score_is_read_only_where_it_applies_and_auc_for_none():
    read = read_published(published(), GRID)
    binary = read["kind"] == "binary"
    kinds = {key: target.kind for key, target in GRID.targets.items()}
    assert (read["kind"] == read["target"].map(kinds)).all()
    assert "roc_auc" not in read
    assert read.loc[binary, ["r2", "pearson_r"]].isna().all(axis=None)
    assert (read.loc[~binary, "r2"] == -0.2).all()
    assert (read.loc[~binary, "pearson_r"] == 0.3).all()
    assert len(read) == 700
    skill = skill_of_cells(read)[0]
    assert skill["sex"].to_numpy() == pytest.approx(0.2)
    assert skill["age"].to_numpy() == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("Target", "Height", "no such target"),
        ("Inputs", "EEG", "no such inputs"),
        ("Mode", "ranking", "use one of"),
        ("Balanced accuracy", 1.2, "scores lie between"),
        ("Mode", "Validation", "one split at a time"),
        ("r2", "good", "no number"),
        ("T1", "perhaps", "use Yes or No"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_it(column, value, why):
    table = published()
    table[column] = table[column].astype(object)
    at = table.index[table["Target"] == "Age"][0] if column == "r2" else table.index[-1]
    table.loc[at, column] = value
    with pytest.raises(InputError, match=rf"{column}.*1 rows.*{why}") as raised:
        read_published(table, GRID)
    assert str(value) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_cell_that_is_there_twice_is_refused():
    with pytest.raises(InputError, match=r"1 rows.*twice"):
        read_published(pd.concat([published(), published().iloc[[3]]], ignore_index=True), GRID)


def test_r2_may_be_as_low_as_it_likes_and_empty():
    table = published()
    regression = table["Target"] == "Age"
    table.loc[regression, "r2"] = -40.0
    table.loc[table.index[regression][0], "r2"] = np.nan
    assert read_published(table, GRID)["r2"].min() == -40.0


def test_published_layout_is_refused_where_it_is_another():
    with pytest.raises(InputError, match=r"lacks the columns.*Balanced accuracy"):
        read_published(pd.DataFrame({"Target": ["Age"]}), GRID)


def test_columns_are_those_that_the_study_computes():
    """Held to scikit-learn, on outputs as the study has them: one-hot, split if continuous."""
    grid = small_grid("sex", "weight")
    predictions, fits, participants = invented(grid, strategies=("amortised",))
    performance = score_map(predictions, fits, participants, grid, "amortised")
    targets = gather_targets(predictions, fits, participants, grid, "amortised")
    table = published_layout(performance, targets, fits, grid).set_index(["Target", "Inputs"])
    assert set(table["Mode"]) == {"Test"}
    for key, cut in (("sex", 0.4), ("weight", 50.0)):
        name, binary = GRID.targets[key].name, key == "sex"
        inputs = table.loc[name].index[0]
        mine = predictions[(predictions["split"] == "test") & (predictions["target"] == key)]
        mine = mine[mine["inputs"] == inputs]
        said = (mine["y_pred"] > cut).to_numpy()
        truth = (mine["y_true"] > (0 if binary else cut)).to_numpy()
        p, r, f, _ = precision_recall_fscore_support(truth, said, average="macro")
        row = table.loc[(name, inputs)]
        assert row["Weighted precision"] == pytest.approx(p)
        assert row["Weighted recall"] == row["Balanced accuracy"] == pytest.approx(r)
        assert row["Weighted F1"] == pytest.approx(f)
        outputs = mine["y_pred"].to_numpy() if binary else said.astype(float)
        one_hot, both = np.c_[~truth, truth], np.c_[1 - outputs, outputs]
        fpr, tpr, _ = roc_curve(one_hot.ravel(), both.ravel())
        assert row["AUC"] == pytest.approx(auc(fpr, tpr))
        if not binary:  # of hard decisions it is the plain accuracy
            assert row["AUC"] == pytest.approx((said == truth).mean())
    read = read_published(table.reset_index(), grid)
    assert len(read) == len(grid.cells)
