import gzip
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine
from pydantic import ValidationError
from scan_cases import (
    GLASSER,
    NATIVE,
    NATIVE_FLIRT,
    NATIVE_SHAPE,
    dwi_members,
    flair_members,
    head,
    imaging,
    nifti,
    series_members,
    series_text,
    t1_members,
    world_of,
    zipped,
)

from ukb_brain.imaging import readers
from ukb_brain.imaging.affines import fsl_mni
from ukb_brain.imaging.bulk import BulkFile, ScanError
from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.imaging.likeness import mean_record
from ukb_brain.imaging.preprocess import VisitBatch, preprocess_batch
from ukb_brain.imaging.readers import (
    ENOUGH,
    READERS,
    Parcellation,
    Reader,
    Visit,
    find_parcellations,
    flirt_to_world,
    to_common_grid,
)
from ukb_brain.imaging.store import RecordStore
from ukb_brain.synthetic import brains, scans
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import T1, Scan

GRID = {"shape": (18, 22, 20), "voxel_mm": 8.0}
SETTINGS = imaging(**GRID)
KEY = (9000001, 2)
REGIONS = Parcellation(tuple(f"R_{k}_ROI" for k in range(5)), 10)
MEMBERS = {20252: t1_members, 20253: flair_members, 20250: dwi_members, 31016: series_members}


class Person:
    """Bulk files of one visit, and stores for what comes of them."""

    def __init__(self, folder, key=KEY, settings=SETTINGS):
        self.folder, self.key = Path(folder), key
        self.files = {}
        for field, make in MEMBERS.items():
            self.put(field, zipped(make()))
        stores = (self.folder / "volumes", self.folder / "vectors")
        self.batch = VisitBatch((), settings, {"rsfmri": REGIONS}, *stores)
        self.volumes = RecordStore(self.batch.volumes)
        self.connectivity = self.vectors = RecordStore(self.batch.vectors)

    def put(self, field, content):
        path = self.folder / f"{self.key[0]}_{field}_{self.key[1]}_0.zip"
        path.write_bytes(content)
        self.files[field] = BulkFile(path)

    def run(self, modalities=("t1", "flair", "dwi", "rsfmri")):
        visit = Visit(self.key, dict(self.files))
        rows = preprocess_batch(replace(self.batch, visits=(visit,)))
        assert [r["modality"] for r in rows] == [*modalities]
        assert {(r["eid"], r["instance"]) for r in rows} == {self.key}
        return {row["modality"]: row for row in rows}

    def statuses(self):
        return {modality: row["status"] for modality, row in self.run().items()}


@pytest.fixture
def person(tmp_path):
    return Person(tmp_path)


def bright_place(volume, affine):
    """Middle of what is brighter than elsewhere, in mm."""
    voxels = np.argwhere(volume > volume.min() + 0.7 * (volume.max() - volume.min()))
    return apply_affine(affine, voxels).mean(axis=0)


def files_of(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*") if p.is_file()}


# --- affines at work ------------------------------------------------------------------------


@pytest.mark.parametrize("x_runs", [1, -1], ids=["determinant positive", "determinant negative"])
def test_a_blob_on_the_left_stays_on_the_left(x_runs):
    """Native space is MNI space here; the matrices are computed by hand in `scan_cases`."""
    affine, matrix = NATIVE.copy(), np.array(NATIVE_FLIRT.split(), dtype=float).reshape(4, 4)
    if x_runs < 0:
        # x = 80 − 8i, so scaled x is 8i = 80 − x, and FSL's 90 − x: 10 mm to add.
        affine[0] = [-8, 0, 0, 80]
        matrix[0, 3] = 10
    world = world_of(NATIVE_SHAPE, affine)
    blob = np.exp(-((world - [-40, -10, 20]) ** 2).sum(axis=-1) / (2 * 12**2)).astype(np.float32)
    image = nib.Nifti1Image(blob, affine)
    moved, _ = to_common_grid(image, flirt_to_world(matrix, image), SETTINGS)
    assert moved.shape == SETTINGS.shape
    np.testing.assert_allclose(bright_place(moved, SETTINGS.affine), [-40, -10, 20], atol=4)


def test_modalities_of_one_person_lie_on_each_other(person):
    person.run()
    for modality in ("t1", "flair", "dwi"):
        volume = person.volumes.read(modality, KEY).astype(np.float32)
        # The bright side of `scan_cases.head` is where x < -20.
        assert bright_place(volume, SETTINGS.affine)[0] < -25, modality


@pytest.fixture(scope="module")
def at_4_mm(tmp_path_factory):
    """Three generated T1 of 4 mm, the anatomy and FSL's grid of 4 mm."""
    folder = tmp_path_factory.mktemp("bulk")
    (folder / str(T1)).mkdir()
    cohort = SyntheticCohort(participants=3, voxel_mm=4, regions=25, time_points=60, seed=1)
    anatomy = build_anatomy(4)
    anatomy.save(folder / "anatomy.npz")
    about = (cohort, folder / "anatomy.npz", folder, SETTINGS.modalities)
    batch = scans.PeopleBatch((1, 2, 3), *about)
    images = []
    for number in batch.numbers:
        scan = Scan(T1, 2, "ok")
        session = scans.Session(batch, number, 2)
        session.write(scan)
        images.append((BulkFile(folder / str(T1) / scan.file_name(number)), session.brain))
    settings = imaging(shape=(46, 55, 46), voxel_mm=4, centre_mm=(0, -18, 18))
    np.testing.assert_allclose(settings.affine, fsl_mni(4)[1])
    return anatomy, images, settings


def overlap_and_correlation(moved, anatomy, brain):
    """Dice with the shared anatomy, and correlation with the person drawn in MNI space."""
    mask, world = brains.brain_points(anatomy)
    filled = moved > 100
    dice = 2 * (filled & mask).sum() / (filled.sum() + mask.sum())
    drawn = brains.draw(anatomy, brain, world)["t1"]
    return dice, np.corrcoef(moved[mask], drawn)[0, 1]


def test_generated_t1_lands_on_the_anatomy_by_its_own_matrix(at_4_mm):
    anatomy, images, settings = at_4_mm
    for file, brain in images:
        image = file.image("T1/T1_unbiased_brain.nii.gz")
        matrix = file.matrix("T1/transforms/T1_to_MNI_linear.mat")
        assert np.linalg.det(image.affine) > 0
        moved, _ = to_common_grid(image, flirt_to_world(matrix, image), settings)
        dice, correlation = overlap_and_correlation(moved, anatomy, brain)
        assert dice > 0.9
        assert correlation > 0.85
        # The flip of a positive determinant left out: 52 voxels of 4 mm, x' = 204 − x.
        unflipped = matrix @ [[-1, 0, 0, 204], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        wrong, _ = to_common_grid(image, flirt_to_world(unflipped, image), settings)
        wrong_dice, wrong_correlation = overlap_and_correlation(wrong, anatomy, brain)
        assert wrong_dice < dice
        assert wrong_correlation < correlation - 0.1


# --- intensity ------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["uint8", "float16"])
def test_a_volume_has_a_flat_background_and_a_z_scored_brain(person, stored):
    person.batch = replace(person.batch, settings=SETTINGS.model_copy(update={"stored": stored}))
    person.run()
    volume = person.volumes.read("t1", KEY).astype(np.float32)
    outside = volume == volume.min()
    assert 0.5 < outside.mean() < 0.9
    assert volume[~outside].mean() == pytest.approx(0, abs=0.01)
    assert volume[~outside].std() == pytest.approx(1, abs=0.01)
    files = [*(person.folder / "volumes" / "t1").glob("*.records")]
    size = volume.size * np.dtype(stored).itemsize
    assert size < sum(p.stat().st_size for p in files) < size + 3 * 4096


def test_eight_bits_miss_no_value_by_more_than_half_a_step(person):
    person.run()
    eight = {m: person.volumes.read(m, KEY).astype(np.float32) for m in ("t1", "flair", "dwi")}
    person.batch = replace(person.batch, settings=SETTINGS.model_copy(update={"stored": "float16"}))
    person.run()
    for modality, read in eight.items():
        assert len(np.unique(read)) <= 256
        scale = float(read.max() - read.min()) / 255
        exact = person.volumes.read(modality, KEY).astype(np.float32)
        # Both are read as float16, of 11 bits.
        most = scale / 2 + np.abs(exact).max() * 2**-10
        assert 0 < np.abs(read - exact).max() < most
        assert scale < 0.05


def test_fa_keeps_one_scale_for_all_people(person):
    person.run()
    volume = person.volumes.read("dwi", KEY).astype(np.float32)
    # Dark side 0.2 ± 10 % and bright side 0.4 ± 10 %, less 0.25, over 0.15.
    values = volume * 0.15 + 0.25
    assert abs(np.median(values[(values > 0.12) & (values < 0.28)]) - 0.2) < 0.02
    assert abs(np.median(values[values > 0.32]) - 0.4) < 0.02
    assert abs(values.min()) < 1e-3


MD = "dMRI/TBSS/stats/all_MD.nii.gz"


def test_a_further_modality_is_one_record(person):
    """Of the same zip as FA, on a scale of its own, sampled at the nearest voxel."""
    scale = {"clamp": (0, 0.003), "centre": 0.001, "spread": 0.0005}
    md = {"reader": "volume", "field": 20250, "member": MD, "intensity": scale}
    md["interpolation"] = "nearest"
    records = SETTINGS.model_dump()["modalities"] | {"md": md, "flair": None}
    person.batch = replace(
        person.batch, settings=imaging(**(dict(SETTINGS) | {"modalities": records}))
    )
    shape, affine = fsl_mni(8)
    values = 0.001 * head(shape, affine)
    person.put(20250, zipped(dwi_members() | {MD: nifti(values, affine)}))
    rows = person.run(["t1", "dwi", "rsfmri", "md"])
    assert {row["status"] for row in rows.values()} == {"ok"}
    stored = person.volumes.read("md", KEY).astype(np.float32) * 0.0005 + 0.001
    # Between its bright voxels and what is empty nothing was interpolated.
    assert set(np.unique(stored.round(4))) == {0.0} | set(np.unique(values[values > 0].round(4)))
    person.put(20250, zipped(dwi_members()))
    reason = person.run(["t1", "dwi", "rsfmri", "md"])["md"]["reason"]
    assert reason == f"the zip has no {MD}; it holds dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz"


@pytest.mark.parametrize("member", [MD, "dMRI/TBSS/FA/dti_MD_to_MNI.nii.gz"])
def test_of_several_members_the_first_that_is_there_is_read(person, member):
    person.batch = replace(person.batch, settings=imaging(["dwi", "md"], **GRID))
    shape, affine = fsl_mni(8)
    image, old = nifti(0.001 * head(shape, affine), affine), nifti(head(shape, affine), affine)
    aside = "dMRI/TBSS/unusable/FA/dti_MD_to_MNI.nii.gz"
    # As the whole is zipped by some, in a folder; what was put aside is passed over.
    person.put(20250, zipped({f"x/{member}": image, aside: old} | dwi_members()))
    assert person.run(["dwi", "md"])["md"]["status"] == "ok"
    assert person.run(["dwi", "md"])["md"]["mean_intensity"] < 0.003


def test_what_a_zip_holds_in_place_of_a_member_is_told_without_a_number(person):
    person.batch = replace(person.batch, settings=imaging(["dwi", "md"], **GRID))
    others = {f"dMRI/TBSS/stats/all_{m}_{KEY[0] + 1}.nii.gz": b"" for m in ("MO", "L1", "L2", "L3")}
    person.put(20250, zipped(others | dwi_members()))
    row = person.run(["dwi", "md"])["md"]
    assert row["status"] == "missing"
    told = row["reason"].partition("it holds ")[2].split(", ")
    assert len(told) == 3
    assert all(name.startswith("dMRI/TBSS/stats/all_") and "_#.nii" in name for name in told)


# --- a lesion mask ---------------------------------------------------------------------------

LESIONS = "T2_FLAIR/lesions/final_mask.nii.gz"


@pytest.fixture
def masked(person):
    """A person with T1 and a mask of lesions, which is put into FLAIR's zip."""
    settings = imaging(["t1", "lesions"], **GRID)
    person.batch = replace(person.batch, settings=settings)

    def put(mask):
        person.put(20253, zipped({LESIONS: nifti(mask.astype(np.uint8), NATIVE)}))
        return person.run(["t1", "lesions"])["lesions"]

    return put


def test_a_mask_becomes_the_share_of_each_voxel(person, masked):
    mask = np.zeros(NATIVE_SHAPE)
    mask[8:11, 12:14, 10:12] = 1
    row = masked(mask)
    assert row["status"] == "ok"
    # Twelve voxels of 8 mm.
    assert row["volume_ml"] == pytest.approx(12 * 0.512, rel=0.02)
    share = person.volumes.read("lesions", KEY).astype(np.float32) * 0.1
    assert share.min() == 0
    assert share.max() <= 1.001
    assert share.sum() * 0.512 == pytest.approx(row["volume_ml"], rel=0.02)


def test_who_has_no_lesion_has_an_empty_mask_and_not_a_broken_one(person, masked):
    row = masked(np.zeros(NATIVE_SHAPE))
    assert (row["status"], row["volume_ml"]) == ("ok", 0)
    assert not person.volumes.read("lesions", KEY).any()
    person.put(20252, zipped(t1_members() | {"T1/T1_unbiased_brain.nii.gz": nifti(
        np.zeros(NATIVE_SHAPE, np.float32), NATIVE)}))  # fmt: skip
    assert person.run(["t1", "lesions"])["t1"]["status"] == "broken"


# --- numbers of the main table ---------------------------------------------------------------


@pytest.fixture
def numbered(person):
    """Preprocess a visit with numbers of the main table."""
    settings = imaging(["idps"], **GRID)

    def run(values, fields=(25001, 25002, 25003, 25004)):
        numbers = {"idps": np.array(values, dtype=np.float32)}
        batch = replace(person.batch, settings=settings, fields={"idps": fields})
        (row,) = preprocess_batch(replace(batch, visits=(Visit(KEY, {}, numbers),)))
        return row

    return run


def test_numbers_are_one_vector_a_visit(person, numbered):
    row = numbered([1.5, np.nan, 3, 4])
    assert (row["status"], row["numbers"], row["numbers_of"]) == ("ok", 3, 4)
    np.testing.assert_array_equal(person.vectors.read("idps", KEY), [1.5, np.nan, 3, 4])
    before = files_of(person.folder)
    assert numbered([1.5, np.nan, 3, 4]) == row
    assert files_of(person.folder) == before


def test_other_numbers_or_fields_are_stored_anew(person, numbered):
    numbered([1, 2, 3, 4])
    numbered([1, 2, 3, 5])
    assert person.vectors.read("idps", KEY)[-1] == 5
    before = person.vectors.about("idps", KEY)
    numbered([1, 2, 3, 5], (25001, 25002, 25003, 25005))
    assert person.vectors.about("idps", KEY) != before


def test_a_visit_that_lacks_most_numbers_is_left_out_with_the_count(person, numbered):
    numbered([1, 2, 3, 4])
    row = numbered([np.nan, np.nan, np.nan, 4])
    assert (row["status"], row["reason"]) == ("missing", "1 of 4 numbers are in the main table")
    assert person.vectors.keys("idps") == []
    assert numbered([np.nan, np.nan, 3, 4])["status"] == "ok"
    assert numbered([np.nan] * 4)["reason"] == "no number in the main table"


# --- what becomes of scans ------------------------------------------------------------------


def test_a_whole_visit_is_stored_and_measured(person):
    rows = person.run()
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {row["reason"] for row in rows.values()} == {""}
    ellipsoid_ml = 4 / 3 * np.pi * 66 * 84 * 64 / 1000
    assert rows["t1"]["brain_ml"] == pytest.approx(ellipsoid_ml, rel=0.25)
    for modality in ("t1", "flair", "dwi"):
        stored = person.volumes.read(modality, KEY)
        assert stored.shape == SETTINGS.shape
        assert stored.dtype == np.float16
        assert np.isfinite(stored).all()
    assert person.connectivity.read("rsfmri", KEY).shape == (10,)


@pytest.mark.parametrize("field", MEMBERS)
def test_a_file_that_is_not_there_is_missing(person, field):
    del person.files[field]
    statuses = person.statuses()
    gone = {20252: {"t1", "flair"}, 20253: {"flair"}, 20250: {"dwi"}, 31016: {"rsfmri"}}[field]
    assert {modality for modality, status in statuses.items() if status == "missing"} == gone
    assert {status for modality, status in statuses.items() if modality not in gone} == {"ok"}


def test_a_second_run_writes_nothing_and_says_the_same(person):
    rows = person.run()
    before = files_of(person.folder)
    assert person.run() == rows
    assert files_of(person.folder) == before


def test_a_changed_zip_is_read_again_and_only_that(person):
    person.run()
    before = files_of(person.folder)
    old = person.volumes.read("dwi", KEY)
    person.put(20250, zipped(dwi_members(seed=99)))
    assert person.statuses()["dwi"] == "ok"
    assert not np.array_equal(person.volumes.read("dwi", KEY), old)
    changed = {p for p, stamp in files_of(person.folder).items() if before.get(p) != stamp}
    assert all("dwi" in p.parts or "_20250_" in p.name for p in changed)


def test_other_settings_are_not_taken_for_the_same(person):
    person.run()
    person.batch = replace(
        person.batch, settings=SETTINGS.model_copy(update={"shape": (16, 20, 18)})
    )
    person.run()
    assert person.volumes.read("t1", KEY).shape == (16, 20, 18)


def test_a_scan_that_becomes_broken_is_discarded(person):
    assert set(person.statuses().values()) == {"ok"}
    person.put(20252, b"cut off")
    assert person.statuses()["t1"] == "broken"
    assert person.volumes.keys("t1") == []
    # FLAIR needs the T1's matrix.
    assert person.volumes.keys("flair") == []
    assert person.volumes.keys("dwi") == [KEY]


def test_visits_of_one_person_are_kept_apart(tmp_path):
    first, repeat = Person(tmp_path), Person(tmp_path, (9000001, 3))
    repeat.put(20252, zipped(t1_members(seed=5)))
    batch = replace(
        first.batch, visits=(Visit(first.key, first.files), Visit(repeat.key, repeat.files))
    )
    assert len(preprocess_batch(batch)) == 8
    store = first.volumes
    assert store.keys("t1") == [(9000001, 2), (9000001, 3)]
    assert not np.array_equal(store.read("t1", (9000001, 2)), store.read("t1", (9000001, 3)))


# --- regions --------------------------------------------------------------------------------

OF_25750 = SETTINGS.model_copy(update={"connectivity_field": 25750})


def matrix_person(folder, content, key=KEY):
    """A person with a text file of field 25750."""
    person = Person(folder, key, OF_25750)
    path = Path(folder) / f"{key[0]}_25750_{key[1]}_0.txt"
    path.write_bytes(content)
    person.files[25750] = BulkFile(path)
    return person


def functional(person, **how):
    """What becomes of a time series of 40 regions."""
    person.put(31016, zipped(series_members(regions=40, **how)))
    labels = tuple(sorted(f"R_{k}_ROI" for k in range(40)))
    person.batch = replace(person.batch, parcellations={"rsfmri": Parcellation(labels, 780)})
    return person.run()["rsfmri"]


@pytest.mark.bad_input(
    given="the regions of a 31016 file in another order",
    says="read: matched by label, the same vector",
)
def test_another_order_of_regions_is_the_same_vector(person):
    assert functional(person)["status"] == "ok"
    vector = person.connectivity.read("rsfmri", KEY)
    order = np.random.default_rng(0).permutation(40)
    assert functional(person, order=order)["status"] == "ok"
    np.testing.assert_array_equal(person.connectivity.read("rsfmri", KEY), vector)
    # By sorted label, so that it is nobody's order.
    series = np.random.default_rng(3).standard_normal((40, 60))
    place = [int(label[2:-4]) for label in person.batch.parcellations["rsfmri"].labels]
    np.testing.assert_allclose(vector, fisher_z_of_time_series(series[place]), rtol=1e-5)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            {"without": (7, 31)},
            marks=pytest.mark.bad_input(
                given="a 31016 file that is a region short",
                says="read: that region's correlations are filled by training people's mean; who "
                "lacks more than `imaging_preprocess.most_regions_missing` is left out with the "
                "count",
            ),
        ),
        {"lost": (7, 31)},
    ],
)
def test_a_person_who_lacks_few_regions_stays(person, how):
    whole = functional(person)
    expected = person.connectivity.read("rsfmri", KEY)
    row = functional(person, **how)
    assert (row["status"], row["regions"], row["regions_of"]) == ("ok", 38, 40)
    assert (whole["regions"], whole["regions_of"]) == (40, 40)
    vector = person.connectivity.read("rsfmri", KEY)
    gone = np.isin(person.batch.parcellations["rsfmri"].labels, ["R_7_ROI", "R_31_ROI"])
    lacks = np.array(
        [gone[r] | gone[c] for c in range(40) for r in range(c)]  # by columns, the upper triangle
    )
    np.testing.assert_array_equal(np.isnan(vector), lacks)
    np.testing.assert_allclose(vector[~lacks], expected[~lacks], rtol=1e-5)
    assert row["mean_connectivity"] == pytest.approx(expected[~lacks].mean(), rel=1e-4)


def test_a_person_who_lacks_too_many_regions_is_left_out_with_the_count(person):
    row = functional(person, lost=(1, 2), without=(3,))
    assert row["status"] == "broken"
    assert row["reason"] == "37 of 40 regions have a time series that varies"
    assert person.connectivity.keys("rsfmri") == []
    person.batch = replace(
        person.batch, settings=SETTINGS.model_copy(update={"most_regions_missing": 0.1})
    )
    assert functional(person, lost=(1, 2), without=(3,))["status"] == "ok"


def test_other_regions_are_told_by_count(person):
    content = gzip.compress(series_text(regions=40).replace("_ROI", "").encode())
    person.put(31016, zipped({GLASSER: content}))
    row = person.run()["rsfmri"]
    assert row["reason"] == "0 of 5 regions have a time series that varies"


@pytest.mark.bad_input(
    given="one 25750 file cut to 190 numbers among files of 210",
    says="190 numbers, most have 210",
)
def test_a_matrix_of_another_size_is_broken_with_its_count(tmp_path, says):
    people = []
    for k, n in enumerate((190, 210, 210)):
        content = " ".join(map(str, range(n))).encode()
        (tmp_path / str(k)).mkdir()
        people.append(matrix_person(tmp_path / str(k), content, (9000001 + k, 2)))
    visits = [Visit(person.key, person.files) for person in people]
    cohort = find_parcellations(visits, OF_25750)["rsfmri"]
    assert cohort == Parcellation((), 210)
    rows = []
    for person in people:
        person.batch = replace(person.batch, parcellations={"rsfmri": cohort})
        rows.append(person.run()["rsfmri"])
    assert [row["status"] for row in rows] == ["broken", "ok", "ok"]
    assert rows[0]["reason"] == says
    assert rows[1]["regions"] == 21


def visits_with(tmp_path, contents):
    out = []
    for k, content in enumerate(contents):
        path = tmp_path / f"{9000001 + k}_31016_2_0.zip"
        path.write_bytes(content)
        out.append(Visit((9000001 + k, 2), {31016: BulkFile(path)}))
    return out


def test_the_cohorts_regions_are_those_of_most_people(tmp_path):
    short, whole = (zipped(series_members(regions=n)) for n in (4, 5))
    turned = zipped(series_members(regions=5, order=(4, 2, 0, 1, 3)))
    visits = visits_with(tmp_path, [short, b"no zip", whole, turned])
    assert find_parcellations(visits, SETTINGS)["rsfmri"] == REGIONS
    # Of equally frequent ones the larger.
    assert find_parcellations(visits[:3], SETTINGS)["rsfmri"] == REGIONS
    assert find_parcellations(visits[:2], SETTINGS)["rsfmri"].edges == 6
    assert find_parcellations(visits[1:2], SETTINGS)["rsfmri"] == Parcellation()
    assert find_parcellations([Visit(KEY, {})], SETTINGS)["rsfmri"] == Parcellation()


def test_no_more_files_are_read_for_it_than_it_takes(tmp_path, monkeypatch):
    visits = visits_with(tmp_path, [zipped(series_members())]) * (2 * ENOUGH)
    read, times = BulkFile.time_series, []
    monkeypatch.setattr(
        BulkFile, "time_series", lambda self, atlas: times.append(1) or read(self, atlas)
    )
    assert find_parcellations(visits, SETTINGS)["rsfmri"] == REGIONS
    assert len(times) == ENOUGH


# --- files of one matrix, and means -------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"3.5 -2 11.25", "ok"),
        (b"1 2", "broken"),
        (b"a b c", "broken"),
        (b"\xff\xfe\x00", "broken"),
    ],
)
def test_uk_biobanks_own_matrix(tmp_path, content, status):
    person = matrix_person(tmp_path, content)
    person.batch = replace(person.batch, parcellations={"rsfmri": Parcellation((), 3)})
    assert person.statuses()["rsfmri"] == status
    if status == "ok":
        np.testing.assert_array_equal(person.connectivity.read("rsfmri", KEY), [3.5, -2, 11.25])


def test_mean_record(tmp_path):
    store = RecordStore(tmp_path)
    for instance, value in ((2, 1.0), (3, 4.0)):
        store.write("t1", (1, instance), np.full((7, 8, 9), value, np.float16), {})
    mean = mean_record(store, "t1", [(1, 2), (1, 3)])
    np.testing.assert_array_equal(mean, np.full((7, 8, 9), 2.5))
    assert mean.dtype == np.float32


def test_resampling_by_identity_keeps_values():
    """The common grid's own voxels are copied, not interpolated."""
    data = np.random.default_rng(0).uniform(1, 2, SETTINGS.shape).astype(np.float32)
    image = nib.Nifti1Image(data, SETTINGS.affine)
    moved, _ = to_common_grid(image, np.eye(4), SETTINGS)
    np.testing.assert_allclose(moved, data, atol=1e-4)


def test_a_coarse_grid_averages_the_cubes_of_a_finer_one():
    """The finer grid's voxels are copied, so that averages are exact and lie in their places."""
    shape = (36, 44, 40)
    fine = SETTINGS.model_copy(update={"shape": shape, "voxel_mm": 4.0})
    data = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    image = nib.Nifti1Image(data, fine.affine)
    averaged = SETTINGS.model_copy(update={"filter": "area"})
    moved, _ = to_common_grid(image, np.eye(4), averaged)
    expected = data.reshape(18, 2, 22, 2, 20, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    corners = [(0, 0, 0), (17, 21, 19)]
    for corner in corners:
        cube = np.array(corner) * 2 + 0.5
        np.testing.assert_allclose(
            apply_affine(fine.affine, cube), apply_affine(SETTINGS.affine, corner)
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"voxel_mm": 0},
        {"filter": "box"},
        {"shape": (8, 8)},
        {"connectivity_field": 12},
        {"unknown": 1},
        {"modalities": {"flair": {"reader": "volume", "space": "t1"}}},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError):
        imaging(**wrong)


# --- devices --------------------------------------------------------------------------------

THERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.mark.parametrize("device", THERE)
def test_every_device_gives_the_same_volumes(tmp_path, device):
    if not THERE[device]:
        pytest.skip(f"there is no {device} device")
    read = {}
    for name in ("cpu", device):
        (tmp_path / name).mkdir()
        person = Person(tmp_path / name)
        person.batch = replace(person.batch, device=name)
        assert {row["status"] for row in person.run().values()} == {"ok"}
        read[name] = {k: person.volumes.read(k, KEY) for k in ("t1", "flair", "dwi")}
    for modality, volume in read["cpu"].items():
        # A step of 8 bits, where rounding falls to the other side.
        step = np.ptp(volume.astype(np.float32)) / 255
        np.testing.assert_allclose(read[device][modality], volume, atol=1.1 * step)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, np.float32, np.float64])
def test_scans_are_resampled_on_the_device_in_single_precision(monkeypatch, dtype):
    seen = []

    def resample(volumes, *_):
        seen.append((volumes.device.type, volumes.dtype))
        zeros = torch.zeros(1, 4, 4, 4, device="cpu")
        return zeros, zeros > 0

    monkeypatch.setattr(readers, "resample", resample)
    image = nib.Nifti1Image(np.ones((5, 6, 7), dtype), np.eye(4), dtype=dtype)
    with torch.device("meta"):
        to_common_grid(image, np.eye(4), SETTINGS)
    ((device, found),) = seen
    assert device == "meta"
    assert found in (torch.uint8, torch.int16, torch.float32)


def test_a_batch_of_visits_names_the_device(tmp_path, monkeypatch):
    seen = []

    def read(*_):
        seen.append(torch.get_default_device().type)
        raise ScanError("broken", "enough was seen")

    monkeypatch.setitem(READERS, "volume", Reader(read, "volumes"))
    person = Person(tmp_path)
    person.batch = replace(person.batch, device="meta")
    person.run()
    assert set(seen) == {"meta"}
    assert torch.get_default_device().type == "cpu"
