"""Canaries: whose values reach what is fitted, and whose predictions."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from modelling_cases import (
    CONSTANT,
    EVERY,
    GRID,
    MODELLING,
    changed,
    people_of,
    run,
)
from modelling_runs import (
    KINDS,
    NOBODY,
    PREDICTIONS,
    assert_models_are_alike,
    assert_others_are_predicted_alike,
    assert_scaling_is_alike,
    fits,
    models_of,
    rows_of,
)

from ukb_brain.ledger.artifact import Model, read_model
from ukb_brain.pipelines import feature_tabular, modelling
from ukb_brain.pipelines.modelling import nodes
from ukb_brain.tables import blocks
from ukb_brain.tables.blocks import fit_scaling


def test_canary_values_of_test_people_change_nothing_but_their_predictions(
    invented, before, tmp_path
):
    altered = invented.of("test")[::2]
    after = run(tmp_path, invented.overwrite(altered), before, altered, modelling=EVERY)
    assert_scaling_is_alike(before, after)
    assert_models_are_alike(before, after, rows_of(invented, altered))
    assert_others_are_predicted_alike(before, after, altered)
    timings = ["train_seconds", "shared_seconds"]
    pd.testing.assert_frame_equal(
        *(fits(root).drop(columns=timings) for root in (before, after)), check_exact=True
    )


@pytest.fixture(scope="module")
def other_validation(invented, before, tmp_path_factory):
    """The run, but all is another of half of the validation people."""
    altered, root = invented.of("validation")[::2], tmp_path_factory.mktemp("validation")
    return run(root, invented.overwrite(altered), before, altered, modelling=EVERY)


def test_canary_values_of_validation_people_change_nothing_fitted(
    invented, before, other_validation
):
    altered = rows_of(invented, invented.of("validation")[::2])
    assert_scaling_is_alike(before, other_validation)
    assert_models_are_alike(before, other_validation, altered, ["grams"])
    # They say which epoch of a network is kept, and nothing else.
    kept = 0
    for model in (*models_of(before, "encoders"), *models_of(before, "dedicated")):
        old, new = (read_model(root / model) for root in (before, other_validation))
        curves = [card["curves"].get("train") for card in (old.card, new.card)]
        assert curves[0] == curves[1]
        weights = [name for name in old.arrays if name.startswith("weights/")]
        if old.card["best_epoch"] == new.card["best_epoch"]:
            assert all(old.arrays[n].tobytes() == new.arrays[n].tobytes() for n in weights)
            kept += len(weights)
    assert kept


def test_canary_validation_people_choose_and_calibrate_only(
    invented, before, other_validation, tmp_path
):
    """Where nothing is left to choose, they change calibration and their own predictions.

    Of what rests on encoders: kernels learn from them too, and score them by fits that left them
    out.
    """
    one = {"images": [1.0], "traits": [0.1]}
    fixed = changed(
        MODELLING,
        heads=one,
        average=["head"],
        ladder=False,
        encoders__loop__epochs=1,
    )
    altered = invented.of("validation")[::2]
    roots = []
    for root, cohort in ((before, invented), (other_validation, invented.overwrite(altered))):
        roots.append(tmp_path / str(len(roots)))
        shutil.copytree(root, roots[-1])
        run(roots[-1], cohort, altered=NOBODY, modelling=fixed)
    coefficients = 0
    for model in models_of(roots[0], "cells"):
        old, new = (read_model(root / model) for root in roots)
        for name, array in old.arrays.items():
            if name.startswith("coefficients/"):
                assert array.tobytes() == new.arrays[name].tobytes(), (model, name)
                coefficients += 1
    assert coefficients == sum(cell.target not in CONSTANT for cell in GRID.cells)
    asked = "split == 'test' and strategy == 'amortised'"
    tables = [pd.read_parquet(root / PREDICTIONS).query(asked) for root in roots]
    assert not tables[0]["y_pred"].equals(tables[1]["y_pred"])
    keys = ["strategy", "target", "inputs"]
    for _, rows in pd.concat(tables, keys=[0, 1]).groupby(keys, observed=True):
        # Calibration keeps the order of people.
        assert rows.loc[0]["y_pred"].corr(rows.loc[1]["y_pred"], "spearman") > 0.999


def test_values_of_training_people_change_everything_fitted(invented, before, tmp_path):
    people = people_of(invented)
    whole = people.train & people.having(tuple(GRID.imaging))
    whole &= np.all([np.isfinite(y) for y in people.targets.values()], axis=0)
    altered = people.eid[whole][:1]
    after = run(tmp_path, invented.overwrite(altered), before, altered, modelling=EVERY)
    # Targets that were constant are so no longer.
    for model in models_of(before):
        # Matrices that came without time series are not read in tangent space.
        if "/steps/" in str(model) or "/vectors/" in str(model):
            continue
        files = [root / model / "model.safetensors" for root in (before, after)]
        assert files[0].read_bytes() != files[1].read_bytes(), model


def test_canary_a_label_in_a_trait_of_test_people_changes_nothing_fitted(
    invented, before, tmp_path
):
    altered = invented.of("test")
    leaky = invented.copy()
    targets = leaky.tables["primary.targets"]
    mine = targets["eid"].isin(altered)
    targets.loc[mine, "worry"] = targets.loc[mine, "smoking"]
    targets.loc[mine, "age"] = targets.loc[mine, "body_fat"]
    # Products of scans see no trait, and are there already; everything else is made anew.
    for folder in ("02_intermediate", "06_models/grams"):
        shutil.copytree(before / folder, tmp_path / folder)
    after = run(tmp_path, leaky, altered=NOBODY, modelling=EVERY)
    assert_scaling_is_alike(before, after)
    # Fewer of them have a known answer, so fewer are counted and predicted.
    kinds = ("kernels", "encoders", "cells", "dedicated")
    assert_models_are_alike(before, after, rows_of(invented, altered), kinds, {"n_test"})


def scale_with_everybody(targets, splits, traits, cut):
    honest = fit_scaling(targets, splits, traits, cut)
    leaky = fit_scaling(targets, splits.assign(part="train"), traits, cut)
    # Its fingerprint would give it away before any model is fitted.
    return leaky.assign(training_people=honest["training_people"])


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_canary_dies_of_a_leaky_scaler(invented, tmp_path, monkeypatch, part):
    altered = invented.of(part)
    scaling = feature_tabular.create_pipeline()

    def check(where):
        roots = [
            run(tmp_path / where / when, each, altered=NOBODY, pipeline=scaling)
            for when, each in (("before", invented), ("after", invented.overwrite(altered)))
        ]
        assert_scaling_is_alike(*roots)

    check("sound")
    monkeypatch.setattr(blocks, "fit_scaling", scale_with_everybody)
    with pytest.raises(AssertionError, match=r"block_scaling\.parquet"):
        check("leaky")


@pytest.mark.parametrize(
    ("leaks_in", "named"),
    [
        ("grams", "grams/fold0-diffusion"),
        ("kernels", "kernels/fold0-kernels-diffusion"),
        ("cells", "cells/fold0-age"),
    ],
)
def test_the_canary_dies_of_a_leaky_model(invented, before, tmp_path, monkeypatch, leaks_in, named):
    """A step that takes test people for training people is found out by what it leaves."""
    function = getattr(nodes, KINDS[leaks_in])

    def leaky(job, folder):
        part = np.where(job.people.part == "test", "train", job.people.part)
        model = function(replace(job, people=replace(job.people, part=part)), folder)
        # Nobody is left to be predicted: only what was learned can give it away.
        kept = {k: v for k, v in model.arrays.items() if not k.startswith("predictions/")}
        return Model(kept, {"cells": []})

    monkeypatch.setattr(nodes, KINDS[leaks_in], leaky)
    everything = feature_tabular.create_pipeline() + modelling.create_pipeline()
    last = {"grams": "multiply_scans", "kernels": "fit_kernels", "cells": "fit_cells"}[leaks_in]
    altered, roots = invented.of("test")[::2], []
    for written, cohort in ((NOBODY, invented), (altered, invented.overwrite(altered))):
        roots.append(tmp_path / str(len(roots)))
        run(roots[-1], cohort, before, written, pipeline=everything.to_nodes(last))
    with pytest.raises(AssertionError, match=named):
        assert_models_are_alike(*roots, rows_of(invented, altered), [leaks_in])
