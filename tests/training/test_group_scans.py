from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelling_cases import MODELLING, changed
from reporting_cases import study_grid
from scan_cases import imaging

from ukb_brain.grid import Grid
from ukb_brain.imaging.partial import partial_z
from ukb_brain.imaging.readers import SHRINKAGE
from ukb_brain.imaging.store import INCOMPLETE, RecordStore
from ukb_brain.imaging.tangent import completed, covariances, logarithms, tangents, whitening
from ukb_brain.training.scans import GroupScans, gather_scans
from ukb_brain.training.steps import Covariances, Fill

KEYS = [(9_000_001, 2), (9_000_002, 3)]
SHAPE = (7, 8, 9)


@pytest.fixture
def volumes(tmp_path):
    rng = np.random.default_rng(0)
    store = RecordStore(tmp_path / "volumes")
    arrays = {}
    for modality in ("t1", "flair"):
        for key in KEYS:
            arrays[modality, key] = rng.normal(size=SHAPE).astype(np.float16)
            store.write(modality, key, arrays[modality, key], {})
    return arrays


def block_means(volume, edge):
    """Means over cubes; those at the upper ends are cut."""
    places = [range(0, size, edge) for size in volume.shape]
    out = np.empty([len(p) for p in places])
    for i, x in enumerate(places[0]):
        for j, y in enumerate(places[1]):
            for k, z in enumerate(places[2]):
                out[i, j, k] = volume[x : x + edge, y : y + edge, z : z + edge].mean()
    return out


@pytest.mark.parametrize("pooling", [1, 2, 3, 7])
def test_volumes_are_means_of_cubes_a_channel_a_modality(tmp_path, volumes, pooling):
    scans = GroupScans(("flair", "t1"), tmp_path / "volumes", tmp_path / "none", pooling)
    read = scans.read(KEYS)
    assert scans.is_volume
    assert read.dtype == np.float32
    for row, key in enumerate(KEYS):
        for channel, modality in enumerate(("flair", "t1")):
            expected = block_means(volumes[modality, key].astype(np.float64), pooling)
            np.testing.assert_allclose(read[row, channel], expected, atol=1e-6)


def test_connectivity_is_read_as_it_is(tmp_path):
    store = RecordStore(tmp_path / "vectors")
    vectors = np.random.default_rng(0).normal(size=(2, 10)).astype(np.float32)
    for key, vector in zip(KEYS, vectors, strict=True):
        store.write("rsfmri", key, vector, {})
    scans = GroupScans(("rsfmri",), tmp_path / "none", tmp_path / "vectors", 4)
    assert not scans.is_volume
    np.testing.assert_array_equal(scans.read(KEYS[::-1]), vectors[::-1])


class Eids(GroupScans):
    def read(self, keys):
        return np.array([[[eid, instance]] for eid, instance in keys], dtype=np.float32)


@given(n=st.integers(1, 200), size=st.integers(1, 250))
def test_batches_hold_everybody_once_in_order_and_are_never_too_small(n, size):
    scans = Eids(("t1",), Path("none"), Path("none"), 1)
    batches = list(scans.batches([(eid, 2) for eid in range(n)], size))
    lengths = [len(batch) for batch in batches]
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0], np.arange(n))
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= min(n, size)
    assert max(lengths) < 2 * size + 1


# --- what people lack -----------------------------------------------------------------------

PEOPLE = [(9_000_001 + k, 2) for k in range(5)]
TRAINING, TESTED = PEOPLE[:3], PEOPLE[3:]
nan = np.nan
# The last edge is known of nobody in training.
VECTORS = np.array(
    [[1, 2, 3, nan], [3, nan, 6, nan], [5, 4, nan, nan], [nan, 7, nan, 9], [8, 8, 8, nan]],
    dtype=np.float32,
)
MEAN = [3, 3, 4.5, 0]


def connectivity(folder, vectors, incomplete=True):
    store = RecordStore(folder / "vectors")
    for key, vector in zip(PEOPLE, vectors, strict=True):
        store.write("rsfmri", key, np.asarray(vector, dtype=np.float32), {})
    store.mark(INCOMPLETE.format("rsfmri"), incomplete)
    return GroupScans(("rsfmri",), folder / "none", folder / "vectors", 1)


def test_what_is_lacking_is_the_training_mean_of_known_edges(tmp_path):
    filled = connectivity(tmp_path, VECTORS).fitted(TRAINING)
    np.testing.assert_allclose(filled.arrays()["fill.fill"], MEAN)
    np.testing.assert_allclose(filled.read(PEOPLE), np.where(np.isnan(VECTORS), MEAN, VECTORS))
    np.testing.assert_allclose(np.concatenate(list(filled.batches(PEOPLE, 2))), filled.read(PEOPLE))


def test_batches_of_training_people_change_nothing(tmp_path, monkeypatch):
    scans = connectivity(tmp_path, VECTORS)
    whole = scans.fitted(TRAINING).arrays()["fill.fill"]
    monkeypatch.setattr("ukb_brain.training.steps.FILL_BATCH", 1)
    np.testing.assert_allclose(scans.fitted(TRAINING).arrays()["fill.fill"], whole)
    np.testing.assert_allclose(scans.fitted(TRAINING[::-1]).arrays()["fill.fill"], whole)


@pytest.mark.parametrize("value", [nan, 1e6])
def test_no_value_of_a_test_person_moves_what_is_filled(tmp_path, value):
    before = connectivity(tmp_path / "before", VECTORS).fitted(TRAINING)
    changed = VECTORS.copy()
    changed[3:] = value
    after = connectivity(tmp_path / "after", changed).fitted(TRAINING)
    np.testing.assert_array_equal(after.arrays()["fill.fill"], before.arrays()["fill.fill"])
    np.testing.assert_array_equal(after.read(TRAINING), before.read(TRAINING))
    # A training person's value does.
    changed = VECTORS.copy()
    changed[0, 0] = 4
    moved = connectivity(tmp_path / "moved", changed).fitted(TRAINING)
    np.testing.assert_allclose(moved.arrays()["fill.fill"], [4, *MEAN[1:]])


def test_where_nobody_lacks_anything_nothing_is_read_or_changed(tmp_path, volumes):
    scans = connectivity(tmp_path, np.ones((5, 4)), incomplete=False)
    assert scans.fitted(TRAINING) is scans
    of_volumes = GroupScans(("t1",), tmp_path / "volumes", tmp_path / "vectors", 1)
    assert of_volumes.fitted(KEYS) is of_volumes
    lacking = connectivity(tmp_path, VECTORS)
    assert lacking.fitted([]) is lacking


def test_a_fill_is_no_part_of_what_a_group_is(tmp_path):
    scans = connectivity(tmp_path, VECTORS)
    assert scans.fitted(TRAINING) == scans


# --- tangent space --------------------------------------------------------------------------

EDGES = np.random.default_rng(5).normal(scale=0.3, size=(5, 3)).astype(np.float32)


def of_series(folder, vectors=EDGES, shrinkage=0.2):
    store = RecordStore(folder / "vectors")
    for key, vector in zip(PEOPLE, vectors, strict=True):
        about = {"measures": {} if shrinkage is None else {SHRINKAGE: shrinkage}}
        store.write("rsfmri", key, vector, about)
    store.mark(INCOMPLETE.format("rsfmri"), bool(np.isnan(vectors).any()))
    return GroupScans(("rsfmri",), folder / "none", folder / "vectors", 1, (Covariances(),))


def test_series_are_read_about_the_mean_of_training_people(tmp_path):
    read = of_series(tmp_path).fitted(TRAINING).read(PEOPLE)
    shrunk = covariances(EDGES, np.full(5, 0.2))
    white = whitening(logarithms(shrunk[:3]).mean(axis=0))
    np.testing.assert_allclose(read, tangents(shrunk, white), atol=1e-6)
    changed = EDGES.copy()
    changed[3:] = 2.0
    again = of_series(tmp_path / "changed", changed).fitted(TRAINING)
    np.testing.assert_array_equal(again.read(TRAINING), read[:3])


def partial(folder, vectors=EDGES, shrinkage=0.2):
    return replace(of_series(folder, vectors, shrinkage), makers=(Covariances(partial=True),))


def test_partial_correlations_are_of_each_person_alone(tmp_path):
    scans = partial(tmp_path)
    found = scans.fitted(TRAINING)
    np.testing.assert_allclose(
        found.read(PEOPLE), partial_z(covariances(EDGES, np.full(5, 0.2))), atol=1e-6
    )
    # Another reference, the same partial correlations.
    again = scans.fitted(PEOPLE[3:])
    np.testing.assert_allclose(again.read(PEOPLE), found.read(PEOPLE), atol=1e-6)
    kept = scans.restored(found.arrays())
    np.testing.assert_array_equal(kept.read(PEOPLE), found.read(PEOPLE))
    assert scans.seen != of_series(tmp_path).seen


def test_who_lacks_a_region_is_completed_before_partial_correlations_are_taken(tmp_path):
    gaps = EDGES.copy()
    gaps[[0, 4], :2] = nan
    found = partial(tmp_path, gaps).fitted(TRAINING)
    root = np.linalg.inv(found.arrays()["covariances.white"])
    lacking = np.zeros((5, 3), dtype=bool)
    lacking[[0, 4], 0] = True
    shrunk = covariances(EDGES, np.full(5, 0.2))
    expected = partial_z(completed(shrunk, lacking, root @ root))
    np.testing.assert_allclose(found.read(PEOPLE), expected, atol=1e-5)


def test_each_group_has_its_kind_and_others_that_of_the_run(tmp_path, fold):
    records = imaging(("rsfmri", "rsfmri_partial", "connectome"))
    offered = {m: {m: {"name": m, "order": k}} for k, m in enumerate(records.modalities)}
    grid = Grid(**(study_grid().model_dump() | {"imaging": offered, "offered": {}}))
    quality = pd.DataFrame({"eid": [], "modality": []})
    stores = (RecordStore(tmp_path / "volumes"), RecordStore(tmp_path / "vectors"))
    scans = gather_scans(*stores, quality, grid, records)

    def made(connectivity, **how):
        settings = changed(MODELLING, connectivity=connectivity)
        groups = scans.read_as(1, settings, fold, **how).groups
        names = {Fill(): "fill", Covariances(): "tangent", Covariances(partial=True): "partial"}
        return {group: names[some.makers[0]] for group, some in groups.items()}

    run = {"connectome": "tangent", "rsfmri": "tangent", "rsfmri_partial": "partial"}
    assert made("tangent") == run
    assert made("partial") == run | {"connectome": "partial", "rsfmri": "partial"}
    for name in ("correlation", "fisher_z"):
        assert made(name) == run | {"connectome": "fill", "rsfmri": "fill"}
    # Networks of single cells read correlations where others read tangent space.
    as_study = {"connectome": "fill", "rsfmri": "fill", "rsfmri_partial": "partial"}
    assert made("tangent", tangent=False) == as_study


def test_matrices_without_series_are_read_as_they_are(tmp_path):
    scans = of_series(tmp_path, shrinkage=None).fitted(TRAINING)
    np.testing.assert_array_equal(scans.read(PEOPLE), EDGES)


def test_gaps_are_filled_before_logarithms_are_taken(tmp_path):
    gaps = EDGES.copy()
    gaps[[0, 4], 1] = nan
    whole = np.where(np.isnan(gaps), np.nanmean(gaps[:3], axis=0), gaps)
    expected = of_series(tmp_path / "whole", whole.astype(np.float32)).fitted(TRAINING)
    found = of_series(tmp_path / "gaps", gaps).fitted(TRAINING)
    np.testing.assert_allclose(found.read(PEOPLE), expected.read(PEOPLE), atol=1e-5)


def test_the_reference_is_of_people_who_have_all_regions(tmp_path):
    gaps = EDGES.copy()
    # Of three regions, the first has the edges 10 and 20.
    gaps[[0, 4], :2] = nan
    found = of_series(tmp_path, gaps).fitted(TRAINING)
    shrunk = covariances(EDGES, np.full(5, 0.2))
    white = whitening(logarithms(shrunk[1:3]).mean(axis=0))
    np.testing.assert_allclose(found.arrays()["covariances.white"], white, atol=1e-8)
    root = np.linalg.inv(white)
    lacking = np.zeros((5, 3), dtype=bool)
    lacking[[0, 4], 0] = True
    expected = tangents(completed(shrunk, lacking, root @ root), white)
    np.testing.assert_allclose(found.read(PEOPLE), expected, atol=1e-5)


def test_where_hardly_anybody_has_all_regions_gaps_are_filled(tmp_path):
    gaps = EDGES.copy()
    gaps[[0, 1], :2] = nan
    found = of_series(tmp_path, gaps).fitted(TRAINING)
    filled = covariances(
        np.where(np.isnan(gaps), found.arrays()["covariances.fill"], gaps), np.full(5, 0.2)
    )
    np.testing.assert_allclose(
        found.arrays()["covariances.white"], whitening(logarithms(filled[:3]).mean(0)), atol=1e-8
    )
