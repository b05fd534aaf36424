"""What is done again, and what goes on where something failed."""

import shutil

import pandas as pd
import pytest
from modelling_cases import (
    CONSTANT,
    EVERY,
    GRID,
    MODELLING,
    changed,
    run,
)
from modelling_runs import (
    KINDS,
    NOBODY,
    PREDICTIONS,
    SETS,
    assert_files_are_alike,
    fits,
    models_of,
)

from ukb_brain.cluster import Compute
from ukb_brain.ledger.artifact import read_card
from ukb_brain.pipelines.modelling import nodes

# ---- what is done again --------------------------------------------------------------------------


def test_running_again_trains_nothing(invented, again, before, monkeypatch):
    def never(job, folder):
        raise AssertionError("this is done already")

    for name in KINDS.values():
        monkeypatch.setattr(nodes, name, never)
    shutil.rmtree(again / "07_model_output")
    run(again, invented, altered=NOBODY, modelling=EVERY)
    assert_files_are_alike(before, again)
    pd.testing.assert_frame_equal(fits(before), fits(again), check_exact=True)


@pytest.mark.parametrize(
    ("setting", "value", "done"),
    [
        ("heads", {"images": [1.0], "traits": [0.1]}, {"cells": 7}),
        ("kernels__penalties", [0.5, 5], {"kernels": SETS, "cells": 7}),
        ("kernels__pooling", 1, {"grams": 3, "kernels": SETS, "cells": 7}),
        ("encoders__loop__epochs", 2, {"encoders": 2, "cells": 7}),
        ("dedicated__cells", 4, {"dedicated": 1}),
    ],
)
def test_a_changed_setting_redoes_only_what_depends_on_it(
    invented, again, calls, setting, value, done
):
    run(again, invented, altered=NOBODY, modelling=changed(EVERY, **{setting: value}))
    assert calls == dict.fromkeys(KINDS, 0) | done


def test_what_is_no_longer_asked_for_is_removed(invented, again, calls):
    run(again, invented, altered=NOBODY, modelling=changed(MODELLING, strategies=["linear"]))
    assert calls == dict.fromkeys(KINDS, 0) | {"cells": 7}
    assert not models_of(again, "encoders") and not models_of(again, "dedicated")
    assert set(fits(again)["strategy"]) == {"linear"}
    linear = pd.read_parquet(again / PREDICTIONS)
    assert (linear["strategy"] == "linear").all()


def test_a_model_that_is_lost_is_made_anew(invented, again, before, calls):
    shutil.rmtree(again / "06_models/encoders/fold0-seed0-without1")
    run(again, invented, altered=NOBODY, modelling=EVERY)
    # It is the same as before, so cells that rest on it are done.
    assert calls == dict.fromkeys(KINDS, 0) | {"encoders": 1}
    assert_files_are_alike(before, again)


# ---- failures ------------------------------------------------------------------------------------


def failing(monkeypatch, name, fails):
    function = getattr(nodes, name)

    def sometimes(job, folder):
        if fails(job):
            raise RuntimeError(f"no luck with {9000001}")
        return function(job, folder)

    monkeypatch.setattr(nodes, name, sometimes)


def test_a_failed_encoder_is_recorded_and_everything_else_goes_on(
    invented, before, again, monkeypatch
):
    shutil.rmtree(again / "06_models/encoders")
    with monkeypatch.context() as patch:
        failing(patch, "train_encoder", lambda job: job.part == 1)
        run(again, invented, altered=NOBODY, modelling=EVERY, compute=Compute(workers=1, retries=1))
    card = read_card(again / "06_models/encoders/fold0-seed0-without1")
    assert (card["status"], card["attempts"]) == ("failed", 2)
    assert card["reason"] == "RuntimeError: no luck with #######"
    assert not (again / "06_models/encoders/complete.json").exists()
    tables = {root: pd.read_parquet(root / PREDICTIONS) for root in (before, again)}
    for strategy in ("linear", "dedicated"):
        pair = [t[t["strategy"] == strategy].reset_index(drop=True) for t in tables.values()]
        pd.testing.assert_frame_equal(*pair, check_exact=True)
    rows = fits(again).query("strategy == 'amortised'")
    assert set(rows["status"]) == {"ok", "one class in training"}
    images = ~rows["inputs"].str.startswith("Non-imaging")
    assert (rows.loc[images & (rows["status"] == "ok"), "head_share"] == 0).all()
    pair = [len(t[t["strategy"] == "amortised"]) for t in tables.values()]
    assert pair[0] == pair[1] > 0
    # The next run makes what failed, and then everything is as if nothing had happened.
    run(again, invented, altered=NOBODY, modelling=EVERY)
    assert_files_are_alike(before, again)
    assert (again / "06_models/encoders/complete.json").exists()


def test_failed_products_are_recorded_and_cells_of_other_groups_go_on(
    invented, before, again, monkeypatch
):
    for kind in ("grams", "kernels"):
        shutil.rmtree(again / "06_models" / kind)
    with monkeypatch.context() as patch:
        failing(patch, "gram_of_group", lambda job: job.group == "diffusion")
        run(again, invented, altered=NOBODY, modelling=EVERY, compute=Compute(workers=1, retries=1))
    card = read_card(again / "06_models/grams/fold0-diffusion")
    assert (card["status"], card["attempts"]) == ("failed", 2)
    assert card["reason"] == "RuntimeError: no luck with #######"
    hit = {cell.inputs.name for cell in GRID.cells if "diffusion" in cell.inputs.groups}
    rows = fits(again).query("status != 'one class in training'")
    mine = rows["inputs"].isin(hit) & (rows["strategy"] == "linear")
    assert set(rows.loc[mine, "status"]) == {"its kernels failed"}
    assert set(rows.loc[~mine, "status"]) == {"ok"}
    shares = rows[(rows["strategy"] == "amortised") & rows["inputs"].isin(hit)]
    assert (shares["head_share"] == 1).all()
    tables = [
        t[(t["strategy"] == "linear") & ~t["inputs"].isin(hit)].reset_index(drop=True)
        for t in (pd.read_parquet(root / PREDICTIONS) for root in (before, again))
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    # The next run makes what failed, and then everything is as if nothing had happened.
    run(again, invented, altered=NOBODY, modelling=EVERY)
    assert_files_are_alike(before, again)


def test_failed_cells_and_networks_are_listed_with_their_reasons(invented, again, monkeypatch):
    shutil.rmtree(again / "06_models/dedicated")
    settings = changed(EVERY, cross_fits=4)
    with monkeypatch.context() as patch:
        failing(patch, "train_dedicated", lambda job: job.cell.target == "sex")
        failing(patch, "fit_cells_of_target", lambda job: job.target == "age")
        run(
            again,
            invented,
            altered=NOBODY,
            modelling=settings,
            compute=Compute(workers=1, retries=0),
        )
    rows = fits(again)
    lost = rows[rows["status"].str.startswith("RuntimeError")]
    assert lost.groupby("strategy").size().to_dict() == {
        "amortised": 7, "linear": 7, "dedicated": 1,
    }  # fmt: skip
    assert len(rows) == 2 * len(GRID.cells) + 3
    assert set(lost.loc[lost["strategy"] != "dedicated", "target"]) == {"age"}
    predictions = pd.read_parquet(again / PREDICTIONS)
    assert set(predictions["target"]) == set(GRID.targets) - set(CONSTANT) - {"age"}
