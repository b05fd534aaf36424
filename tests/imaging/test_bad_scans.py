"""Every kind of bad scan that was met or thought of, as a real file: its row, and its cause.

One person of three has it, in a batch as workers take them; the other two come out as without it.
"""

import contextlib
import gzip
import io
import os
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scan_cases import (
    GLASSER,
    NATIVE,
    NATIVE_SHAPE,
    dwi_members,
    flair_members,
    head,
    imaging,
    nifti,
    series_members,
    series_text,
    t1_members,
    zipped,
)

from ukb_brain.imaging import bulk
from ukb_brain.imaging.affines import fsl_mni
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.imaging.preprocess import VisitBatch, preprocess_batch
from ukb_brain.imaging.readers import Parcellation, Visit
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger.attempts import forget_peak, peak_memory

SETTINGS = imaging(shape=(18, 22, 20), voxel_mm=8.0)
REGIONS = {"rsfmri": Parcellation(tuple(f"R_{k}_ROI" for k in range(5)), 10)}
MEMBERS = {20252: t1_members, 20253: flair_members, 20250: dwi_members, 31016: series_members}
STORES = {"t1": "volumes", "flair": "volumes", "dwi": "volumes", "rsfmri": "vectors"}
BEFORE, BAD, AFTER = ((9000001 + k, 2) for k in range(3))

T1 = "T1/T1_unbiased_brain.nii.gz"
MATRIX = "T1/transforms/T1_to_MNI_linear.mat"
FA = "dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz"
GOOD = t1_members()
RAW = gzip.decompress(GOOD[T1])
DATA = nib.Nifti1Image.from_bytes(RAW).get_fdata(dtype=np.float32)
# A FLAIR lies where the matrix in the T1's zip says.
WITH_T1 = ("t1", "flair")


@dataclass(frozen=True)
class Case:
    """What is done to the good file of a field, and what is said of it."""

    given: str
    do: Callable[[Path], None]
    says: str
    status: str = "broken"
    field: int = 20252
    touches: tuple[str, ...] = ("t1",)


# --- ways to spoil a file -------------------------------------------------------------------


def content(made):
    """The whole file, or what is made of the good one."""
    return lambda path: path.write_bytes(made(path.read_bytes()) if callable(made) else made)


def members(more, good=GOOD):
    return content(zipped(good | more))


def image(packed):
    return members({T1: packed})


def volume(data, affine=NATIVE):
    return image(nifti(data, affine))


def raw(place, fmt, *values):
    """The good image with other values in its header."""
    changed = bytearray(RAW)
    struct.pack_into(fmt, changed, place, *values)
    return image(gzip.compress(bytes(changed)))


def matrix(text):
    return members({MATRIX: text})


def series(packed):
    return content(zipped({f"fMRI/{GLASSER}": packed}))


def with_one(place, value):
    data = DATA.copy()
    data[place] = value
    return data


def written(*entries):
    """A zip of the good members, then others by name or `ZipInfo`."""

    def do(path):
        with zipfile.ZipFile(path, "a") as archive:
            for name, text in entries:
                archive.writestr(name, text)

    return do


def link_member(path):
    info = zipfile.ZipInfo(T1)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    path.write_bytes(zipped({k: v for k, v in GOOD.items() if k != T1}))
    written((info, "/etc/passwd"))(path)


def flagged(path):
    """The first member marked as encrypted, in its own header and in the directory."""
    packed = bytearray(zipped(GOOD))
    packed[6] |= 1
    packed[packed.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(packed)


def claims(size):
    def do(path):
        packed = bytearray(zipped(GOOD))
        struct.pack_into("<I", packed, packed.find(b"PK\x01\x02") + 24, size)
        path.write_bytes(packed)

    return do


def flipped(packed):
    at = len(packed) // 3
    return packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]


def folder(path):
    path.unlink()
    path.mkdir()


def dangling(path):
    path.unlink()
    path.symlink_to(path.with_name("gone.zip"))


def constant(data):
    return np.where(data > 0, np.float32(7), np.float32(0))


def of_fa(data):
    return content(zipped({FA: nifti(data, fsl_mni(8)[1])}))


FOUR = np.stack([DATA, DATA], axis=-1)
RGB = np.zeros(NATIVE_SHAPE, dtype=[(c, "u1") for c in "RGB"])
DAMAGED = "the zip is damaged or cut off"
LEAVES = "the zip holds a member whose path leaves the zip"
THREE = "where three axes were expected"
ROWS = f"{MATRIX} is not 4 rows of 4 numbers"
# Not unpacked: a member of zeros whose parts are one part again and again.
PART = gzip.compress(bytes(1 << 26), mtime=0)

CASES = [
    # The file itself.
    Case("an empty bulk file", content(b""), "the bulk file is empty", touches=WITH_T1),
    Case("a zip cut off in the middle", content(lambda c: c[: len(c) // 2]), DAMAGED,
         touches=WITH_T1),
    Case("a zip without its last byte", content(lambda c: c[:-1]), DAMAGED, touches=WITH_T1),
    Case("a byte of a zip's member flipped", content(flipped), DAMAGED),
    Case("a web page saved as a zip",
         content(b"\n<!DOCTYPE html><html><body>Please log in</body></html>"),
         "the bulk file is a web page, as a failed download leaves it: fetch it again",
         touches=WITH_T1),
    Case("a text saved as a zip", content(b"quota exceeded\n"), "the bulk file is no zip",
         touches=WITH_T1),
    Case("a folder where a bulk file is expected", folder, "the bulk file is a folder",
         touches=WITH_T1),
    Case("a bulk file that vanished", Path.unlink, "the bulk file is not there, or no longer",
         "missing", touches=WITH_T1),
    Case("a dangling link among bulk files", dangling,
         "the bulk file is a link that leads nowhere", "missing", touches=WITH_T1),
    # Its members.
    Case("a zip without the member", content(zipped({MATRIX: GOOD[MATRIX]})),
         f"the zip has no {T1}; it holds {MATRIX}", "missing"),
    Case("scans that UK Biobank put aside", content(zipped(t1_members(prefix="T1/unusable/"))),
         "UK Biobank put the scan under `unusable`", "unusable", touches=WITH_T1),
    Case("a member named ../", written(("../outside.txt", b"x")), LEAVES, touches=WITH_T1),
    Case("a member of an absolute path", written(("/tmp/outside.txt", b"x")), LEAVES,
         touches=WITH_T1),
    Case("a member named T1\\..\\..\\", written(("T1\\..\\..\\outside.txt", b"x")), LEAVES,
         touches=WITH_T1),
    Case("a member that is a link", link_member, f"{T1} is a link, and not the file"),
    Case("an encrypted member", flagged, f"{T1} is encrypted"),
    Case("a member that is there twice, each another", written((T1, nifti(DATA + 1, NATIVE))),
         f"the zip holds {T1} 2 times, each another"),
    Case("a member that claims gigabytes", claims(0xF0000000),
         f"{T1} claims more than half a GiB, as no scan does"),
    Case("a gzip bomb", image(PART * 9), f"{T1} unpacks to more than half a GiB, as no scan does"),
    # What should be a NIfTI.
    Case("an image that is not gzipped", image(RAW), f"{T1} is not gzipped"),
    Case("an empty image", image(b""), f"{T1} is empty"),
    Case("a gzip that is cut off", image(GOOD[T1][:-12]), f"{T1} is cut off"),
    Case("a gzip with a flipped byte", image(flipped(GOOD[T1])), f"{T1} is damaged"),
    Case("a gzipped text in place of an image", image(gzip.compress(b"x" * 5000)),
         f"{T1} does not begin with the header of a NIfTI image"),
    Case("a NIfTI of a wrong magic", raw(344, "4s", b"nix\0"),
         f"{T1} does not begin with the header of a NIfTI image"),
    Case("the header of a NIfTI whose data are in another file", raw(344, "4s", b"ni1\0"),
         f"{T1} does not begin with the header of a NIfTI image"),
    Case("a header of an unknown type", raw(70, "<h", 9999),
         f"{T1} has a NIfTI header of impossible values"),
    Case("a header that claims more than its data", raw(42, "<hhh", 32000, 32000, 32000),
         f"{T1} has fewer data than its header tells"),
    Case("a header without data", image(gzip.compress(RAW[:352])),
         f"{T1} has fewer data than its header tells"),
    # What it holds.
    Case("a 4-D image", volume(FOUR), f"{T1} has 20 × 25 × 22 × 2 voxels {THREE}"),
    Case("a single slice", volume(DATA[:, :, :1]), f"{T1} has 20 × 25 × 1 voxels {THREE}"),
    Case("an image of size 0", raw(42, "<h", 0), f"{T1} has 0 × 25 × 22 voxels {THREE}"),
    Case("an image of a negative size", raw(42, "<h", -7), f"{T1} has -7 × 25 × 22 voxels {THREE}"),
    Case("an image of complex numbers", volume(DATA.astype(np.complex64)),
         f"{T1} holds complex numbers where one number a voxel was expected"),
    Case("an image of colours", volume(RGB),
         f"{T1} holds colours where one number a voxel was expected"),
    Case("an image of zeros", volume(0 * DATA), f"{T1} holds nothing but 0"),
    Case("an image of NaN", volume(np.nan * DATA), f"{T1} holds nothing but 0"),
    Case("an infinite voxel", volume(with_one((9, 12, 11), np.inf)),
         f"{T1} holds infinite numbers"),
    Case("a voxel of 3e38", volume(with_one((9, 12, 11), 3e38)),
         f"{T1} holds numbers beyond 1e+09"),
    Case("a constant image", volume(constant(DATA)), "all voxels of the brain are equal"),
    Case("an image of one number everywhere", volume(np.ones_like(DATA)),
         "all voxels of the brain are equal"),
    Case("a constant FA, which has a fixed scale",
         of_fa(0.3 * (head(*fsl_mni(8)) > 0)), "all voxels of the brain are equal",
         field=20250, touches=("dwi",)),
    Case("an affine that is singular", raw(280, "<4f", 0, 0, 0, 0),
         f"{T1} has no invertible affine"),
    Case("an affine of NaN", raw(280, "<f", np.nan), f"{T1} has no invertible affine"),
    Case("voxels of 4 m", volume(DATA, NATIVE * 500), "its voxels of 4e+03 mm are no scan's"),
    Case("a brain of which the grid has next to nothing",
         volume(np.pad(DATA[8:11, 10:13, 9:12], [(8, 9), (10, 12), (9, 10)])),
         "fills 0% of the common grid"),
    # The matrix.
    Case("a matrix of 3 rows", matrix("1 0 0 14\n0 1 0 12\n0 0 1 -4\n"), ROWS, touches=WITH_T1),
    Case("a garbled matrix", matrix(b"\xff\xfe\x00\x01"), ROWS, touches=WITH_T1),
    Case("a matrix in words", matrix("one two three four " * 4), ROWS, touches=WITH_T1),
    Case("an empty matrix", matrix(""), ROWS, touches=WITH_T1),
    Case("a singular matrix", matrix("0 " * 15 + "1"), f"{MATRIX} is not an invertible matrix",
         touches=WITH_T1),
    Case("a matrix of NaN", matrix("nan " * 16), f"{MATRIX} is not an invertible matrix",
         touches=WITH_T1),
    Case("a matrix whose last row is not 0 0 0 1",
         matrix("1 0 0 14\n0 1 0 12\n0 0 1 -4\n0 0.1 0 1\n"),
         f"{MATRIX} has a last row that is not 0 0 0 1", touches=WITH_T1),
    Case("a matrix that leads elsewhere", matrix("1 0 0 900\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"),
         "fills 0% of the common grid", touches=WITH_T1),
    Case("a matrix of absurd numbers", matrix("1 0 0 1e8\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"),
         "its place in MNI space is out of reach", touches=WITH_T1),
    # Time series.
    Case("time series that are cut off", series(gzip.compress(series_text().encode())[:200]),
         f"fMRI/{GLASSER} is cut off", field=31016, touches=("rsfmri",)),
    Case("time series of words", series(gzip.compress(b"label_name,timepoint_0\nr,two\n")),
         "the time series holds something that is not a number", field=31016, touches=("rsfmri",)),
    Case("time series that are a bomb", series(PART * 9),
         f"fMRI/{GLASSER} unpacks to more than half a GiB, as no scan does", field=31016,
         touches=("rsfmri",)),
]  # fmt: skip


# --- the batch ------------------------------------------------------------------------------


class Batch:
    """Bulk files of three people, in a folder of their own, and stores beside it."""

    def __init__(self, place):
        self.bulk, self.stores = place / "bulk", place / "stores"
        self.bulk.mkdir()
        self.stores.mkdir()
        for k, key in enumerate((BEFORE, BAD, AFTER)):
            for j, (field, make) in enumerate(MEMBERS.items()):
                # The bad person's are the good ones of `GOOD`.
                self.path(key, field).write_bytes(zipped(make(*([10 * k + j] if k != 1 else []))))

    def path(self, key, field):
        return self.bulk / f"{key[0]}_{field}_{key[1]}_0.zip"

    def run(self):
        visits = tuple(
            Visit(key, {field: BulkFile(self.path(key, field)) for field in MEMBERS})
            for key in (BEFORE, BAD, AFTER)
        )
        stores = (self.stores / "volumes", self.stores / "vectors")
        return preprocess_batch(VisitBatch(visits, SETTINGS, REGIONS, *stores))

    def records(self):
        stores = {name: RecordStore(self.stores / name) for name in set(STORES.values())}
        return {
            (*key, modality): stores[name].read(modality, key).tobytes()
            for modality, name in STORES.items()
            for key in stores[name].keys(modality)
        }


def by_scan(rows):
    return {(row["eid"], row["instance"], row["modality"]): row for row in rows}


def files_around(place):
    """All files but those of stores, whose content is told by `Batch.records`."""
    return sorted(p for p in place.rglob("*") if "stores" not in p.parts)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Rows and records of three good people."""
    batch = Batch(tmp_path_factory.mktemp("good"))
    rows = by_scan(batch.run())
    assert {row["status"] for row in rows.values()} == {"ok"}
    return rows, batch.records()


def marked(cases):
    for case in cases:
        mark = pytest.mark.bad_input(given=case.given, says=case.says)
        yield pytest.param(case, id=case.given, marks=mark)


@pytest.mark.parametrize("case", marked(CASES))
@pytest.mark.filterwarnings("ignore:Duplicate name")  # members that are there twice
def test_a_bad_scan_is_a_row_with_its_cause_and_the_others_are_as_without_it(tmp_path, good, case):
    place = tmp_path / "data"
    place.mkdir()
    batch = Batch(place)
    case.do(batch.path(BAD, case.field))
    there = files_around(tmp_path)
    rows = by_scan(batch.run())
    expected_rows, expected_records = good
    bad = {(*BAD, modality) for modality in case.touches}
    for scan in bad:
        row = rows.pop(scan)
        assert (row["status"], row["reason"]) == (case.status, case.says)
        assert str(BAD[0]) not in row["reason"]
        assert row.keys() == {"eid", "instance", "modality", "status", "reason"}
    assert rows == {scan: row for scan, row in expected_rows.items() if scan not in bad}
    kept = {scan: array for scan, array in expected_records.items() if scan not in bad}
    assert batch.records() == kept
    assert files_around(tmp_path) == there
    assert not Path("/tmp/outside.txt").exists()


def test_there_are_many_kinds_and_none_twice():
    assert len({case.given for case in CASES}) == len(CASES) > 50


def test_a_bomb_takes_no_more_memory_than_the_largest_scan(tmp_path):
    batch = Batch(tmp_path)
    forget_peak()
    before = peak_memory()["process_bytes"]
    image(PART * 40)(batch.path(BAD, 20252))
    batch.run()
    # 2.5 GiB when unpacked; the buffer, and a copy of what came after its first part.
    assert peak_memory()["process_bytes"] - before < 1.25 * (bulk.LARGEST_MEMBER * 2)


@contextlib.contextmanager
def nobody():
    """Without root's rights, to whom no file is closed."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def for_all():
    """A folder that anybody may enter; pytest's own are closed."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o777)
    yield place
    shutil.rmtree(place)


@pytest.mark.bad_input(
    given="a bulk file that may not be read", says="no permission to read the bulk file"
)
def test_a_file_without_permission_is_a_row_too(for_all, good, says):
    batch = Batch(for_all)
    batch.stores.chmod(0o777)
    batch.path(BAD, 20250).chmod(0)
    with nobody():
        rows = by_scan(batch.run())
    row = rows.pop((*BAD, "dwi"))
    assert (row["status"], row["reason"]) == ("broken", says)
    assert rows == {scan: row for scan, row in good[0].items() if scan != (*BAD, "dwi")}


def test_a_file_that_vanishes_while_it_is_read_is_missing(tmp_path, good, monkeypatch):
    batch, opens = Batch(tmp_path), zipfile.ZipFile

    def vanishes(path, *more):
        if path == batch.path(BAD, 31016):
            path.unlink(missing_ok=True)
        return opens(path, *more)

    monkeypatch.setattr(zipfile, "ZipFile", vanishes)
    rows = by_scan(batch.run())
    row = rows.pop((*BAD, "rsfmri"))
    assert (row["status"], row["reason"]) == ("missing", "the bulk file is not there, or no longer")
    assert rows == {scan: row for scan, row in good[0].items() if scan != (*BAD, "rsfmri")}


# --- unusual, and right ---------------------------------------------------------------------


def as_kind(kind, endianness="<"):
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(np.dtype(np.float32).newbyteorder(endianness))
    made = kind(DATA, NATIVE, header)
    return image(gzip.compress(made.to_bytes()))


def scaled(slope):
    """Whole numbers, with a slope that says nothing."""
    whole = bytearray(nib.Nifti1Image(np.rint(100 * DATA).astype(np.int16), NATIVE).to_bytes())
    struct.pack_into("<ff", whole, 112, slope, 10.0)
    return image(gzip.compress(bytes(whole)))


def packed_by(method):
    def do(path):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            for name, member in GOOD.items():
                archive.writestr(name, member)
        path.write_bytes(packed.getvalue())

    return do


RIGHT = [
    ("NaN outside the brain", volume(np.where(DATA == 0, np.nan, DATA)), "as 0, like outside"),
    ("a T1 of shape (x, y, z, 1)", volume(DATA[..., None]), "as (x, y, z)"),
    ("a T1 of shape (x, y, z, 1, 1)", volume(DATA[..., None, None]), "as (x, y, z)"),
    ("a big-endian image", as_kind(nib.Nifti1Image, ">"), "as its header means it"),
    ("an image in NIfTI-2", as_kind(nib.Nifti2Image), "as its header means it"),
    ("backslashes in a zip's names",
     content(zipped({k.replace("/", "\\"): v for k, v in GOOD.items()})), "as slashes"),
    ("a zip with a folder around everything",
     content(zipped({f"2_0/{k}": v for k, v in GOOD.items()})), "the same"),
    ("a zip packed by LZMA", packed_by(zipfile.ZIP_LZMA), "the same"),
    ("a member that is there twice, the same", written((T1, GOOD[T1])), "once"),
    ("a good scan beside one that was put aside", written(("T1/unusable/x.nii.gz", b"")),
     "the good one"),
]  # fmt: skip


@pytest.mark.parametrize(
    "do",
    [
        pytest.param(do, id=given, marks=pytest.mark.bad_input(given=given, says=f"read: {how}"))
        for given, do, how in RIGHT
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")  # by zipfile: members that are there twice
def test_an_unusual_scan_is_read_as_it_is_meant(tmp_path, good, do):
    batch = Batch(tmp_path)
    do(batch.path(BAD, 20252))
    rows = by_scan(batch.run())
    # What is no number is counted, and 0.
    rows[*BAD, "t1"]["not_finite"] = 0.0
    assert rows == good[0]
    assert batch.records() == good[1]


@pytest.mark.parametrize(
    "slope",
    [
        pytest.param(
            slope,
            marks=pytest.mark.bad_input(
                given=f"an image whose scl_slope is {name}", says="read: its numbers as they are"
            ),
        )
        for slope, name in ((0.0, "0"), (np.nan, "NaN"))
    ],
)
def test_a_slope_that_says_nothing_scales_nothing(tmp_path, good, slope):
    batch = Batch(tmp_path)
    scaled(slope)(batch.path(BAD, 20252))
    rows, expected = by_scan(batch.run()), good[0][(*BAD, "t1")]
    assert rows[*BAD, "t1"]["mean_intensity"] == pytest.approx(
        100 * expected["mean_intensity"], rel=1e-3
    )
    assert rows[*BAD, "t1"]["brain_ml"] == expected["brain_ml"]
