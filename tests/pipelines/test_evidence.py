import shutil
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from modelling_cases import GRID, MODELLING, N, catalog_of, invented_cohort, run
from reporting_cases import ROOT
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from ukb_brain.errors import InputError
from ukb_brain.evidence.folds import leave_sites_out
from ukb_brain.evidence.settings import Evidence
from ukb_brain.pipeline_registry import APART
from ukb_brain.pipelines import evidence
from ukb_brain.tables.splits import Splitting

SETTINGS = {
    "draws": 200,
    "learning_curves": {"shares": [0.25, 0.5], "repeats": 2},
    "left_out_sites": {"inputs": ["fullest"]},
    "model_scale": {
        "inputs": ["fullest"],
        "variants": {"narrow": {"encoders.network.options": {"volume": {"stem": 2, "width": 2}}}},
    },
}
TABLES = ("learning_curves", "learning_curve_fits", "left_out_sites", "model_scale")
BASE = ["sex", "age"]


def cohort_of_two_sites():
    """Half of the families were scanned at each site; some come back at the other one."""
    cohort = invented_cohort()
    people = cohort.tables["primary.participants"]
    people["site"] = np.where(people["family"] % 2, 11025, 11026)
    people.loc[people["instance"] == 3, "site"] = 11026
    return cohort


def changed(**parts):
    settings = deepcopy(SETTINGS)
    for part in ("learning_curves", "left_out_sites", "model_scale"):
        # Those of the invented map.
        settings[part]["strategies"] = list(MODELLING.strategies)
    for part, values in parts.items():
        settings[part] |= values
    return Evidence(**settings)


def evidence_in(root, given=None, **changes):
    texts = [
        (ROOT / f"conf/base/catalog_{name}.yml").read_text() for name in ("evidence", "reporting")
    ]
    catalog = catalog_of(root, **changes)
    own = DataCatalog.from_config(yaml.safe_load("\n".join(texts).replace("${_root}", str(root))))
    for name in ("model.evidence", *(f"reporting.{table}" for table in TABLES)):
        catalog[name] = own[name]
    catalog["params:evidence"] = given or changed()
    catalog["params:splitting"] = Splitting(min_per_part=5)
    SequentialRunner().run(evidence.create_pipeline(), catalog)
    return tables_of(root)


def tables_of(root):
    return {name: pd.read_parquet(root / f"08_reporting/{name}.parquet") for name in TABLES}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Data root of a run of modelling and of evidence."""
    root = run(tmp_path_factory.mktemp("before"), cohort_of_two_sites())
    evidence_in(root)
    return root


def of_map(root):
    predictions = pd.read_parquet(root / "07_model_output/predictions.parquet")
    return predictions[predictions["split"] == "test"]


def test_learning_curves_end_at_the_map(before):
    curves = tables_of(before)["learning_curves"]
    sizes = curves.groupby(["share", "repeat"]).size()
    # Two targets of the base domain have one choice of inputs, five have two.
    assert sizes.to_dict() == {(0.25, 0): 24, (0.25, 1): 24, (0.5, 0): 24, (0.5, 1): 24, (1, 0): 24}
    sex = curves[(curves["target"] == "sex") & (curves["strategy"] == "amortised")]
    assert sex["n_train"].is_monotonic_increasing
    assert set(sex["n_test"]) == {sex["n_test"].iloc[0]}
    mine = of_map(before).query("target == 'sex' and strategy == 'amortised'")
    mine = mine[mine["inputs"] == sex["inputs"].iloc[0]]
    whole = sex[sex["share"] == 1].iloc[0]
    assert whole["score"] == pytest.approx(roc_auc_score(mine["y_true"], mine["y_pred"]))
    assert whole["skill"] == pytest.approx(2 * whole["score"] - 1)
    assert (whole["n_test"], whole["metric"]) == (len(mine), "AUC")


def test_every_curve_has_a_fit(before):
    tables = tables_of(before)
    fits, curves = tables["learning_curve_fits"], tables["learning_curves"]
    keys = ["target", "inputs", "strategy"]
    assert set(map(tuple, fits[keys].to_numpy())) == set(map(tuple, curves[keys].to_numpy()))
    readable = fits[fits["target"].isin(["sex", "age"])]
    assert (readable["n_sizes"] == 3).all()
    # Sex is read without any error from some subsets.
    assert (readable.loc[readable["target"] == "age", "training_sd"] > 0).all()
    # Nobody is guilty, and one class has no score.
    assert set(fits.loc[fits["target"] == "guilty", "shape"]) == {"too few sizes"}


def test_sites_are_scored_by_models_of_the_other(before):
    sites = tables_of(before)["left_out_sites"]
    assert set(sites["site"]) == {"11025", "11026", "all"}
    age = sites[(sites["target"] == "age") & (sites["strategy"] == "linear")].set_index("site")
    assert age.loc["all", "n_test"] == age.loc["11025", "n_test"] + age.loc["11026", "n_test"]
    assert age.loc["all", "skill"] > 0.3
    assert (age["metric"] == "R²").all()
    people = cohort_of_two_sites().tables["primary.participants"].iloc[:N]
    assert age.loc["11025", "n_test"] <= (people["site"] == 11025).sum()
    # Families of whom somebody came to this site at a later visit are not learned from.
    assert age.loc["11025", "n_train"] + age.loc["11025", "n_test"] < N


def test_variants_are_compared_on_the_same_people(before):
    scale = tables_of(before)["model_scale"]
    key = ["variant", "strategy"]
    sizes = scale.groupby(key).size()
    assert sizes.to_dict() == {
        (v, s): 7 for v in ("as it is", "narrow") for s in ("amortised", "linear")
    }
    sex = scale[scale["target"] == "sex"].set_index(key)
    assert sex.loc[("as it is", "amortised"), "gain"] == 0
    narrow, wide = (sex.loc[(v, "amortised")] for v in ("narrow", "as it is"))
    assert narrow["gain"] == pytest.approx(narrow["skill"] - wide["skill"])
    assert narrow["parameters"] < wide["parameters"]
    # The encoders alone differ, so that linear cells are the same.
    linear = [sex.loc[(v, "linear"), "skill"] for v in ("as it is", "narrow")]
    assert linear[0] == linear[1]
    assert sex.loc[("narrow", "linear"), "parameters"] != narrow["parameters"]
    folder = before / "06_models/evidence/model_scale/narrow"
    assert {home.name for home in folder.iterdir()} == {"encoders", "cells"}


def when(root):
    cards = (root / "06_models/evidence").glob("**/card.json")
    return {path: path.stat().st_mtime_ns for path in cards}


def test_what_is_done_is_not_done_again_and_another_share_is_added(before):
    tables, cards = tables_of(before), when(before)
    again = evidence_in(before)
    assert when(before) == cards
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)
    more = evidence_in(before, changed(learning_curves={"shares": [0.125, 0.25, 0.5]}))
    assert set(cards.items()) <= set(when(before).items())
    known = more["learning_curves"].query("share > 0.2").reset_index(drop=True)
    pd.testing.assert_frame_equal(known, tables["learning_curves"])


def test_test_people_are_neither_fitted_nor_chosen_on(before, tmp_path):
    """Other answers and scans of test people leave every model of subsets and variants as it is."""
    cohort = cohort_of_two_sites()
    altered = cohort.of("test")
    root = run(tmp_path / "after", cohort.overwrite(altered), before, altered)
    evidence_in(root, changed(left_out_sites={"strategies": []}))
    compared = 0
    for kind in ("learning_curves/cells", "model_scale/narrow/cells"):
        for path in (root / "06_models/evidence" / kind).glob("*/model.safetensors"):
            other = before / path.relative_to(root)
            one, two = (_coefficients(p) for p in (path, other))
            assert set(one) == set(two)
            for name, values in one.items():
                np.testing.assert_array_equal(values, two[name], err_msg=f"{path} {name}")
                compared += 1
    assert compared > 100
    assert tables_of(root)["left_out_sites"].empty


def _coefficients(path):
    return {k: v for k, v in load_file(path).items() if k.startswith("coefficients/")}


@pytest.mark.parametrize(
    ("given", "settings", "words"),
    [
        ({"strategies": ["amortised"]}, {}, "without linear"),
        ({}, {"strategies": ("linear",)}, "modelling.strategies has only linear"),
        ({}, {"cross_fits": 4}, None),
    ],
)
def test_what_does_not_fit_the_map_is_refused(before, given, settings, words):
    asked = changed(learning_curves=given)
    modelling = MODELLING.model_copy(update=settings)
    if words is None:
        encoders = modelling.encoders.model_copy(update={"cross_fits": 3})
        modelling, words = MODELLING.model_copy(update={"encoders": encoders}), "other settings"
    with pytest.raises(InputError, match=words):
        evidence_in(before, asked, modelling=modelling)


@pytest.mark.parametrize("path", ["encoders.speed", "encoders.loop.epochs.more", "ladder"])
def test_a_variant_that_is_none_is_refused(before, path):
    asked = changed(model_scale={"variants": {"odd": {path: "much"}}})
    with pytest.raises(InputError, match=r"model_scale\.variants\.odd"):
        evidence_in(before, asked)


def test_what_is_no_longer_asked_for_is_removed(before, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(before, root)
    none = {"strategies": []}
    tables = evidence_in(root, changed(learning_curves=none, left_out_sites=none, model_scale=none))
    assert all(table.empty for table in tables.values())
    assert len(when(before)) > 20
    assert not when(root)


def test_a_single_site_cannot_be_left_out(caplog):
    tables = {k.removeprefix("primary."): t for k, t in invented_cohort().tables.items()}
    given = (tables[name] for name in ("targets", "participants", "quality"))
    assert leave_sites_out(*given, Splitting(), GRID, Evidence(), 5) == {}
    assert "No site can be left out" in caplog.text


@pytest.mark.parametrize("shares", [[0.5, 1.0], [0.0], [0.5, 0.5], [0.12345]])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="shares"):
        changed(learning_curves={"shares": shares})


def test_it_is_outside_the_default_run():
    assert "evidence" in APART
