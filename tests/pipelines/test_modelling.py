import json
import re
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from modelling_cases import (
    CONSTANT,
    EVERY,
    GRID,
    MODELLING,
    PARTS,
    TESTED_TWICE,
    catalog_of,
    changed,
    invented_cohort,
    people_of,
    run,
)

from ukb_brain.cluster import Compute, workers_kept
from ukb_brain.errors import InputError
from ukb_brain.ledger.artifact import Model, read_card, read_model
from ukb_brain.pipelines import feature_tabular, modelling
from ukb_brain.pipelines.modelling import nodes
from ukb_brain.tables.blocks import fit_scaling
from ukb_brain.tables.splits import Splitting, make_splits
from ukb_brain.training.dedicated import drawn_cells
from ukb_brain.training.people import gather
from ukb_brain.training.results import FINAL, UNREFINED

KINDS = {
    "grams": "gram_of_group",
    "kernels": "fit_set",
    "encoders": "train_encoder",
    "cells": "fit_cells_of_target",
    "dedicated": "train_dedicated",
}
SETS = len({cell.inputs.groups for cell in GRID.cells})
NUMBERS = {
    "grams": 3, "kernels": SETS, "encoders": 2, "cells": len(GRID.targets), "dedicated": 3,
}  # fmt: skip
PREDICTIONS, FITS = "07_model_output/predictions.parquet", "07_model_output/cell_fits.parquet"
NOBODY = np.array([], dtype=np.int64)
# What differs between two runs of the same thing, and what names the people of a run.
TIMINGS, OF_PEOPLE = {"seconds", "finished", "wait_share"}, {"hash"}
# People of these arrays, by axis; the predictions' are validation and test people.
BY_PERSON = {"scores": 0, "outputs": 1}


@pytest.fixture(scope="module")
def invented():
    """An invented cohort; to be copied before it is changed."""
    return invented_cohort()


@pytest.fixture(scope="module")
def before(invented, tmp_path_factory):
    """Data root of a run of every strategy."""
    return run(tmp_path_factory.mktemp("before"), invented, modelling=EVERY)


@pytest.fixture
def again(before, tmp_path):
    """A copy of it, to go on with."""
    shutil.copytree(before, tmp_path / "again")
    return tmp_path / "again"


def models_of(root, kind="*"):
    return sorted(
        str(path.parent.relative_to(root)) for path in root.glob(f"06_models/{kind}/*/card.json")
    )


def without(value, names):
    """A card without some of its values, however deep."""
    if isinstance(value, dict):
        return {k: without(v, names) for k, v in value.items() if k not in names}
    return [without(v, names) for v in value] if isinstance(value, list) else value


@cache
def having(group):
    return people_of(invented_cohort()).has[group]


def of_others(name, model, altered):
    """What an array says of people who are not altered, or of nobody in particular."""
    array, kind = model.arrays[name], name.split("/")[0]
    if kind in (FINAL, UNREFINED):
        return array[~altered[PARTS != "train"]]
    if kind in ("gram", "norms"):
        array = array[~altered[having(model.card["group"])]]
        return array[:, ~altered[model.arrays["columns"]]] if kind == "gram" else array
    return np.delete(array, altered, BY_PERSON[kind]) if kind in BY_PERSON else array


def rows_of(invented, eids):
    return np.isin(invented.eid, eids)


def assert_models_are_alike(before, after, altered, kinds=KINDS, but=frozenset()):
    """Compare all that is fitted or chosen, and all that is said of other people, byte by byte."""
    for kind in kinds:
        assert models_of(before, kind) == models_of(after, kind) != []
        for model in models_of(before, kind):
            old, new = (read_model(root / model) for root in (before, after))
            assert set(old.arrays) == set(new.arrays), model
            for name in old.arrays:
                pair = [of_others(name, each, altered).tobytes() for each in (old, new)]
                assert pair[0] == pair[1], (model, name)
            names = TIMINGS | OF_PEOPLE | but
            assert without(old.card, names) == without(new.card, names), model


def assert_scaling_is_alike(before, after):
    file = "04_feature/block_scaling.parquet"
    assert (before / file).read_bytes() == (after / file).read_bytes(), file


def assert_others_are_predicted_alike(before, after, altered):
    old, new = (pd.read_parquet(root / PREDICTIONS) for root in (before, after))
    others = [table[~table["eid"].isin(altered)].reset_index(drop=True) for table in (old, new)]
    pd.testing.assert_frame_equal(*others, check_exact=True)
    mine = [table.loc[table["eid"].isin(altered), "y_pred"] for table in (old, new)]
    assert (mine[0] != mine[1]).mean() > 0.9


def assert_files_are_alike(before, after):
    """Every array of every model, and every prediction."""
    assert models_of(before) == models_of(after)
    for model in models_of(before):
        file = f"{model}/model.safetensors"
        assert (before / file).read_bytes() == (after / file).read_bytes(), file
    assert (before / PREDICTIONS).read_bytes() == (after / PREDICTIONS).read_bytes()


def fits(root):
    return pd.read_parquet(root / FITS)


# ---- canaries -----------------------------------------------------------------------------------


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
        if "references" in str(model) or "tangents" in str(model):
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
    monkeypatch.setattr("ukb_brain.tables.blocks.fit_scaling", scale_with_everybody)
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


# ---- who sees what ------------------------------------------------------------------------------


def changed_cells(before, after, eid):
    """Cells of which a person's prediction is another."""
    keys = ["strategy", "target", "inputs"]
    tables = []
    for root in (before, after):
        table = pd.read_parquet(root / PREDICTIONS)
        mine = table[table["eid"] == eid].astype(dict.fromkeys(keys, str))
        tables.append(mine.set_index(keys)["y_pred"].sort_index())
    assert tables[0].index.equals(tables[1].index)
    return {key for key in tables[0].index if tables[0][key] != tables[1][key]}


def cells_with(groups=(), blocks=()):
    of_strategy = dict.fromkeys(("linear", "amortised"), GRID.cells)
    return {
        (strategy, cell.target, cell.inputs.name)
        for strategy, cells in (of_strategy | {"dedicated": drawn_cells(GRID, 3)}).items()
        for cell in cells
        if cell.target not in CONSTANT
        and (set(groups) & set(cell.inputs.groups) or set(blocks) & set(cell.inputs.blocks))
    }


def without_images(root):
    """Linear cells in whose fit nothing is left to images."""
    rows = fits(root).query("strategy == 'linear' and image_penalty.isna()")
    return set(rows[["strategy", "target", "inputs"]].itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def complete(invented):
    """Test people of whom everything is known."""
    people = people_of(invented)
    known = people.having(tuple(GRID.imaging)) & (PARTS == "test")
    known &= np.all([np.isfinite(y) for y in people.targets.values()], axis=0)
    return [int(eid) for eid in people.eid[known]]


# Each changed in one test person; groups and blocks whose cells may change.
CHANGES = {
    "dwi": {"groups": ["diffusion"]},
    "rsfmri": {"groups": ["functional"]},
    "smoking": {"blocks": ["disease"]},
    "worry": {"blocks": ["psychology"]},
}


@pytest.fixture(scope="module")
def each_changed(invented, before, complete, tmp_path_factory):
    """Runs before and after, without and with the ladder."""
    other = invented.copy()
    targets = other.tables["primary.targets"]
    for name, eid in zip(CHANGES, complete, strict=False):
        if name in other.scans:
            other.scans[name][eid - invented.eid[0]] += 3
        else:
            targets.loc[targets["eid"] == eid, name] = 1 - targets.loc[targets["eid"] == eid, name]
    after = tmp_path_factory.mktemp("after")
    run(after, other, before, np.array(complete), modelling=EVERY)
    roots = {True: (before, after)}
    flat = [tmp_path_factory.mktemp("flat") / when for when in ("before", "after")]
    for cohort, source, root in zip((invented, other), (before, after), flat, strict=True):
        shutil.copytree(source, root)
        run(root, cohort, altered=NOBODY, modelling=changed(EVERY, ladder=False))
    return roots | {False: tuple(flat)}


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_scan_or_trait_reaches_the_cells_with_its_group_or_block_only(
    each_changed, complete, name
):
    eid = complete[list(CHANGES).index(name)]
    may = cells_with(**CHANGES[name])
    # With traits beside them images may be left out.
    if "groups" in CHANGES[name]:
        deaf = without_images(each_changed[False][0])
        assert len(may & deaf) < len(may) / 10
        may -= deaf
    assert changed_cells(*each_changed[False], eid) == may
    # On the ladder a cell may do without what changed, and never takes up what is not its own.
    found = changed_cells(*each_changed[True], eid)
    assert found <= may
    assert {cell for cell in found if cell[0] != "amortised"} == {
        cell for cell in may if cell[0] != "amortised"
    }


# ---- what is done again -------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """Count how often each kind of work is done in this process."""
    counted = dict.fromkeys(KINDS, 0)

    def counting(kind, function):
        def call(job, folder):
            counted[kind] += 1
            return function(job, folder)

        return call

    for kind, name in KINDS.items():
        monkeypatch.setattr(nodes, name, counting(kind, getattr(nodes, name)))
    return counted


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


# ---- failures -----------------------------------------------------------------------------------


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


# ---- folds, seeds, workers ----------------------------------------------------------------------


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


# ---- what comes out -----------------------------------------------------------------------------


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


# ---- what does not fit together -----------------------------------------------------------------


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
    return nodes.fit_cells(folder, people, *models, GRID, settings, Compute(workers=1))


def test_models_of_other_training_people_are_refused(invented, before):
    other = strangers_of(invented)
    with pytest.raises(InputError, match=r"fold0-seed0-without0 was fitted on .* another split"):
        fit_cells(before, {0: people_of(other)})
    honest = [other.tables[f"primary.{name}"] for name in ("targets", "splits")]
    catalog = catalog_of(before)
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


def test_kernels_of_other_training_people_are_refused(invented, again):
    for path in (again / "06_models/encoders").glob("*/card.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"fold0-kernels-diffusion was fitted on .* 06_models"):
        fit_cells(again, {0: people_of(strangers_of(invented))})


def test_products_of_other_training_people_are_refused(invented, before):
    catalog, other = catalog_of(before), {0: people_of(strangers_of(invented))}
    folder, grams = (catalog.load(f"model.{name}") for name in ("folder", "grams"))
    with pytest.raises(InputError, match=r"fold0-diffusion was fitted on .* another split"):
        nodes.fit_kernels(folder, other, grams, GRID, MODELLING, Compute(workers=1))


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
