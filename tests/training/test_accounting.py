from collections import Counter

import numpy as np
import pandas as pd
import pytest
from modelling_cases import CONSTANT, GRID

from ukb_brain.errors import InputError
from ukb_brain.tables import schemas
from ukb_brain.training.accounting import OPTIONAL, cell_fits
from ukb_brain.training.items import cells_by_target, check_any_fitted

SEED = 20
PRODUCTS = {"structural": 30.0, "diffusion": 9.0, "functional": 3.0}
NETWORKS = 400.0


class Folder:
    def __init__(self, cards):
        self.held = cards

    def cards(self):
        return self.held


def grams(folds=1, device="cpu"):
    return Folder(
        {
            f"{fold}-{group}": {
                "fold": fold, "group": group, "seconds": (1 + fold) * seconds,
                "flops": 10 * seconds, "device": device,
            }
            for fold in range(folds)
            for group, seconds in PRODUCTS.items()
        }
    )  # fmt: skip


def encoders(folds=1, members=1, parts=2, device="cuda"):
    return Folder(
        {
            f"{fold}-{member}-{part}": {
                "fold": fold, "member": member, "part": part, "device": device,
                "seconds": NETWORKS * (1 + fold) * (1 + member) / parts, "flops": 7.0,
            }
            for fold in range(folds)
            for member in range(members)
            for part in range(parts)
        }
    )  # fmt: skip


def both(grams, encoders):
    return {"grams": grams, "encoders": encoders}


def rows_of(target, strategy, fold, member, seconds):
    status = "one class in training" if target in CONSTANT else "ok"
    about = {"seconds": seconds, "flops": 5.0, "device": "cpu"} if status == "ok" else {}
    return [
        {
            "target": target, "inputs": cell.inputs.name, "strategy": strategy, "fold": fold,
            "seed": member, "n_train": 6, "n_val": 2, "n_test": 2, "status": status,
        } | about
        for cell in cells_by_target(GRID)[target]
    ]  # fmt: skip


def cards_of(folds=1, members=1):
    return [
        {
            "status": "ok", "fold": fold, "target": target, "attempts": 2,
            "cells": rows_of(target, "linear", fold, 0, 1.0) + [
                row for m in range(members) for row in rows_of(target, "amortised", fold, m, 2.0)
            ],
        }
        for fold in range(folds)
        for target in GRID.targets
    ]  # fmt: skip


def dedicated_card(cell, status="ok", member=0):
    row = rows_of(cell.target, "dedicated", 0, member, 90.0)[0] | {"inputs": cell.inputs.name}
    card = {"fold": 0, "status": status, "member": member, "reason": "out of luck", "attempts": 3}
    card["cell"] = {"target": cell.target, "inputs": cell.inputs.name}
    return card | ({"cells": [row]} if status == "ok" else {})


FITTED = sum(cell.target not in CONSTANT for cell in GRID.cells)


def test_all_that_was_spent_is_shared_among_the_cells_that_use_it():
    table = cell_fits(cards_of(), both(grams(), encoders()), GRID, SEED)
    spent = table.groupby("strategy")["train_seconds"].sum()
    shared = table.groupby("strategy")["shared_seconds"].sum()
    assert shared["linear"] == pytest.approx(sum(PRODUCTS.values()))
    # Heads are averaged with linear cells, which rest on products of scans.
    assert shared["amortised"] == pytest.approx(sum(PRODUCTS.values()) + NETWORKS)
    assert spent["linear"] == pytest.approx(FITTED * 1.0 + shared["linear"])
    assert spent["amortised"] == pytest.approx(FITTED * 2.0 + shared["amortised"])
    flops = table.groupby("strategy")["flops"].sum()
    assert flops["linear"] == pytest.approx(5 * FITTED + 10 * sum(PRODUCTS.values()))
    assert flops["amortised"] == pytest.approx(flops["linear"] + 14.0)


def test_products_of_scans_are_paid_for_by_all_that_rests_on_kernels_and_encoders_by_the_average():
    card = cards_of()[0]
    card["cells"] += rows_of(card["target"], "kernels", 0, 0, 3.0)
    folders = {"encoders": encoders()}
    more = folders | {"grams": grams(device="cuda")}
    without, with_grams = (cell_fits([card], some, GRID, SEED) for some in (folders, more))
    key = ["strategy", "target", "inputs"]
    paid = [table.set_index(key)["shared_seconds"] for table in (without, with_grams)]
    added = (paid[1] - paid[0]).groupby("strategy").sum()
    assert added["linear"] == pytest.approx(added["amortised"]) != 0
    assert added["kernels"] == pytest.approx(added["amortised"])
    assert paid[0].loc[["linear", "kernels"]].sum() == 0
    assert paid[0].loc["amortised"].sum() > 0


def test_a_cell_pays_for_its_own_groups_evenly():
    users = Counter(group for cell in GRID.cells for group in cell.inputs.groups)
    table = cell_fits(cards_of(), both(grams(), encoders()), GRID, SEED)
    shared = table.set_index(["strategy", "target", "inputs"])["shared_seconds"]
    for cell in GRID.cells:
        line = sum(PRODUCTS[g] / users[g] for g in cell.inputs.groups)
        networks = sum(NETWORKS / 3 / users[g] for g in cell.inputs.groups)
        key = (cell.target, cell.inputs.name)
        assert shared["linear", *key] == pytest.approx(line)
        assert shared["amortised", *key] == pytest.approx(line + networks)


def test_folds_and_members_pay_for_their_own():
    folders = both(grams(2), encoders(2, 2))
    table = cell_fits(cards_of(2, 2), folders, GRID, SEED)
    shared = table.groupby(["strategy", "fold", "seed"])["shared_seconds"].sum()
    assert set(table["seed"]) == {SEED, SEED + 1}
    for fold in (0, 1):
        line = (1 + fold) * sum(PRODUCTS.values())
        assert shared["linear", fold, SEED] == pytest.approx(line)
        for member in (0, 1):
            networks = NETWORKS * (1 + fold) * (1 + member)
            assert shared["amortised", fold, SEED + member] == pytest.approx(line + networks)


def test_a_cell_of_its_own_network_pays_for_nothing_else():
    cell = GRID.cells[3]
    table = cell_fits([dedicated_card(cell)], both(grams(), encoders()), GRID, SEED)
    (row,) = table.to_dict("records")
    assert (row["train_seconds"], row["shared_seconds"], row["flops"]) == (90, 0, 5)
    assert (row["target"], row["inputs"]) == (cell.target, cell.inputs.name)
    assert row["device"] == "cpu"


def test_devices_are_all_that_a_cell_rests_on():
    table = cell_fits(cards_of(), both(grams(), encoders()), GRID, SEED)
    images = table["shared_seconds"] > 0
    amortised = table["strategy"] == "amortised"
    assert set(table.loc[images & amortised, "device"]) == {"cpu+cuda"}
    assert set(table.loc[~(images & amortised), "device"]) == {"cpu"}


def test_rows_are_in_the_order_of_the_grid_and_as_promised():
    cards = cards_of(2, 2)[::-1]
    table = cell_fits(cards, both(grams(2), encoders(2, 2)), GRID, SEED)
    schemas.cell_fits.validate(table)
    keys = [(cell.target, cell.inputs.name) for cell in GRID.cells]
    for _, rows in table.groupby(["strategy", "fold", "seed"]):
        assert list(zip(rows["target"], rows["inputs"], strict=True)) == keys
    assert set(OPTIONAL) <= set(table.columns)
    assert (table["attempts"] == 2).all()


def test_the_penalty_is_that_of_images_where_there_are_any():
    cards = cards_of()
    for row in (row for card in cards for row in card["cells"]):
        row |= {"image_penalty": 3.0 if "DWI" in row["inputs"] else None, "trait_penalty": 0.5}
    table = cell_fits(cards, both(grams(), encoders()), GRID, SEED)
    with_images = table["inputs"].str.contains("DWI")
    assert (table.loc[with_images, "penalty"] == 3).all()
    assert (table.loc[~with_images, "penalty"] == 0.5).all()


def failed(target, fold=0):
    return {"status": "failed", "reason": "no luck", "fold": fold, "target": target, "attempts": 3}


def test_cells_of_an_item_that_failed_are_listed_with_its_reason():
    cards = [card for card in cards_of(1, 2) if card["target"] != "age"]
    lost = GRID.cells[0]
    cards += [failed("age"), dedicated_card(lost, "failed", member=1)]
    table = cell_fits(cards, both(grams(), encoders(1, 2)), GRID, SEED)
    schemas.cell_fits.validate(table)
    mine = table[(table["target"] == "age") & (table["strategy"] != "dedicated")]
    assert len(mine) == 3 * len(cells_by_target(GRID)["age"])
    assert set(mine["status"]) == {"no luck"}
    assert set(zip(mine["strategy"], mine["seed"], strict=True)) == {
        ("linear", SEED), ("amortised", SEED), ("amortised", SEED + 1),
    }  # fmt: skip
    assert mine["train_seconds"].isna().all() and (mine["attempts"] == 3).all()
    (row,) = table[table["strategy"] == "dedicated"].to_dict("records")
    assert (row["status"], row["seed"], row["inputs"]) == (
        "out of luck", SEED + 1, lost.inputs.name,
    )  # fmt: skip
    others = table[table["target"] != "age"].set_index(["strategy", "seed", "target", "inputs"])
    alone = cell_fits(cards[:-2], both(grams(), encoders(1, 2)), GRID, SEED)
    alone = alone.set_index(["strategy", "seed", "target", "inputs"])
    kept = others[others.index.get_level_values("strategy") != "dedicated"]
    pd.testing.assert_frame_equal(kept, alone, check_exact=True)


def test_where_everything_failed_the_reasons_are_listed():
    cards = [failed(target) for target in GRID.targets]
    table = cell_fits(cards, both(grams(), encoders()), GRID, SEED)
    assert len(table) == len(GRID.cells)
    assert set(table["strategy"]) == {"linear"}
    with pytest.raises(InputError, match="no luck"):
        check_any_fitted(table, {"structural": 3})


def test_a_shared_model_that_failed_cost_nothing_that_is_known():
    broken = grams()
    broken.held["0-diffusion"] = {"fold": 0, "group": "diffusion", "status": "failed"}
    table = cell_fits(cards_of(), both(broken, encoders()), GRID, SEED)
    linear = table.loc[table["strategy"] == "linear", "shared_seconds"]
    assert linear.sum() == pytest.approx(33)
    assert np.isfinite(table["train_seconds"]).all()
