"""Whole runs of modelling with sites made alike."""

import logging

import numpy as np
import pandas as pd
import pytest
from modelling_cases import MODELLING, changed, invented_cohort, run
from modelling_runs import (
    PREDICTIONS,
    assert_models_are_alike,
    assert_others_are_predicted_alike,
    assert_scaling_is_alike,
    models_of,
    rows_of,
)

from ukb_brain.ledger.artifact import read_model

SETTINGS = changed(MODELLING, harmonise__by="site", harmonise__least_people=4)
HERE, THERE, NEW = 11025, 11026, 11027


@pytest.fixture(scope="module")
def invented():
    """Every second family was scanned elsewhere, and half of test people at a site of their own."""
    cohort = invented_cohort()
    people, splits = cohort.tables["primary.participants"], cohort.tables["primary.splits"]
    place = np.where(people["family"] % 2, THERE, HERE)
    tested = splits["eid"][splits["part"] == "test"].to_numpy()
    place[people["eid"].isin(tested[8:])] = NEW
    cohort.tables["primary.participants"] = people.assign(site=place)
    cohort.tables["primary.splits"] = splits.assign(
        part=splits["part"].mask(splits["eid"].isin(tested[8:12]), "set_aside")
    )
    by_person = people.assign(site=place).drop_duplicates("eid")["site"].to_numpy()
    shift = np.select([by_person == THERE, by_person == NEW], [4.0, -3.0], 0.0)
    cohort.scans["rsfmri"] = (cohort.scans["rsfmri"] + shift[:, None]).astype(np.float32)
    return cohort


@pytest.fixture(scope="module")
def before(invented, tmp_path_factory):
    return run(tmp_path_factory.mktemp("before"), invented, modelling=SETTINGS)


def test_vectors_of_sites_are_alike_and_kept_with_their_fold(invented, before):
    (model,) = models_of(before, "steps")
    arrays = read_model(before / model).arrays
    assert arrays["combat.sites"].tolist() == [HERE, THERE, NEW]
    assert arrays["combat.scale"].shape == arrays["combat.shift"].shape == (3, 10)
    shift = arrays["combat.shift"].mean(axis=1)
    assert shift[1] < shift[0] - 2 < shift[2] - 3


def test_people_set_aside_are_not_predicted(invented, before):
    predicted = pd.read_parquet(before / PREDICTIONS)
    splits = invented.tables["primary.splits"]
    aside = set(splits["eid"][splits["part"] == "set_aside"])
    assert len(aside) == 4 and not aside & set(predicted["eid"])
    assert set(splits["eid"][splits["part"] == "test"]) & set(predicted["eid"])


def test_canary_scans_of_test_people_change_nothing_but_their_predictions(
    invented, before, tmp_path
):
    splits = invented.tables["primary.splits"]
    altered = splits["eid"][splits["part"] == "test"].to_numpy()[::2]
    after = run(tmp_path, invented.overwrite(altered), before, altered, modelling=SETTINGS)
    assert_scaling_is_alike(before, after)
    kinds = ("steps", "kernels", "encoders", "cells")
    for model in models_of(before, "steps"):
        old, new = (read_model(root / model) for root in (before, after))
        assert all(old.arrays[n].tobytes() == new.arrays[n].tobytes() for n in old.arrays)
    assert_models_are_alike(before, after, rows_of(invented, altered), kinds[1:3])
    assert_others_are_predicted_alike(before, after, altered)


def test_without_people_of_its_own_a_new_site_passes_and_that_is_said(invented, tmp_path, caplog):
    fewer = changed(SETTINGS, harmonise__least_people=5)
    with caplog.at_level(logging.WARNING):
        root = run(tmp_path, invented, modelling=changed(fewer, strategies=["linear"]))
    assert "people of site 11027 pass through unharmonised" in caplog.text
    (model,) = models_of(root, "steps")
    assert read_model(root / model).arrays["combat.sites"].tolist() == [HERE, THERE]
