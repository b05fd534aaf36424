import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from modelling_cases import EVERY, GRID, N, changed, scans_of
from reporting_cases import study_grid

from ukb_brain.grid import Cell
from ukb_brain.training.dedicated import DedicatedJob, drawn_cells, train_dedicated
from ukb_brain.training.results import predicted_rows, prediction_tables

STUDY = study_grid()
NETWORK = EVERY.dedicated
DRAWN = drawn_cells(GRID, 3)


# ---- which cells --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [4, 8, 24, 60])
def test_drawn_cells_are_spread_over_domains_targets_and_images(number):
    cells = drawn_cells(STUDY, number)
    assert len(set(cells)) == number
    domains = Counter(STUDY.targets[cell.target].domain for cell in cells)
    assert max(domains.values()) - min(domains.values()) <= 1
    assert len(domains) == 4
    for domain in STUDY.domains:
        targets = STUDY.targets_of(domain)
        seen = Counter(dict.fromkeys(targets, 0))
        seen.update(cell.target for cell in cells if cell.target in targets)
        assert max(seen.values()) - min(seen.values()) <= 1
    groups = Counter(cell.inputs.groups for cell in cells)
    assert len(groups) >= min(number - 1, 7)
    assert max(groups.values()) <= number / 8 + 2


def test_the_draw_is_the_same_everywhere_and_grows():
    # A draw that changes makes two benchmarks incomparable.
    assert [(cell.target, cell.inputs.name) for cell in DRAWN] == [
        ("sex", "FLAIR + T1"),
        ("smoking", "rsfMRI Connectivity + DWI + FLAIR + T1 + Non-imaging data (C)"),
        ("worry", "Non-imaging data (C)"),
    ]
    last = set()
    for number in range(1, 40):
        cells = set(drawn_cells(STUDY, number))
        assert last < cells and len(cells) == number
        last = cells


def test_drawn_cells_are_in_the_order_of_the_grid_and_zero_is_all():
    order = {cell: k for k, cell in enumerate(STUDY.cells)}
    cells = drawn_cells(STUDY, 24)
    assert list(cells) == sorted(cells, key=order.__getitem__)
    assert (
        drawn_cells(STUDY, 0) == drawn_cells(STUDY, 700) == drawn_cells(STUDY, 900) == STUDY.cells
    )


# ---- one network --------------------------------------------------------------------------------


def job_of(cell, people, root, settings=NETWORK, **changes):
    scans = scans_of(root)
    mine = {group: scans[group] for group in cell.inputs.groups}
    binary = {cell.target: GRID.targets[cell.target].kind == "binary"}
    job = DedicatedJob(people, mine, binary, settings, 11, "cpu", cell, 0)
    return replace(job, **changes)


def trained(job):
    with tempfile.TemporaryDirectory() as folder:
        return train_dedicated(job, Path(folder))


def network_of(model):
    return {k: v.tobytes() for k, v in model.arrays.items() if k.startswith("weights/")}


def prediction(model):
    (name,) = [name for name in model.arrays if name.startswith("predictions/")]
    return model.arrays[name]


@pytest.fixture(scope="module")
def models(fold, stored):
    return {cell: trained(job_of(cell, fold, stored)) for cell in DRAWN}


def test_each_drawn_cell_has_a_network_of_its_own_inputs(models, fold):
    for cell, model in models.items():
        names = {name.split(".")[1] for name in network_of(model) if "encoders." in name}
        assert names == {*cell.inputs.groups, *(["traits"] if cell.inputs.blocks else [])}
        (row,) = model.card["cells"]
        assert (row["target"], row["inputs"]) == (cell.target, cell.inputs.name)
        assert (row["status"], row["strategy"], row["seed"]) == ("ok", "dedicated", 0)
        assert row["n_train"] == (fold.usable(cell) & fold.train).sum() == model.card["n_fitted"]
        assert row["seconds"] > 0 and row["flops"] > 0 and row["device"] == "cpu"
        (table,) = prediction_tables(model, fold, 0)
        np.testing.assert_array_equal(table["eid"], fold.eid[fold.usable(cell) & ~fold.train])
        assert table["y_pred"].between(0, 1).all()
        assert len(model.card["curves"]["train"]) == NETWORK.loop.epochs


def test_a_cell_read_from_bins_is_in_the_targets_own_units(fold, stored):
    cell = next(c for c in GRID.cells if c.target == "age" and len(c.inputs.groups) == 3)
    loop = NETWORK.loop.model_copy(update={"bins": 12, "epochs": 20})
    settings = NETWORK.model_copy(update={"loop": loop})
    (table,) = prediction_tables(trained(job_of(cell, fold, stored, settings)), fold, 0)
    tested = table[table["split"] == "test"]
    assert tested["y_pred"].between(30, 100).all()
    assert np.corrcoef(tested["y_pred"], tested["y_true"])[0, 1] > 0.5


def test_a_seed_decides_everything(models, fold, stored):
    cell = DRAWN[0]
    again = trained(job_of(cell, fold, stored))
    assert network_of(again) == network_of(models[cell])
    assert prediction(again).tobytes() == prediction(models[cell]).tobytes()
    other = trained(job_of(cell, fold, stored, seed=12, member=1))
    assert network_of(other) != network_of(models[cell])
    assert list(other.arrays)[-1].startswith("predictions/dedicated/1/")


def test_the_network_learns(fold, stored):
    longer = changed(EVERY, dedicated__loop__epochs=15, dedicated__network__dropout=0.0).dedicated
    model = trained(job_of(DRAWN[0], fold, stored, longer))
    losses = model.card["curves"]["train"]
    assert losses[-1] < 0.7 * losses[0]
    (table,) = prediction_tables(model, fold, 0)
    tested = table[table["split"] == "test"]
    by_class = tested.groupby("y_true")["y_pred"].mean()
    assert by_class[1.0] > by_class[0.0]


def altered(fold, rows):
    """People of whom every answer and trait is another."""
    targets = {t: np.where(rows, 1 - y, y) for t, y in fold.targets.items()}
    blocks = {d: np.where(rows[:, None], 2 - b, b) for d, b in fold.blocks.items()}
    return replace(fold, targets=targets, blocks=blocks)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_people_outside_training_do_not_reach_the_network(models, fold, stored, part):
    cell = DRAWN[2]
    rows = fold.part == part
    after = trained(job_of(cell, altered(fold, rows), stored))
    before = models[cell]
    assert network_of(after) == network_of(before)
    assert after.card["curves"]["train"] == before.card["curves"]["train"]
    same = after.card["curves"] == before.card["curves"]
    # Validation people calibrate, and so change every prediction; test people their own at most.
    mine = rows[predicted_rows(fold)]
    others = prediction(after)[~mine].tobytes() == prediction(before)[~mine].tobytes()
    assert same == others == (part == "test")


def test_people_in_training_do(models, fold, stored):
    cell = DRAWN[2]
    after = trained(job_of(cell, altered(fold, np.arange(N) == 2), stored))
    assert network_of(after) != network_of(models[cell])


def test_validation_people_choose_the_epoch(fold, stored):
    patient = changed(EVERY, dedicated__loop__epochs=6, dedicated__loop__patience=6).dedicated
    card = trained(job_of(DRAWN[2], fold, stored, patient)).card
    assert card["best_epoch"] == 1 + int(np.argmin(card["curves"]["validation"]))


def test_scans_of_other_groups_cannot_be_read(fold, stored, tmp_path):
    """The job of a cell has no way to them."""
    cell = DRAWN[0]
    assert set(job_of(cell, fold, stored).scans) == set(cell.inputs.groups) == {"structural"}
    traits = DRAWN[2]
    assert job_of(traits, fold, stored).scans == {}
    model = trained(job_of(traits, fold, tmp_path / "no scans at all"))
    assert model.card["cells"][0]["status"] == "ok"


def test_a_training_that_diverges_is_recorded(fold, stored):
    wild = changed(EVERY, dedicated__loop__learning_rate=1e30).dedicated
    model = trained(job_of(DRAWN[2], fold, stored, wild))
    (row,) = model.card["cells"]
    assert "not finite" in row["status"]
    assert not any(name.startswith(("predictions", "weights")) for name in model.arrays)


@pytest.mark.parametrize(
    ("rows", "value", "reason"),
    [
        ("train", 1.0, "one class in training"),
        ("validation", 0.0, "one class in validation"),
        ("train", np.nan, "fewer than ten people in training"),
        ("validation", np.nan, "fewer than ten people in validation"),
    ],
)
def test_a_cell_that_cannot_be_trained_or_calibrated_says_why(fold, stored, rows, value, reason):
    y = np.where(fold.part == rows, value, fold.targets["worry"])
    people = replace(fold, targets=fold.targets | {"worry": y})
    model = trained(job_of(DRAWN[2], people, stored))
    assert model.card["cells"][0]["status"] == reason
    assert model.arrays == {}


def test_a_continuous_target_is_predicted_in_its_own_units(fold, stored):
    cell = next(c for c in GRID.cells if c.target == "age" and c.inputs.groups == ("functional",))
    assert isinstance(cell, Cell)
    settings = changed(EVERY, dedicated__loop__epochs=10).dedicated
    model = trained(job_of(cell, fold, stored, settings))
    table = pd.concat(prediction_tables(model, fold, 0))
    assert table["y_pred"].between(30, 100).all()
    assert table["y_pred"].std() > 0
    assert model.card["cells"][0]["train_median"] > 50
