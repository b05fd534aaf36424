"""Vectors that are made once, held to those that are read from the store."""

from dataclasses import replace

import numpy as np
import pytest
from modelling_cases import MODELLING, N, changed, work_of

from ukb_brain.cluster import Compute
from ukb_brain.imaging.readers import SHRINKAGE
from ukb_brain.imaging.store import INCOMPLETE, RecordStore
from ukb_brain.ledger import run_ledger
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.training import items, vectors
from ukb_brain.training.scans import GroupScans, KeptVectors, Scans
from ukb_brain.training.steps import Covariances
from ukb_brain.training.vectors import steps_of_group, vectors_of_block

ONE = Compute(workers=1)
REGIONS, GROUP = 5, "functional"
EDGES = REGIONS * (REGIONS - 1) // 2


@pytest.fixture
def scans(tmp_path, fold):
    rng = np.random.default_rng(0)
    store = RecordStore(tmp_path / "store")
    for k, key in enumerate(fold.keys(fold.has[GROUP])):
        z = rng.normal(scale=0.3, size=EDGES).astype(np.float32)
        if k % 9 == 0:
            z[[0, 1, 3, 6]] = np.nan  # the first region
        store.write("rsfmri", key, z, {"measures": {SHRINKAGE: 0.1}})
    store.mark(INCOMPLETE.format("rsfmri"), True)
    none = tmp_path / "none"
    groups = {
        "structural": GroupScans(("t1",), none, none, 1, (Covariances(),)),
        GROUP: GroupScans(("rsfmri",), none, tmp_path / "store", 1, (Covariances(),)),
    }
    return Scans(groups, "q")


def made(fold, scans, home):
    work = work_of(fold, scans=scans)
    todo = list(items.step_items(work))
    run_ledger(steps_of_group, todo, home / "steps", ONE, "Steps")
    blocks = list(items.vector_items(work, ModelFolder(home / "steps")))
    run_ledger(vectors_of_block, blocks, home / "vectors", ONE, "Vectors")
    return ModelFolder(home / "vectors")


def read_of(fold, scans, models):
    return work_of(fold, scans=scans).read_as(1, models)[0].groups


@pytest.mark.parametrize("block", [7, 4096])
def test_what_was_made_is_what_is_read(scans, fold, tmp_path, monkeypatch, block):
    monkeypatch.setattr(vectors, "BLOCK", block)
    monkeypatch.setattr(items, "BLOCK", block)
    models = made(fold, scans, tmp_path)
    has = fold.has[GROUP]
    assert len(models.cards()) == -(-int(has.sum()) // block)
    kept = read_of(fold, scans, models)
    assert kept["structural"] == scans.groups["structural"]
    assert kept["structural"].kept is None
    read = scans.groups[GROUP].fitted(fold.keys(has & fold.train))
    for keys in (fold.keys(has), fold.keys(has)[::-3], fold.keys(fold.train & has)[5:6]):
        np.testing.assert_allclose(kept[GROUP].read(keys), read.read(keys), atol=1e-6)
    # Nothing is fitted again.
    assert kept[GROUP].fitted(fold.keys(has & fold.train)) is kept[GROUP]
    assert kept[GROUP] == scans.groups[GROUP]


def test_people_of_whom_none_was_made_are_refused(fold, tmp_path):
    kept = KeptVectors((tmp_path,), 10, fold.record_of(GROUP))
    with pytest.raises(ValueError, match="none were made"):
        kept.read([(99_999_999, 2)])


def test_where_a_block_failed_the_store_is_read(scans, fold, tmp_path):
    models = made(fold, scans, tmp_path)
    (name,) = models.cards()
    (models.path / name / "card.json").unlink()
    assert read_of(fold, scans, models)[GROUP].kept is None


def test_vectors_of_other_people_or_scans_are_not_read(scans, fold, tmp_path):
    models = made(fold, scans, tmp_path)
    has = fold.has[GROUP].copy()
    has[np.flatnonzero(has & (fold.part == "test"))[0]] = False
    fewer = replace(fold, has=fold.has | {GROUP: has})
    for people, quality in ((fewer, "q"), (fold, "other")):
        kept = read_of(people, replace(scans, fingerprint=quality), models)
        assert kept[GROUP].kept is None
    assert read_of(fold, scans, models)[GROUP].kept is not None


def test_people_tested_move_no_reference(scans, fold, tmp_path):
    before = made(fold, scans, tmp_path / "before")
    store = RecordStore(scans.groups[GROUP].vectors)
    tested = fold.has[GROUP] & (fold.part == "test")
    for key in fold.keys(tested):
        store.write("rsfmri", key, np.full(EDGES, 0.9, np.float32), {"measures": {SHRINKAGE: 0.5}})
    after = made(fold, scans, tmp_path / "after")
    (name,) = before.cards()
    old, new = (models.read(name).arrays["vectors"] for models in (before, after))
    rows = tested[fold.has[GROUP]]
    np.testing.assert_array_equal(new[~rows], old[~rows])
    assert (np.abs(new - old)[rows].max(axis=1) > 0.1).all()


def test_only_what_depends_on_it_is_made_anew(scans, fold):
    def prints(people):
        work = work_of(people, scans=scans)
        return {i.name: i.fingerprint for i in items.step_items(work)}

    first = prints(fold)
    assert list(first) == ["fold0-functional"]
    first_one = np.flatnonzero(fold.train & fold.has[GROUP])[0]
    moved = np.where(np.arange(N) == first_one, "test", fold.part)
    assert prints(replace(fold, part=moved)) != first
    known = {t: y + 1 for t, y in fold.targets.items()}
    assert prints(replace(fold, targets=known)) == first
    as_stored = changed(MODELLING, connectivity="fisher_z")
    assert not list(items.step_items(work_of(fold, as_stored, scans)))
