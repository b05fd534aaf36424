import gzip
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scan_cases import imaging

from ukb_brain.imaging.affines import fsl_mni
from ukb_brain.imaging.bulk import BulkFile, ScanError
from ukb_brain.synthetic import scans
from ukb_brain.synthetic.factors import FACTORS
from ukb_brain.synthetic.people import latents, variates
from ukb_brain.synthetic.scans import PeopleBatch, missing_files, write_batch
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import DWI, FLAIR, MATRIX, SERIES, T1, Scan, Visits, visits_of

SEED = 4
MODALITIES = imaging().modalities


def cohort(participants=12, seed=SEED, **settings):
    sizes = {"voxel_mm": 8, "regions": 26, "time_points": 60} | settings
    return SyntheticCohort(participants=participants, seed=seed, **sizes)


@pytest.fixture
def write(anatomy_file, tmp_path):
    """Write the scans of some people into a folder of that name."""

    def run(name, numbers, of=None):
        bulk = tmp_path / name
        for field in (T1, FLAIR, DWI, MATRIX, SERIES):
            (bulk / str(field)).mkdir(parents=True, exist_ok=True)
        written = write_batch(
            PeopleBatch(tuple(numbers), of or cohort(), anatomy_file, bulk, MODALITIES)
        )
        return bulk, written

    return run


def digests(bulk):
    return {
        str(p.relative_to(bulk)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(bulk.rglob("*"))
        if p.is_file()
    }


def of_person(files, number):
    return {name: d for name, d in files.items() if f"/{9_000_000 + number}_" in name}


def someone(state="ok", field=None, instance=2):
    """The first person with such a scan."""
    for number in range(1, 3000):
        for scan in visits_of(SEED, number).scans:
            if (scan.state, scan.instance) == (state, instance) and field in (None, scan.field):
                return number, scan
    raise AssertionError("nobody")


def test_a_person_is_the_same_whatever_the_cohort_order_and_batch(write):
    everyone, written = write("everyone", range(1, 7))
    files = digests(everyone)
    assert written == len(files) > 20
    backwards, _ = write("backwards", range(6, 0, -1), cohort(participants=5000))
    assert digests(backwards) == files
    alone, _ = write("alone", [3])
    assert digests(alone) == of_person(files, 3)


def test_another_seed_gives_other_bytes(write):
    first, _ = write("first", [1])
    second, _ = write("second", [1], cohort(seed=SEED + 1))
    shared = digests(first).keys() & digests(second).keys()
    assert shared
    assert all(digests(first)[name] != digests(second)[name] for name in shared)


def test_people_and_visits_differ(write):
    number, _ = someone(instance=3)
    bulk, _ = write("some", [number, number + 1])
    files = digests(bulk)
    assert len(set(files.values())) == len(files)
    assert any("_3_0." in name for name in of_person(files, number))


def test_a_second_run_writes_nothing(write):
    bulk, written = write("bulk", [1, 2])
    assert written > 0
    before = {p: p.stat().st_mtime_ns for p in bulk.rglob("*")}
    assert write("bulk", [1, 2])[1] == 0
    assert {p: p.stat().st_mtime_ns for p in bulk.rglob("*")} == before


def test_a_resumed_person_has_the_same_bytes(write):
    number, _ = someone(instance=3)
    bulk, _ = write("bulk", [number])
    files = digests(bulk)
    assert len(files) > 6
    for name in files:
        (bulk / name).unlink()
        others = {p: p.stat().st_mtime_ns for p in bulk.rglob("*") if p.is_file()}
        assert [
            f"{s.field}/{s.file_name(number)}" for s in missing_files(cohort(), number, bulk, {})
        ] == [name]
        assert write("bulk", [number])[1] == 1
        assert digests(bulk) == files
        assert all(p.stat().st_mtime_ns == stamp for p, stamp in others.items())


def test_a_killed_generation_leaves_nothing_that_counts(write, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write("bulk", [1])
    bulk, written = write("bulk", [1])
    untouched, _ = write("other", [1])
    assert written == len(digests(untouched))
    assert digests(bulk) == digests(untouched)


def test_all_scans_but_the_missing_are_files(write):
    bulk, _ = write("bulk", range(1, 13))
    expected = {
        f"{scan.field}/{scan.file_name(number)}"
        for number in range(1, 13)
        for scan in visits_of(SEED, number).scans
        if scan.state != "missing"
    }
    assert digests(bulk).keys() == expected


MEMBERS = {
    T1: {"T1/T1_unbiased_brain.nii.gz", "T1/T1_brain_mask.nii.gz", "T1/T1_brain_to_MNI.nii.gz",
         "T1/transforms/T1_to_MNI_linear.mat"},
    FLAIR: {"T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz", "T2_FLAIR/lesions/final_mask.nii.gz"},
    DWI: {"dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz", "dMRI/dMRI/dti_FA.nii.gz"},
}  # fmt: skip


@pytest.fixture(scope="module")
def one_scan(anatomy_file, tmp_path_factory):
    """One file of one person, in a state of our choice."""

    def run(field, state="ok", number=2, instance=2, of=None):
        bulk = tmp_path_factory.mktemp("one")
        (bulk / str(field)).mkdir()
        scan = Scan(field, instance, state)
        batch = PeopleBatch((number,), of or cohort(), anatomy_file, bulk, MODALITIES)
        scans.Session(batch, number, instance).write(scan)
        return BulkFile(bulk / str(field) / scan.file_name(number))

    return run


@pytest.mark.parametrize("field", MEMBERS)
def test_member_names_are_uk_biobanks(one_scan, field):
    with zipfile.ZipFile(one_scan(field).path) as archive:
        assert set(archive.namelist()) == MEMBERS[field]
        assert archive.testzip() is None


@pytest.mark.parametrize("field", [*MEMBERS, SERIES])
def test_no_clock_gets_into_the_bytes(one_scan, field):
    with zipfile.ZipFile(one_scan(field).path) as archive:
        for member in archive.infolist():
            assert member.date_time == (2020, 1, 1, 0, 0, 0)
            if member.filename.endswith(".gz"):
                assert archive.read(member)[4:8] == bytes(4)


@pytest.mark.parametrize("field", MEMBERS)
def test_unusable_and_broken_scans_are_so(one_scan, field):
    image = next(name for name in sorted(MEMBERS[field]) if name.endswith("nii.gz"))
    for state in ("unusable", "broken"):
        with pytest.raises(ScanError) as caught:
            one_scan(field, state).image(image)
        assert caught.value.status == state


def test_unusable_and_broken_time_series(one_scan):
    for state in ("unusable", "broken"):
        with pytest.raises(ScanError) as caught:
            one_scan(SERIES, state).time_series("Glasser")
        assert caught.value.status == state


def image_in(file, name):
    with zipfile.ZipFile(file.path) as archive:
        return nib.Nifti1Image.from_bytes(gzip.decompress(archive.read(name)))


def test_grids_and_types_of_images(one_scan):
    t1, flair, dwi = one_scan(T1), one_scan(FLAIR), one_scan(DWI)
    native = image_in(t1, "T1/T1_unbiased_brain.nii.gz")
    # 208 × 256 × 256 mm in voxels of 8 mm.
    assert native.shape == (26, 32, 32)
    assert native.get_data_dtype() == np.int16
    np.testing.assert_allclose(native.header.get_zooms(), 8, atol=1e-5)
    assert np.linalg.det(native.affine) > 0
    np.testing.assert_allclose(native.get_qform(), native.get_sform(), atol=1e-4)
    in_t1_space = image_in(flair, "T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz")
    assert in_t1_space.shape == native.shape
    np.testing.assert_array_equal(in_t1_space.affine, native.affine)
    fa = image_in(dwi, "dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz")
    assert fa.shape == fsl_mni(8)[0]
    np.testing.assert_array_equal(fa.affine, fsl_mni(8)[1])
    assert fa.get_data_dtype() == np.float32
    assert fa.get_fdata().min() >= 0
    assert 0.3 < fa.get_fdata().max() <= 1
    assert image_in(t1, "T1/T1_brain_mask.nii.gz").get_data_dtype() == np.uint8


def test_two_modalities_of_one_zip_have_noise_of_their_own(one_scan, anatomy_file, tmp_path):
    flair = MODALITIES["flair"]
    other = {"flair": flair.model_copy(update={"field": T1})}
    scan, batch = (
        Scan(T1, 2, "ok"),
        PeopleBatch((2,), cohort(), anatomy_file, tmp_path, MODALITIES | other),
    )
    (tmp_path / str(T1)).mkdir()
    scans.Session(batch, 2, 2).write(scan)
    both = BulkFile(tmp_path / str(T1) / scan.file_name(2))
    (t1,) = MODALITIES["t1"].member
    np.testing.assert_array_equal(both.image(t1).get_fdata(), one_scan(T1).image(t1).get_fdata())
    own = one_scan(FLAIR).image(flair.member[0]).get_fdata()
    moved = both.image(flair.member[0]).get_fdata()
    np.testing.assert_array_equal(moved > 0, own > 0)
    assert 0.05 < (moved - own)[own > 0].std() / 1000 < 0.12


def test_mean_diffusivity_is_drawn_where_it_is_asked_for(one_scan, anatomy_file, tmp_path):
    md = imaging(["md"]).modalities
    (tmp_path / str(DWI)).mkdir()
    scan = Scan(DWI, 2, "ok")
    batch = PeopleBatch((2,), cohort(), anatomy_file, tmp_path, MODALITIES | md)
    scans.Session(batch, 2, 2).write(scan)
    both = BulkFile(tmp_path / str(DWI) / scan.file_name(2))
    assert set(both.names()) == MEMBERS[DWI] | {md["md"].member[0]}
    fa = both.image(MODALITIES["dwi"].member[0]).get_fdata()
    assert (fa == one_scan(DWI).image(MODALITIES["dwi"].member[0]).get_fdata()).all()
    values = both.image(md["md"].member[0]).get_fdata()
    np.testing.assert_array_equal(values > 0, fa > 0)
    # In mm²/s, and lower where water goes one way.
    assert 5e-4 < values[fa > 0.4].mean() < 8e-4 < values[(fa > 0) & (fa < 0.1)].mean() < 1e-3


def test_t1_in_mni_space_keeps_what_tissues_look_like(anatomy_file, tmp_path):
    batch = PeopleBatch((2,), cohort(), anatomy_file, tmp_path, MODALITIES)
    session = scans.Session(batch, 2, 2)
    plain = scans.Session(batch, 2, 2)
    plain.brain = replace(plain.brain, structural=np.zeros_like(plain.brain.structural))
    changed = session._in_mni.images["t1"] - plain._in_mni.images["t1"]
    assert np.abs(changed).mean() > 0.005
    np.testing.assert_array_equal(session._in_mni.images["dwi"], plain._in_mni.images["dwi"])


def test_brain_extracted_images_are_empty_outside_the_mask(one_scan):
    t1, flair = one_scan(T1), one_scan(FLAIR)
    mask = image_in(t1, "T1/T1_brain_mask.nii.gz").get_fdata() > 0
    for file, name in ((t1, "T1/T1_unbiased_brain.nii.gz"),
                       (flair, "T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz")):  # fmt: skip
        values = image_in(file, name).get_fdata()
        assert (values[mask] > 0).all()
        assert not values[~mask].any()
    assert 1000 < mask.sum() * 8**3 / 1000 < 2200


def test_matrix_takes_the_brain_to_the_middle_of_mni_whatever_the_voxel_size(
    one_scan, tmp_path_factory
):
    """Scaled-voxel coordinates of the native middle, by hand, end near (0, −18, 10) mm."""
    file = one_scan(T1)
    shape = image_in(file, "T1/T1_unbiased_brain.nii.gz").shape
    matrix = file.matrix("T1/transforms/T1_to_MNI_linear.mat")
    middle = 8.0 * (np.array(shape) - 1) / 2
    sx, sy, sz = apply_affine(matrix, middle)
    np.testing.assert_allclose([90 - sx, sy - 126, sz - 72], [0, -18, 10], atol=30)
    # Linear, nearly a rotation, and without a mirror.
    assert 0.5 < np.linalg.det(matrix) < 2
    np.testing.assert_array_equal(matrix[3], [0, 0, 0, 1])


def test_connectivity_files(one_scan):
    values = [float(v) for v in one_scan(MATRIX).path.read_text().split()]
    assert len(values) == 210
    assert max(map(abs, values)) > 1
    series = one_scan(SERIES).time_series("Glasser").values
    assert series.shape == (26, 60)
    larger = one_scan(SERIES, of=cohort(regions=40, time_points=75)).time_series(None)
    assert larger.values.shape == (40, 75)
    assert larger.labels[:2] == ("R_V1_ROI", "R_MST_ROI")
    assert larger.labels[20] == "L_V1_ROI"


def test_head_size_is_undone_by_the_matrix(anatomy_file, tmp_path):
    """A large head needs a matrix that shrinks it: field 25000 is that scaling."""
    heads, scalings = [], []
    for number in range(1, 41):
        session = scans.Session(
            PeopleBatch((number,), cohort(), anatomy_file, tmp_path, MODALITIES), number, 2
        )
        heads.append(session.head)
        scalings.append(np.linalg.det(session.head_position()))
    assert np.corrcoef(heads, scalings)[0, 1] < -0.9
    assert np.mean(scalings) == pytest.approx(1.29, abs=0.06)


def test_repeat_scans_show_an_older_and_otherwise_similar_brain(anatomy_file, tmp_path):
    number, _ = someone(instance=3)
    visits: Visits = visits_of(SEED, number)
    assert 3 in visits.dates
    batch = PeopleBatch((number,), cohort(), anatomy_file, tmp_path, MODALITIES)
    first, repeat = (scans.Session(batch, number, instance) for instance in (2, 3))
    np.testing.assert_array_equal(first.brain.shapes, repeat.brain.shapes)
    np.testing.assert_array_equal(first.brain.site, repeat.brain.site)
    assert np.corrcoef(first.brain.textures, repeat.brain.textures)[0, 1] > 0.7
    assert not np.array_equal(first.brain.structural, repeat.brain.structural)
    np.testing.assert_array_equal(first.head_position(), repeat.head_position())
    # The noise of a visit is its own, or it would tell who a person is.
    noise = [session._noise_of(T1).standard_normal(50) for session in (first, repeat)]
    assert abs(np.corrcoef(noise)[0, 1]) < 0.5


def test_factors_of_the_scans_follow_the_latents_of_the_table(anatomy_file, tmp_path):
    many = cohort(participants=600)
    z = latents(variates(SEED, range(1, 601)))
    structural = np.array(
        [
            scans.Session(
                PeopleBatch((n,), many, anatomy_file, tmp_path, MODALITIES), n, 2
            ).brain.structural
            for n in range(1, 601)
        ]
    )
    for k, factor in enumerate(FACTORS["structural"]):
        if factor.latent in z:
            found = np.corrcoef(structural[:, k], z[factor.latent])[0, 1]
            assert found == pytest.approx(factor.rho, abs=0.13), factor.name
