import json
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from modelling_cases import (
    CONSTANT,
    GRID,
    MODELLING,
    PARTS,
    catalog_of,
    invented_cohort,
    people_of,
    run,
)

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.pipelines import feature_tabular
from ukb_brain.pipelines.modelling import nodes
from ukb_brain.tables.blocks import fit_scaling
from ukb_brain.training.people import gather

MODELS = ("components", "linear", "encoders", "amortised")
OF_PEOPLE = (
    "04_feature/components",
    "04_feature/encodings",
    "07_model_output/linear/scores",
    "07_model_output/predictions",
)
# What differs between two runs of the same thing, and what is scored on people outside training.
TIMINGS = ["train_seconds"]
SCORES = ["loss", "n_val", "n_test"]


@pytest.fixture(scope="module")
def invented():
    """An invented cohort; to be copied before it is changed."""
    return invented_cohort()


@pytest.fixture(scope="module")
def before(invented, tmp_path_factory):
    """Data root of a run."""
    return run(tmp_path_factory.mktemp("before"), invented)


def card(root, model):
    read = json.loads((root / f"06_models/{model}/card.json").read_text())
    return {key: value for key, value in read.items() if key != "seconds"}


def fits(root, without=TIMINGS):
    return pd.read_parquet(root / "07_model_output/cell_fits.parquet").drop(columns=without)


def assert_nothing_fitted_differs(before, after):
    """Compare everything that is fitted or chosen, byte by byte."""
    models = sorted(path.name for path in before.glob("06_models/*"))
    files = [f"06_models/{model}/model.safetensors" for model in models]
    for file in ("04_feature/block_scaling.parquet", *files):
        assert (before / file).read_bytes() == (after / file).read_bytes(), file
    for model in models:
        assert card(before, model) == card(after, model)
    if models:
        without = TIMINGS + SCORES
        pd.testing.assert_frame_equal(fits(before, without), fits(after, without), check_exact=True)


def assert_others_are_predicted_alike(before, after, altered):
    for name in OF_PEOPLE:
        old, new = (pd.read_parquet(root / f"{name}.parquet") for root in (before, after))
        others = [table[~table["eid"].isin(altered)].reset_index(drop=True) for table in (old, new)]
        pd.testing.assert_frame_equal(*others, check_exact=True)
        assert not old.equals(new), name


@pytest.mark.parametrize("part", ["validation", "test"])
def test_canary_values_of_people_outside_training_change_nothing_fitted(
    invented, before, tmp_path, part
):
    altered = invented.of(part)[::2]
    after = run(tmp_path, invented.overwrite(altered), before, altered)
    assert_nothing_fitted_differs(before, after)
    assert_others_are_predicted_alike(before, after, altered)


def test_values_of_training_people_change_everything_fitted(invented, before, tmp_path):
    altered = invented.of("train")[:1]
    after = run(tmp_path, invented.overwrite(altered), before, altered)
    for model in MODELS:
        files = [root / f"06_models/{model}/model.safetensors" for root in (before, after)]
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
    after = run(tmp_path, leaky, before, altered[:0])
    assert_nothing_fitted_differs(before, after)


def scale_with_everybody(targets, splits, traits):
    honest = fit_scaling(targets, splits, traits)
    leaky = fit_scaling(targets, splits.assign(part="train"), traits)
    # Its fingerprint would give it away before any model is fitted.
    return leaky.assign(training_people=honest["training_people"])


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_canary_dies_of_a_leaky_scaler(invented, tmp_path, monkeypatch, part):
    altered = invented.of(part)
    scaling = feature_tabular.create_pipeline()

    def check(where):
        roots = [
            run(tmp_path / where / when, each, pipeline=scaling)
            for when, each in (("before", invented), ("after", invented.overwrite(altered)))
        ]
        assert_nothing_fitted_differs(*roots)

    monkeypatch.setattr("modelling_cases.Cohort.save_scans", lambda *_: None)
    check("sound")
    monkeypatch.setattr(feature_tabular.nodes, "fit_scaling", scale_with_everybody)
    with pytest.raises(AssertionError, match=r"block_scaling\.parquet"):
        check("leaky")


def changed_cells(before, after, eid):
    """Cells of which a person's prediction is another."""
    keys = ["strategy", "target", "inputs"]
    tables = []
    for root in (before, after):
        table = pd.read_parquet(root / "07_model_output/predictions.parquet")
        mine = table[table["eid"] == eid].astype(dict.fromkeys(keys, str))
        tables.append(mine.set_index(keys)["y_pred"].sort_index())
    assert tables[0].index.equals(tables[1].index)
    return {key for key in tables[0].index if tables[0][key] != tables[1][key]}


def cells_with(groups=(), blocks=()):
    return {
        (strategy, cell.target, cell.inputs.name)
        for strategy in ("linear", "amortised")
        for cell in GRID.cells
        if cell.target not in CONSTANT
        and (set(groups) & set(cell.inputs.groups) or set(blocks) & set(cell.inputs.blocks))
    }


@pytest.fixture(scope="module")
def complete(invented):
    """A test person of whom everything is known."""
    people = people_of(invented)
    known = people.having(tuple(GRID.imaging)) & (PARTS == "test")
    known &= np.all([np.isfinite(y) for y in people.targets.values()], axis=0)
    return int(people.eid[known][0])


@pytest.mark.parametrize(("group", "modality"), [("diffusion", "dwi"), ("functional", "rsfmri")])
def test_a_scan_reaches_the_cells_of_its_group_only(
    invented, before, tmp_path, complete, group, modality
):
    other = invented.copy()
    other.scans[modality][complete - invented.eid[0]] += 3
    after = run(tmp_path, other, before, [complete])
    assert changed_cells(before, after, complete) == cells_with(groups=[group])


@pytest.mark.parametrize(("block", "trait"), [("disease", "smoking"), ("psychology", "worry")])
def test_a_trait_reaches_the_cells_with_its_block_only(
    invented, before, tmp_path, complete, block, trait
):
    other = invented.copy()
    targets = other.tables["primary.targets"]
    mine = targets["eid"] == complete
    targets.loc[mine, trait] = 1 - targets.loc[mine, trait]
    after = run(tmp_path, other, before, [])
    assert changed_cells(before, after, complete) == cells_with(blocks=[block])


@pytest.fixture
def one_cluster(monkeypatch):
    """Start workers once rather than for each step, which takes seconds."""
    started = []

    def start(**settings):
        if not started:
            started.append(LocalCluster(**settings))
        return nullcontext(started[0])

    monkeypatch.setattr("distributed.LocalCluster", start)
    yield started
    for cluster in started:
        cluster.close()


def test_the_number_of_workers_changes_nothing(invented, before, tmp_path, one_cluster):
    after = run(tmp_path, invented, before, [], compute=Compute(workers=2))
    assert len(one_cluster[0].workers) == 2
    assert_nothing_fitted_differs(before, after)
    for name in (*OF_PEOPLE, "04_feature/blocks"):
        files = [root / f"{name}.parquet" for root in (before, after)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    pd.testing.assert_frame_equal(fits(before), fits(after), check_exact=True)


def test_a_target_of_one_class_is_recorded_and_everything_else_is_fitted(before):
    rows = fits(before)
    assert len(rows) == 2 * len(GRID.cells)
    reasons = np.where(rows["target"].isin(CONSTANT), "one class in training", "ok")
    assert rows["status"].tolist() == reasons.tolist()
    predictions = pd.read_parquet(before / "07_model_output/predictions.parquet")
    assert set(predictions["target"]) == set(GRID.targets) - set(CONSTANT)
    linear = predictions["strategy"] == "linear"
    assert linear.sum() == (~linear).sum() > 0


def test_something_is_read_from_the_scans(before):
    predictions = pd.read_parquet(before / "07_model_output/predictions.parquet")
    of_images = predictions[
        (predictions["target"] == "sex") & (predictions["inputs"] == "FLAIR + T1")
    ]
    for _, rows in of_images.groupby("strategy", observed=True):
        assert rows["y_pred"].corr(rows["y_true"]) > 0.3


def test_models_of_other_training_people_are_refused(invented, before):
    catalog = catalog_of(before)
    other = invented.copy()
    splits = other.tables["primary.splits"]
    rows = [0, 1, len(splits) - 2, len(splits) - 1]
    splits.loc[rows, "part"] = splits.loc[rows[::-1], "part"].to_numpy()
    strangers = people_of(other)
    stores = [catalog.load(f"intermediate.{name}") for name in ("volumes", "connectivity")]
    with pytest.raises(InputError, match=r"model\.components was fitted on .* another split"):
        nodes.score_components(
            catalog.load("model.components"), *stores, strangers, GRID, MODELLING
        )
    honest = [other.tables[f"primary.{name}"] for name in ("targets", "splits")]
    with pytest.raises(InputError, match=r"feature\.block_scaling was fitted on .* another split"):
        gather(
            honest[0],
            catalog.load("feature.blocks"),
            catalog.load("feature.block_scaling"),
            honest[1],
            other.tables["primary.participants"],
            other.tables["primary.quality"],
            GRID,
            0,
        )
    with pytest.raises(InputError, match=r"model\.encoders .* 06_models"):
        nodes.fit_heads(
            strangers,
            catalog.load("feature.encodings"),
            catalog.load("model.encoders"),
            catalog.load("model_output.linear_scores"),
            catalog.load("model_output.linear_fits"),
            GRID,
            MODELLING,
            Compute(workers=1),
            5,
        )
