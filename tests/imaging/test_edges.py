"""Vectors of edges between regions: kinds, atlases and structural connectomes side by side."""

import gzip

import numpy as np
import pytest
from scan_cases import (
    CONNECTOME,
    GLASSER,
    connectome,
    connectome_members,
    connectome_text,
    imaging,
    series_members,
    zipped,
)

from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.imaging.likeness import mean_record
from ukb_brain.imaging.partial import partial_z
from ukb_brain.imaging.preprocess import VisitBatch, preprocess_batch
from ukb_brain.imaging.readers import SHRINKAGE, Visit, find_parcellations
from ukb_brain.imaging.store import RecordStore
from ukb_brain.imaging.tangent import covariances
from ukb_brain.pipelines.imaging_preprocess.nodes import _partial_of

MODALITIES = ("rsfmri", "rsfmri_partial", "schaefer", "connectome")
EDGES = imaging(MODALITIES)
KEY = (9000001, 2)
MEMBERS = {
    31016: series_members(name=GLASSER),
    31018: series_members(8, 4, "fMRI.Schaefer7n200p.csv.gz")
    | series_members(9, 7, "fMRI/fMRI.Schaefer17n200p.csv.gz"),
    31022: connectome_members(),
}
STRENGTHS = connectome(6, 4)[np.tril_indices(6, -1)]


class Person:
    """Bulk files of one visit, and a store; the cohort has the regions that they have at first."""

    def __init__(self, folder):
        self.folder, self.files, self.settings = folder, {}, EDGES
        for field, members in MEMBERS.items():
            self.put(field, members)
        self.regions = find_parcellations([Visit(KEY, self.files)], EDGES)
        self.store = RecordStore(folder / "vectors")

    def put(self, field, members):
        path = self.folder / f"{KEY[0]}_{field}_{KEY[1]}_0.zip"
        path.write_bytes(zipped(members))
        self.files[field] = BulkFile(path)

    def run(self):
        visits = (Visit(KEY, dict(self.files)),)
        stores = (self.folder / "volumes", self.store.path)
        rows = preprocess_batch(VisitBatch(visits, self.settings, self.regions, *stores))
        return {row["modality"]: row for row in rows}

    def prints(self):
        return {m: self.store.about(m, KEY)["fingerprint"] for m in MODALITIES}


@pytest.fixture
def person(tmp_path):
    return Person(tmp_path)


def test_each_modality_has_regions_of_its_own(person):
    rows = person.run()
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {modality: of.edges for modality, of in person.regions.items()} == {
        "rsfmri": 10, "rsfmri_partial": 10, "schaefer": 6, "connectome": 15,
    }  # fmt: skip
    assert person.regions["schaefer"].labels == tuple(f"R_{k}_ROI" for k in range(4))
    for modality, of in person.regions.items():
        assert person.store.read(modality, KEY).shape == (of.edges,)
    # What models make of the same time series is not yet done to what is stored.
    same = [person.store.read(modality, KEY) for modality in MODALITIES[:2]]
    np.testing.assert_array_equal(*same)


def test_a_structural_connectome_is_its_edges(person):
    row = person.run()["connectome"]
    np.testing.assert_allclose(person.store.read("connectome", KEY), np.log1p(STRENGTHS), rtol=1e-6)
    assert row["mean_connectivity"] == pytest.approx(np.log1p(STRENGTHS).mean(), rel=1e-5)
    assert row["regions"] == 6


def test_another_kind_makes_nothing_anew_and_another_scale_its_own_alone(person):
    person.run()
    before, records = person.prints(), EDGES.model_dump()["modalities"]
    records["rsfmri_partial"]["kind"], records["connectome"]["scale"] = "correlation", "none"
    person.settings = imaging(modalities=records)
    person.run()
    assert {m for m, now in person.prints().items() if now != before[m]} == {"connectome"}
    np.testing.assert_allclose(person.store.read("connectome", KEY), STRENGTHS, rtol=1e-6)


def test_another_atlas_for_all_leaves_those_that_name_their_own(person):
    person.run()
    before = person.prints()
    person.settings = imaging(MODALITIES, atlas="Glasser")
    person.run()
    changed = {m for m, now in person.prints().items() if now != before[m]}
    assert changed == {"rsfmri", "rsfmri_partial"}


def test_a_gzipped_connectome_in_a_folder_is_the_same(person):
    person.run()
    expected = person.store.read("connectome", KEY)
    packed = gzip.compress(MEMBERS[31022][CONNECTOME])
    person.put(31022, {f"31022/{CONNECTOME}.gz": packed})
    assert person.run()["connectome"]["status"] == "ok"
    np.testing.assert_array_equal(person.store.read("connectome", KEY), expected)


def without_streamlines(*gone):
    matrix = connectome(6, 4)
    matrix[list(gone)], matrix[:, list(gone)] = 0, 0
    return connectome_text(matrix).encode()


@pytest.mark.bad_input(
    given="a structural connectome of other regions than most have, or of which many regions have "
    "no streamline",
    says="left out with the counts",
)
@pytest.mark.parametrize(
    ("members", "status", "reason"),
    [
        ({CONNECTOME: b""}, "broken", "the connectome is empty"),
        ({CONNECTOME: b"\xff\xfe\x00"}, "broken", f"{CONNECTOME} is not a table"),
        ({f"{CONNECTOME}.gz": b"1,2"}, "broken", f"{CONNECTOME}.gz is cut off"),
        ({CONNECTOME: b"1,2\n3,1"}, "broken", "the connectome is not symmetric"),
        (connectome_members(regions=5), "broken", "5 regions, most have 6"),
        (
            {CONNECTOME: without_streamlines(2, 5)},
            "broken",
            "4 of 6 regions have a streamline to another",
        ),
        ({f"unusable/{CONNECTOME}": b"1"}, "unusable", "UK Biobank put the scan under `unusable`"),
        (
            connectome_members(name="connectome_mean_FA_10M.csv"),
            "missing",
            f"the zip has no {CONNECTOME}; it holds connectome_mean_FA_10M.csv",
        ),
    ],
)
def test_a_connectome_that_cannot_be_used_has_its_reason(person, members, status, reason):
    person.run()
    person.put(31022, members)
    row = person.run()["connectome"]
    assert (row["status"], row["reason"]) == (status, reason)
    # An older record of it must not be read by training.
    assert person.store.keys("connectome") == []


def test_regions_of_a_whole_connectome_have_their_names(person):
    person.put(31022, connectome_members(regions=376))
    found = find_parcellations([Visit(KEY, person.files)], EDGES)["connectome"]
    assert (found.labels[0], found.labels[-1]) == ("R_V1_ROI", "CAU-lh")
    assert found.edges == 376 * 375 // 2


def test_means_are_over_those_who_have_an_edge_and_of_nobody_where_they_are_few(tmp_path):
    store, rng = RecordStore(tmp_path), np.random.default_rng(0)
    z = rng.normal(scale=0.3, size=(4, 3)).astype(np.float32)
    z[0, :2] = np.nan
    z[1, 1] = np.nan
    for k, vector in enumerate(z):
        store.write("rsfmri", (k + 1, 2), vector, {"measures": {SHRINKAGE: 0.1 * k}})
    keys = store.keys("rsfmri")
    expected = [np.mean(z[1:, 0]), np.nan, np.mean(z[:, 2])]
    np.testing.assert_allclose(mean_record(store, "rsfmri", keys, 3), expected, rtol=1e-6)
    # Partial correlations are of those who have all regions.
    whole = partial_z(covariances(z[2:], np.array([0.2, 0.3]))).mean(axis=0)
    change = _partial_of(store, "rsfmri")
    found = mean_record(store, "rsfmri", keys, 2, change)
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    assert np.isnan(mean_record(store, "rsfmri", keys, 3, change)).all()
