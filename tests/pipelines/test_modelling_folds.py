"""Folds, seeds, workers, and people who came twice."""

import json

import numpy as np
import pandas as pd
from modelling_cases import (
    CONSTANT,
    EVERY,
    GRID,
    MODELLING,
    PARTS,
    TESTED_TWICE,
    changed,
    invented_cohort,
    people_of,
    run,
)
from modelling_runs import (
    KINDS,
    NOBODY,
    PREDICTIONS,
    TIMINGS,
    assert_files_are_alike,
    fits,
    models_of,
    without,
)

from ukb_brain.cluster import Compute, workers_kept
from ukb_brain.ledger.artifact import read_card, read_model
from ukb_brain.tables.splits import Splitting, make_splits


def with_splits(cohort, splitting, sites=None):
    other = cohort.copy()
    people = other.tables["primary.participants"]
    if sites is not None:
        people["site"] = 11025 + people["family"] % sites
    other.tables["primary.splits"] = make_splits(people, splitting, 1)
    return other


def assert_everyone_is_tested_once(root, strategies):
    table = pd.read_parquet(root / PREDICTIONS).query("split == 'test'")
    assert not table.duplicated(["eid", "target", "inputs", "strategy"]).any()
    tested = table.groupby(["target", "inputs", "strategy"], observed=True).size()
    people = people_of(invented_cohort())
    expected = {
        (cell.target, cell.inputs.name, strategy): people.usable(cell).sum()
        for cell in GRID.cells
        if cell.target not in CONSTANT
        for strategy in strategies
    }
    found = tested[[key[0] not in CONSTANT for key in tested.index]]
    assert found.to_dict() == expected


def test_in_several_folds_everyone_is_tested_once(invented, before, tmp_path):
    splitting = Splitting(scheme="k_fold", folds=3, train=0.7, validation=0.2, test=0.1)
    folded = with_splits(invented, splitting)
    settings = changed(MODELLING, encoders__loop__epochs=1)
    root = run(tmp_path, folded, before, NOBODY, modelling=settings)
    assert_everyone_is_tested_once(root, ("linear", "amortised"))
    rows = fits(root)
    assert len(rows) == 3 * 2 * len(GRID.cells)
    assert set(rows["fold"]) == {0, 1, 2}
    assert len(models_of(root, "encoders")) == 6
    # Each fold's people are its own: a network is trained on nobody whom its fold tests.
    splits = folded.tables["primary.splits"]
    for fold in range(3):
        training = set(splits.query("fold == @fold and part == 'train'")["eid"])
        card = read_card(root / f"06_models/encoders/fold{fold}-seed0-without0")
        assert card["n_train"] == len(training)
    prints = {read_card(root / m)["training_people"] for m in models_of(root, "grams")}
    assert len(prints) == 3


def test_leaving_out_each_site_in_turn_tests_everyone_once(invented, before, tmp_path):
    splitting = Splitting(scheme="leave_one_site_out", train=0.7, validation=0.2, test=0.1)
    folded = with_splits(invented, splitting, sites=3)
    linear = changed(MODELLING, strategies=["linear"])
    root = run(tmp_path, folded, before, NOBODY, modelling=linear)
    assert_everyone_is_tested_once(root, ("linear",))
    table = pd.read_parquet(root / PREDICTIONS).query("split == 'test'")
    site = folded.tables["primary.participants"].drop_duplicates("eid").set_index("eid")["site"]
    sites = table["eid"].map(site).groupby(table["fold"]).unique()
    assert sorted(len(each) for each in sites) == [1, 1, 1]


def test_an_ensemble_has_members_of_their_own(invented, again, before, calls):
    run(again, invented, altered=NOBODY, modelling=changed(EVERY, encoders__seeds=2))
    assert calls == dict.fromkeys(KINDS, 0) | {"encoders": 2, "cells": 7}
    outputs = [
        read_model(again / f"06_models/encoders/fold0-seed{member}-without0").arrays["outputs"]
        for member in (0, 1)
    ]
    finite = np.isfinite(outputs[0])
    np.testing.assert_array_equal(finite, np.isfinite(outputs[1]))
    assert (outputs[0] != outputs[1])[finite].mean() > 0.99
    table = pd.read_parquet(again / PREDICTIONS)
    counts = table.groupby(["strategy", "seed"], observed=True).size()
    assert set(counts.index) == {
        ("linear", 5), ("amortised", 5), ("amortised", 6), ("dedicated", 5),
    }  # fmt: skip
    keys = ["target", "inputs", "eid"]
    members = [
        table.query("strategy == 'amortised' and seed == @seed").set_index(keys)["y_pred"]
        for seed in (5, 6)
    ]
    assert members[0].index.equals(members[1].index)
    images = ~members[0].index.get_level_values("inputs").str.startswith("Non-imaging")
    assert (members[0] != members[1])[images].mean() > 0.5
    old = pd.read_parquet(before / PREDICTIONS)
    first = table[table["seed"] == 5].reset_index(drop=True)
    by = ["strategy", "target", "inputs", "eid"]
    pd.testing.assert_frame_equal(
        *(t.astype(dict.fromkeys(by[:3], str)).sort_values(by, ignore_index=True)
          for t in (old, first)),
        check_exact=True, check_categorical=False,
    )  # fmt: skip


@workers_kept()
def test_the_number_of_workers_changes_nothing(invented, before, tmp_path):
    two = Compute(workers=2)
    after = run(tmp_path, invented, before, NOBODY, compute=two, modelling=EVERY)
    assert_files_are_alike(before, after)
    for name in (PREDICTIONS, "04_feature/blocks.parquet"):
        assert (before / name).read_bytes() == (after / name).read_bytes(), name
    for model in models_of(before):
        cards = [without(read_card(root / model), TIMINGS) for root in (before, after)]
        assert cards[0] == cards[1]
    assert json.loads((before / "06_models/cells/complete.json").read_text()) == json.loads(
        (after / "06_models/cells/complete.json").read_text()
    )


def test_people_scanned_twice_are_predicted_again_by_models_that_have_not_seen_them(tmp_path):
    cohort = invented_cohort(twice=TESTED_TWICE)
    run(tmp_path, cohort, modelling=EVERY)
    table = pd.read_parquet(tmp_path / PREDICTIONS)
    again = table[table["split"] == "repeat"]
    twice = cohort.eid[[k for k in TESTED_TWICE if PARTS[k] == "test"]]
    assert set(again["eid"]) == set(twice)
    assert set(again["instance"]) == {3}
    assert set(again["strategy"]) == {"linear", "amortised", "dedicated"}
    assert set(table.loc[table["split"] != "repeat", "instance"]) == {2}
    # Their answers are others, and their scans too.
    keys = ["eid", "target", "inputs", "strategy"]
    both = table.merge(again, on=keys, suffixes=("", "_again")).query("split == 'test'")
    imaging = [cell.inputs.name for cell in GRID.cells if cell.inputs.groups]
    images = both[both["inputs"].isin(imaging) & (both["target"] == "age")]
    assert len(images) > 0
    assert (images["y_pred"] != images["y_pred_again"]).all()
    # Nothing is fitted on them, or counted: without them everything else is the same.
    once = run(tmp_path / "once", invented_cohort(), modelling=EVERY)
    rest = table[table["split"] != "repeat"].reset_index(drop=True)
    expected = pd.read_parquet(once / PREDICTIONS)
    columns = ["eid", "target", "inputs", "strategy", "split"]
    pd.testing.assert_frame_equal(
        rest[columns].astype(str), expected[columns].astype(str), check_dtype=False
    )
    np.testing.assert_allclose(rest["y_pred"], expected["y_pred"], rtol=1e-4, atol=1e-5)
    counts = ["n_train", "n_val", "n_test"]
    pd.testing.assert_frame_equal(fits(tmp_path)[counts], fits(once)[counts])
