from dataclasses import replace

import numpy as np
import pytest
from modelling_cases import MODELLING, PARTS, changed, invented_cohort, people_of, scans_of, work_of

from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.tables import reported
from ukb_brain.training import agreement
from ukb_brain.training.agreement import scan_agreement
from ukb_brain.training.scans import Scans

TESTED = np.flatnonzero(PARTS == "test")


@pytest.fixture(scope="module")
def twice():
    return invented_cohort(twice=tuple(TESTED))


@pytest.fixture(scope="module")
def folder(twice, tmp_path_factory):
    root = tmp_path_factory.mktemp("twice")
    twice.save_scans(root)
    return root


def table_of(twice, folder, settings=MODELLING, people=None):
    work = work_of(people or people_of(twice), settings, Scans(scans_of(folder), "q"))
    return scan_agreement(work, ModelFolder(folder / "none"), 100, 0.95)


def test_a_row_for_every_modality_and_group(twice, folder):
    """A second scan is the first one times .9, which agreement counts."""
    found = table_of(twice, folder)
    reported.scan_agreement.validate(found)
    assert found["scans"].tolist() == ["t1", "flair", "dwi", "functional"]
    assert (found["status"] == "ok").all() and found["n"].between(10, 16).all()
    assert found["icc"].between(0.97, 0.999).all()
    assert (found["icc_low"] < found["icc_high"]).all()


def test_vectors_are_compared_with_and_without_sites_made_alike(twice, folder):
    people = people_of(twice)
    people = replace(people, site=np.where(people.family % 2, 11025, 11026))
    settings = changed(MODELLING, harmonise__by="site")
    found = table_of(twice, folder, settings, people).set_index(["scans", "sites"])["icc"]
    assert len(found) == 5
    assert found["functional", "made alike"] != found["functional", "as they are"]


def test_few_people_have_a_status_and_no_number(twice, folder):
    nobody = people_of(invented_cohort())
    found = table_of(twice, folder, people=nobody)
    assert found["icc"].isna().all() and found["n"].isna().all()
    assert set(found["status"]) == {"fewer than 10 test people scanned twice"}


def test_of_large_scans_fewer_people_are_compared(twice, folder, monkeypatch):
    monkeypatch.setattr(agreement, "MOST_NUMBERS", 1)
    assert (table_of(twice, folder)["n"] == 10).all()
