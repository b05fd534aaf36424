"""What comes out of modelling, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest
from modelling_cases import (
    CONSTANT,
    GRID,
    MODELLING,
    PARTS,
    catalog_of,
    changed,
    invented_cohort,
    people_of,
    run,
    work_of,
)
from modelling_runs import (
    KINDS,
    NOBODY,
    NUMBERS,
    PREDICTIONS,
    fits,
    models_of,
)

from ukb_brain.errors import InputError
from ukb_brain.ledger.artifact import read_card
from ukb_brain.pipelines.modelling import nodes
from ukb_brain.training.dedicated import drawn_cells
from ukb_brain.training.people import gather_people

# ---- what comes out ------------------------------------------------------------------------------


def test_models_are_safetensors_and_cards_that_name_nobody(before):
    for kind, number in NUMBERS.items():
        assert len(models_of(before, kind)) == number
    files = {path.name for path in (before / "06_models").rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "card.json", "complete.json"}
    for path in (before / "06_models").rglob("*.json"):
        assert not re.search(r"(?<![\w.])9\d{6}(?![\w.])", path.read_text()), path


def test_a_target_of_one_class_is_recorded_and_everything_else_is_fitted(before):
    rows = fits(before)
    both = rows[rows["strategy"] != "dedicated"]
    assert len(both) == 2 * len(GRID.cells)
    reasons = np.where(both["target"].isin(CONSTANT), "one class in training", "ok")
    assert both["status"].tolist() == reasons.tolist()
    drawn = rows[rows["strategy"] == "dedicated"]
    assert drawn[["target", "inputs"]].to_numpy().tolist() == [
        [cell.target, cell.inputs.name] for cell in drawn_cells(GRID, 3)
    ]
    predictions = pd.read_parquet(before / PREDICTIONS)
    assert set(predictions["target"]) == set(GRID.targets) - set(CONSTANT)
    linear, amortised = (predictions["strategy"] == s for s in ("linear", "amortised"))
    assert linear.sum() == amortised.sum() > 0
    assert not set(predictions["eid"]) & set(people_of(invented_cohort()).eid[PARTS == "train"])


def test_seconds_of_cells_add_up_to_those_of_items(before):
    cards = {kind: [read_card(before / m) for m in models_of(before, kind)] for kind in KINDS}
    shared = {kind: sum(card["seconds"] for card in cards[kind]) for kind in cards}
    own = {
        strategy: sum(
            row.get("seconds", 0) for card in [*cards["cells"], *cards["dedicated"]]
            for row in card["cells"] if row["strategy"] == strategy
        )
        for strategy in ("linear", "amortised", "dedicated")
    }  # fmt: skip
    spent = fits(before).groupby("strategy")["train_seconds"].sum()
    assert spent["linear"] == pytest.approx(own["linear"] + shared["grams"])
    # Cells say what their kernels took.
    assert 0 < own["linear"] <= shared["kernels"]
    assert spent["dedicated"] == pytest.approx(own["dedicated"])
    both = shared["grams"] + shared["encoders"]
    assert spent["amortised"] == pytest.approx(own["amortised"] + both)
    assert 0 < own["dedicated"] <= shared["dedicated"]


def test_something_is_read_from_the_scans(before):
    predictions = pd.read_parquet(before / PREDICTIONS)
    of_images = predictions[
        (predictions["target"] == "sex") & (predictions["inputs"] == "FLAIR + T1")
    ]
    found = of_images.groupby("strategy", observed=True)[["y_pred", "y_true"]].corr()
    found = found.xs("y_pred", level=1)["y_true"]
    assert found[["linear", "amortised"]].min() > 0.3


# ---- what does not fit together ------------------------------------------------------------------


def strangers_of(cohort):
    """The same people, but two are learned from that were tested, and the reverse."""
    other = cohort.copy()
    splits = other.tables["primary.splits"]
    rows = [0, 1, len(splits) - 2, len(splits) - 1]
    splits.loc[rows, "part"] = splits.loc[rows[::-1], "part"].to_numpy()
    return other


def fit_cells(root, people, settings=MODELLING):
    catalog = catalog_of(root)
    models = [catalog.load(f"model.{name}") for name in ("encoders", "kernels")]
    folder = catalog.load("model.folder")
    return nodes.fit_cells(work_of(people, settings, folder=folder), *models)


def test_models_of_other_training_people_are_refused(invented, before):
    other = strangers_of(invented)
    with pytest.raises(InputError, match=r"fold0-seed0-without0 was fitted on .* another split"):
        fit_cells(before, {0: people_of(other)})
    honest = [other.tables[f"primary.{name}"] for name in ("targets", "splits")]
    catalog = catalog_of(before)
    with pytest.raises(InputError, match=r"feature\.block_scaling was fitted on .* another split"):
        gather_people(
            honest[0],
            catalog.load("feature.blocks"),
            catalog.load("feature.block_scaling"),
            honest[1],
            other.tables["primary.participants"],
            other.tables["primary.quality"],
            GRID,
        )


def test_kernels_of_other_training_people_are_refused(invented, again):
    for path in (again / "06_models/encoders").glob("*/card.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"fold0-kernels-diffusion was fitted on .* 06_models"):
        fit_cells(again, {0: people_of(strangers_of(invented))})


def test_products_of_other_training_people_are_refused(invented, before):
    catalog, other = catalog_of(before), {0: people_of(strangers_of(invented))}
    folder, grams = (catalog.load(f"model.{name}") for name in ("folder", "grams"))
    with pytest.raises(InputError, match=r"fold0-diffusion was fitted on .* another split"):
        nodes.fit_kernels(work_of(other, folder=folder), grams)


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("kernels__radial", [2.0], r"fold0-kernels-diffusion .*\(radial\)"),
        ("encoders__loop__epochs", 9, r"fold0-seed0-without0 .*\(loop\)"),
    ],
)
def test_models_of_other_settings_are_refused(invented, before, setting, value, named):
    with pytest.raises(InputError, match=rf"{named}.*repeat the --params"):
        fit_cells(before, {0: people_of(invented)}, changed(MODELLING, **{setting: value}))


def test_nobody_predicted_is_said_in_one_line(invented, before, tmp_path):
    empty = invented.copy()
    targets = empty.tables["primary.targets"]
    targets.loc[:, list(GRID.targets)] = 1.0
    linear = changed(MODELLING, strategies=["linear"])
    with pytest.raises(InputError, match=f"None of {len(GRID.cells)} cells could be fitted"):
        run(tmp_path, empty, before, NOBODY, modelling=linear)
