from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from modelling_cases import (
    CONSTANT,
    GRID,
    MODELLING,
    PARTS,
    catalog_of,
    invented_cohort,
    people_of,
    run,
    work_of,
)
from reporting_cases import ROOT

from ukb_brain.errors import InputError
from ukb_brain.pipelines import feature_tabular, search
from ukb_brain.search import heads
from ukb_brain.search.heads import judge_heads
from ukb_brain.search.plans import plan_heads, without_test
from ukb_brain.search.settings import Search

READABLE = {"sex", "age", "smoking", "body_fat", "worry"}
SEARCH = {
    "encoders": {
        "trials": 4,
        "round": 2,
        "at_random": 2,
        "pruner": {"startup": 1, "warm_up": 1},
        "space": {
            "encoders.loop.learning_rate": {"kind": "float", "low": 1e-4, "high": 0.1, "log": True},
            "encoders.network.options.volume.width": {"kind": "choice", "of": [2, 4]},
        },
    },
    "heads": {
        "trials": 3,
        "round": 2,
        "at_random": 2,
        "parts": 2,
        "space": {
            "heads.images": {"kind": "choice", "of": [[0.1, 3, 1000], [1, 100]]},
            "cross_fits": {"kind": "int", "low": 2, "high": 4},
            "ladder": {"kind": "choice", "of": [True, False]},
        },
    },
}


def with_changes(**changes):
    """The search, but for some settings of a study."""
    return Search(**{study: SEARCH[study] | changes.get(study, {}) for study in SEARCH})


def search_in(root, given=None, **changes):
    text = (ROOT / "conf/base/catalog_search.yml").read_text().replace("${_root}", str(root))
    catalog = catalog_of(root, **changes)
    for name in (own := DataCatalog.from_config(yaml.safe_load(text))):
        catalog[name] = own[name]
    catalog["params:search"] = given or with_changes()
    catalog["params:source"] = "synthetic"
    SequentialRunner().run(search.create_pipeline(), catalog)
    return table_of(root)


def table_of(root):
    return pd.read_parquet(root / "07_model_output/search_trials.parquet")


@pytest.fixture(scope="module")
def invented():
    """An invented cohort; to be copied before it is changed."""
    return invented_cohort()


@pytest.fixture(scope="module")
def before(invented, tmp_path_factory):
    """Data root of a run of modelling and of the search."""
    root = run(tmp_path_factory.mktemp("before"), invented)
    search_in(root)
    return root


def of_study(table, kind):
    return table[table["study"].str.startswith(kind)].reset_index(drop=True)


def test_both_studies_begin_with_the_settings_as_they_are(before):
    table = table_of(before)
    encoders, regressions = of_study(table, "encoders"), of_study(table, "heads")
    assert encoders["number"].tolist() == [0, 1, 2, 3]
    assert regressions["number"].tolist() == [0, 1, 2]
    assert encoders["encoders.loop.learning_rate"][0] == 0.01
    assert encoders["encoders.network.options.volume.width"][0] == 4
    assert regressions.loc[0, ["cross_fits", "ladder"]].tolist() == [3, "true"]
    assert regressions["heads.images"][0] == "[0.1, 3, 1000]"
    assert encoders["epochs"][0] == MODELLING.encoders.loop.epochs
    assert set(regressions["state"]) == {"complete"}
    # Something is read from the images and blocks.
    assert 0.3 < regressions["value"].min() < 0.9


def test_what_is_written_says_what_was_best_and_that_data_are_synthetic(before):
    text = (before / "08_reporting/search.md").read_text()
    best = of_study(table_of(before), "encoders").query("state == 'complete'")["value"].min()
    assert f"{best:.4f}" in text
    assert "SYNTHETIC" in text
    assert not any(str(eid) in text for eid in people_of(invented_cohort()).eid)


def test_a_finished_search_adds_nothing(before):
    table, text = table_of(before), (before / "08_reporting/search.md").read_bytes()
    pd.testing.assert_frame_equal(search_in(before), table)
    assert (before / "08_reporting/search.md").read_bytes() == text


def test_more_trials_are_added_and_another_space_is_another_study(before):
    table = table_of(before)
    more = search_in(before, with_changes(heads={"trials": 4}))
    assert len(of_study(more, "heads")) == 4
    pd.testing.assert_frame_equal(of_study(more, "heads")[:3], of_study(table, "heads"))
    space = SEARCH["heads"]["space"] | {"cross_fits": {"kind": "int", "low": 2, "high": 3}}
    other = search_in(before, with_changes(heads={"trials": 1, "space": space}))
    assert of_study(other, "heads")["study"].nunique() == 2
    assert len(other) == len(more) + 1


def test_test_people_reach_no_trial(invented, before, tmp_path):
    table = search_in(before)
    altered = invented.of("test")
    after = run(tmp_path / "after", invented.overwrite(altered), before, altered)
    found = search_in(after)
    tried = table["study"].isin(found["study"]) & (table["number"] < 4)
    columns = found.columns.drop("seconds")
    expected = table.loc[tried].merge(found[["study", "number"]], on=["study", "number"])
    assert len(found) == 4 + 3
    pd.testing.assert_frame_equal(expected[columns], found[columns], check_exact=True)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_other_people_make_another_study(invented, before, part):
    people = without_test(people_of(invented))
    regressions = with_changes().heads
    one = plan_heads(regressions, work_of(people, folder=before / "06_models"))
    people.targets["age"][np.flatnonzero(part == PARTS)[0]] += 1
    two = plan_heads(regressions, work_of(people, folder=before / "06_models"))
    assert one.study != two.study


def test_people_who_are_judged_have_no_part_in_fitting_or_choosing(invented, before, monkeypatch):
    people = without_test(people_of(invented))
    plan = plan_heads(with_changes().heads, work_of(people, folder=before / "06_models"))
    fit, seen = heads.fit_cells_of_target, []

    def watched(job, folder):
        seen.append(job)
        model = fit(job, folder)
        # Judged are encodings, and not what is left where there are none.
        rows = [row for row in model.card["cells"] if row["strategy"] == "amortised"]
        assert {row["status"] for row in rows} == {"ok"}
        return model

    monkeypatch.setattr(heads, "fit_cells_of_target", watched)
    trial = plan.payload(dict(plan.start), None)
    card = judge_heads(trial, before / "06_models/search/scratch")
    assert set(card["losses"]) == READABLE == set(GRID.targets) - set(CONSTANT)
    assert {job.target for job in seen} == READABLE
    for target in READABLE:
        parts = [job.people.part for job in seen if job.target == target]
        judged = np.stack([part == heads.JUDGED for part in parts])
        np.testing.assert_array_equal(judged.sum(axis=0), PARTS == "train")
        for part in parts:
            assert set(part[PARTS == "test"]) == {"left out"}
            assert set(part[PARTS == "validation"]) == {"validation"}
    # What the fits give does not depend on what the judged people's answers are.
    job = next(job for job in seen if job.target == "age")
    mine = job.people.part == heads.JUDGED
    turned = {**job.people.targets, "age": np.where(mine, -job.y, job.y)}
    other = replace(job, people=replace(job.people, targets=turned))
    one, two = (fit(each, before).arrays for each in (job, other))
    assert set(one) == set(two)
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def test_the_loss_of_a_cell_is_what_numpy_says(invented, before, monkeypatch):
    """Of one target and three cells: perfect, wrong by five years, and not fitted."""
    people = without_test(people_of(invented))
    plan = plan_heads(with_changes().heads, work_of(people, folder=before / "06_models"))
    trial = plan.payload(dict(plan.start), None)
    age = next(job for job in trial.jobs if job.target == "age")
    cells = age.cells[:3]
    guess = {cells[0].inputs.name: 0.0, cells[1].inputs.name: 5.0, cells[2].inputs.name: None}

    def given(job, folder):
        model = heads.Model({}, {"cells": []})
        there = heads.predicted_rows(job.people)
        for name, error in guess.items():
            status = "ok" if error is not None else "no solution"
            row = {"strategy": "amortised", "seed": 0, "inputs": name, "status": status}
            model.card["cells"].append(row | {"target": "age"})
            if error is not None:
                model.arrays[f"predictions/amortised/0/age/{name}"] = job.y[there] + error
        return model

    monkeypatch.setattr(heads, "fit_cells_of_target", given)
    one = replace(trial, jobs=(replace(age, cells=cells),))
    card = judge_heads(one, before / "06_models/search/scratch")
    dealt = heads.judged_parts(people, trial.parts)
    usable = people.usable(cells[1])
    errors = means = 0.0
    for part in range(trial.parts):
        judged, fitted = usable & (dealt == part), usable & (dealt >= 0) & (dealt != part)
        errors += 25.0 * judged.sum()
        means += ((age.y[judged] - age.y[fitted].mean()) ** 2).sum()
    assert card["losses"]["age"] == pytest.approx((0.0 + errors / means + 1.0) / 3)


def test_mistakes_are_found_before_anything_runs(invented, tmp_path, before):
    blocks = feature_tabular.create_pipeline()
    root = run(tmp_path / "few", invented, before, [], pipeline=blocks)
    database = root / "06_models/search/trials.db"
    with pytest.raises(InputError, match="2 of 2 models of encoders are missing"):
        search_in(root)
    space = {"encoders.loop.speed": {"kind": "int", "low": 1, "high": 2}}
    with pytest.raises(InputError, match=r"encoders\.loop\.speed"):
        search_in(root, with_changes(encoders={"space": space}))
    linear = MODELLING.model_copy(update={"strategies": ("linear",)})
    with pytest.raises(InputError, match=r"needs encoders, and modelling\.strategies has no amort"):
        search_in(root, modelling=linear)
    assert not database.exists()
    table = search_in(root, with_changes(heads={"trials": 0}, encoders={"trials": 1}))
    assert len(table) == 1
    storage = f"sqlite:///{database}"
    assert len(optuna.get_all_study_names(storage)) == 1


def test_models_of_other_settings_are_refused(before):
    other = MODELLING.model_copy(
        update={"encoders": MODELLING.encoders.model_copy(update={"cross_fits": 3})}
    )
    with pytest.raises(InputError, match="1 of 3 models of encoders are missing"):
        search_in(before, modelling=other)
