import gzip
import lzma
import re
import struct
import zipfile

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import GLASSER, nifti, series_members, series_text

from ukb_brain.imaging import bulk
from ukb_brain.imaging.bulk import BulkFile, ScanError

NAME = "T1/T1_unbiased_brain.nii.gz"
MATRIX = "T1/transforms/T1_to_MNI_linear.mat"
AFFINE = np.diag([-2.0, 3.0, 4.0, 1.0])


def status(read, *arguments):
    with pytest.raises(ScanError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return caught.value.status


def header_with(volume, offset, fmt, *values):
    raw = bytearray(gzip.decompress(nifti(volume, AFFINE)))
    struct.pack_into(fmt, raw, offset, *values)
    return gzip.compress(bytes(raw))


def test_reads_an_image_with_its_values_and_affine(zip_of, volume):
    image = zip_of({NAME: nifti(volume, AFFINE)}).image(NAME)
    np.testing.assert_array_equal(image.get_fdata(), volume)
    np.testing.assert_array_equal(image.affine, AFFINE)


def test_an_image_that_is_held_is_not_written_over(zip_of, volume):
    file = zip_of({NAME: nifti(volume, AFFINE), "b.nii.gz": nifti(volume + 1, AFFINE)})
    first = file.image(NAME)
    second = file.image("b.nii.gz")
    np.testing.assert_array_equal(first.get_fdata(), volume)
    np.testing.assert_array_equal(second.get_fdata(), volume + 1)
    del first, second
    again = np.asarray(file.image(NAME).dataobj)
    held = again.copy()
    for _ in range(3):
        file.image("b.nii.gz")
    np.testing.assert_array_equal(again, held)


def test_room_is_used_again_once_nobody_holds_it():
    first = bulk._room(1000)
    second = bulk._room(1000)
    assert not np.shares_memory(first, second)
    place = second.ctypes.data
    del second
    assert bulk._room(900).ctypes.data == place


def test_reads_nothing_to_disk(zip_of, volume, tmp_path):
    zip_of({NAME: nifti(volume, AFFINE)}).image(NAME)
    assert [p.name for p in tmp_path.iterdir()] == ["scan.zip"]


def test_scaled_integers_are_scaled(zip_of):
    stored = np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9)
    content = header_with(stored, 112, "<ff", 0.5, 10.0)
    np.testing.assert_allclose(zip_of({NAME: content}).image(NAME).get_fdata(), stored * 0.5 + 10)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_headers_mean_what_nibabel_reads(zip_of, kind, endianness, dtype):
    stored = np.random.default_rng(0).integers(1, 200, (7, 8, 9)).astype(dtype)
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endianness))
    image = kind(stored, AFFINE, header)
    image.set_qform(AFFINE, code=1)
    content = image.to_bytes()
    read = zip_of({NAME: gzip.compress(content)}).image(NAME)
    np.testing.assert_array_equal(read.get_fdata(), stored)
    np.testing.assert_array_equal(read.affine, kind.from_bytes(content).affine)
    assert read.get_data_dtype() in (np.uint8, np.int16, np.float32)


@pytest.mark.parametrize("tail", [b"", bytes(20)], ids=["", "padded with zeros"])
def test_gzip_that_tells_another_size_is_read_or_broken(zip_of, volume, tail):
    content = nifti(volume, AFFINE)
    image = zip_of({NAME: content + tail}).image(NAME)
    np.testing.assert_array_equal(image.get_fdata(), volume)
    assert status(zip_of({NAME: content[:-4] + b"\1\0\0\0" + tail}).image, NAME) == "broken"


def test_gzip_of_several_parts_is_read_whole(zip_of, volume):
    raw = gzip.decompress(nifti(volume, AFFINE))
    parts = gzip.compress(raw[:700]) + gzip.compress(raw[700:])
    np.testing.assert_array_equal(zip_of({NAME: parts}).image(NAME).get_fdata(), volume)


def test_another_member_under_unusable_leaves_this_one_missing(zip_of):
    assert status(zip_of({"T1/unusable/T1_brain_mask.nii.gz": b""}).image, NAME) == "missing"


def test_usable_member_is_read_beside_an_unusable_one(zip_of, volume):
    members = {"T1/unusable/T1_unbiased_brain.nii.gz": b"", NAME: nifti(volume, AFFINE)}
    assert zip_of(members).image(NAME).shape == (7, 8, 9)


def test_missing_member_and_missing_file(zip_of, tmp_path):
    assert status(zip_of({"T1/other": b"1"}).image, NAME) == "missing"
    absent = BulkFile(tmp_path / "absent.zip")
    assert status(absent.image, NAME) == "missing"
    assert status(absent.time_series, None) == "missing"
    assert status(absent.text) == "missing"


def test_member_that_claims_too_much_is_not_unpacked(zip_of, monkeypatch):
    monkeypatch.setattr(bulk, "LARGEST_MEMBER", 100)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    assert status(zip_of({NAME: b"x" * 101}).member, NAME) == "broken"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_gives_an_image_or_a_scan_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "scan.zip"
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    inside = data.draw(st.booleans())
    raw = bytearray(gzip.decompress(nifti(np.ones((7, 8, 9), np.float32), AFFINE)))
    if inside:
        for place in rng.integers(0, 348, 4):
            raw[place] = rng.integers(0, 256)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(NAME, gzip.compress(bytes(raw)))
        archive.writestr(GLASSER, gzip.compress(series_text(regions=2).encode()))
    if not inside:
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(0, 256)
        path.write_bytes(content)
    file = BulkFile(path)
    for read in (
        lambda: file.image(NAME),
        lambda: file.matrix(NAME),
        lambda: file.time_series(None),
    ):
        try:
            read()
        except ScanError as error:
            assert error.status in {"missing", "unusable", "broken"}


def test_matrix_is_read_as_written(zip_of):
    text = "1 2.5 0 4\n0 1 0 -3\n0 0 1e0 7\n0 0 0 1\n"
    expected = [[1, 2.5, 0, 4], [0, 1, 0, -3], [0, 0, 1, 7], [0, 0, 0, 1]]
    np.testing.assert_array_equal(zip_of({MATRIX: text}).matrix(MATRIX), expected)


@pytest.mark.parametrize("place", ["", "fMRI/", "fMRI\\"], ids=["top", "folder", "backslash"])
def test_time_series_are_found_at_the_top_and_in_a_folder(zip_of, place):
    found = zip_of(series_members(regions=3, name=f"{place}{GLASSER}")).time_series(None)
    assert found.labels == ("R_0_ROI", "R_1_ROI", "R_2_ROI")
    assert found.values.shape == (3, 60)


@pytest.fixture
def two_atlases(zip_of):
    small = series_members(regions=3, name="fMRI.Schaefer7n100p.csv.gz")
    return zip_of(series_members(regions=4, name="fMRI.Schaefer17n100p.csv.gz") | small)


@pytest.mark.bad_input(
    given="two atlases in one zip, one of them named in `imaging_preprocess.atlas`",
    says="read: the one that is named",
)
@pytest.mark.parametrize(("atlas", "regions"), [("Schaefer7n100p", 3), ("Schaefer17n100p", 4)])
def test_of_several_atlases_the_named_one_is_read(two_atlases, atlas, regions):
    assert len(two_atlases.time_series(atlas).labels) == regions


def test_of_several_atlases_none_is_taken_unasked(two_atlases):
    with pytest.raises(ScanError, match=r"none is named: Schaefer17n100p, Schaefer7n100p$"):
        two_atlases.time_series(None)
    with pytest.raises(ScanError, match="no time series of atlas Glasser"):
        two_atlases.time_series("Glasser")


def test_a_usable_atlas_is_read_beside_an_unusable_one(zip_of):
    unusable = series_members(regions=3, name="unusable/fMRI.aparc.csv.gz")
    assert len(zip_of(series_members(regions=4) | unusable).time_series(None).labels) == 4


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({f"unusable/{GLASSER}": b""}, "unusable"),
        ({"readme.txt": b""}, "missing"),
        ({"a.csv.gz": b""}, "missing"),
        ({GLASSER: b"not gzip"}, "broken"),
        ({GLASSER: gzip.compress(b"label_name,timepoint_0,timepoint_1\nr,1\n")}, "broken"),
        ({GLASSER: gzip.compress(b"label_name,timepoint_0\nr,two\n")}, "broken"),
        ({GLASSER: gzip.compress(b"r,1,2\n")}, "broken"),
        ({GLASSER: gzip.compress(b"\xff\xfe,1\n")}, "broken"),
    ],
    ids=["unusable", "none", "other", "no gzip", "ragged", "words", "no header", "binary"],
)
def test_bad_time_series(zip_of, members, expected):
    assert status(zip_of(members).time_series, None) == expected


def test_backslashes_hide_no_unusable_scan(zip_of):
    file = zip_of({"T1\\unusable\\T1_unbiased_brain.nii.gz": b""})
    assert status(file.image, NAME) == "unusable"


@pytest.mark.bad_input(
    given="a dangling link among bulk files", says="the bulk file is a link that leads nowhere"
)
def test_a_dangling_link_is_missing(tmp_path, says):
    link = tmp_path / "9000001_20252_2_0.zip"
    link.symlink_to(tmp_path / "gone.zip")
    file = BulkFile(link)
    for read in (lambda: file.fingerprint, lambda: file.image(NAME), file.text):
        with pytest.raises(ScanError, match=f"^{re.escape(says)}$") as caught:
            read()
        assert caught.value.status == "missing"


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), lzma.LZMAError("corrupt")])
def test_what_a_disk_or_an_unpacker_says_is_broken(zip_of, monkeypatch, error):
    file = zip_of({NAME: b"x"})

    def fails(*_):
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "read", fails)
    assert status(file.member, NAME) == "broken"


def test_fingerprint_changes_with_the_file(zip_of):
    before = zip_of({"a": b"1"}).fingerprint
    assert zip_of({"a": b"12"}).fingerprint != before
