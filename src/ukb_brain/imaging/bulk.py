"""Read members of UK Biobank's bulk files without unpacking them to disk."""

import difflib
import io
import lzma
import math
import re
import stat
import struct
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray
from zlib_ng import gzip_ng, zlib_ng

from ukb_brain.errors import InputError
from ukb_brain.imaging.roi_series import ROI_NAME, parse_rois
from ukb_brain.imaging.time_series import TimeSeries, atlas_of, parse_time_series

Result = TypeVar("Result")
Status = Literal["ok", "missing", "unusable", "broken"]

# A 1 mm image of 64-bit numbers has about 110 MB; a member that claims far more is no scan.
LARGEST_MEMBER = 1 << 29
TOO_LARGE = "more than half a GiB, as no scan does"
# No image is of such numbers; one of them would be in all that is averaged with it.
LARGEST_NUMBER = 1e9
# Room that a thread keeps from scan to scan has at most so many bytes.
MOST_KEPT = 1 << 26
_KEPT = threading.local()
# Types of numbers that torch interpolates without a copy.
AS_THEY_ARE = (np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.float32))
ENCRYPTED = 0x1
GZIP, ZIP = b"\x1f\x8b", b"PK"
# Of a zip that lacks a member, so many names of others like it.
NAMES_TOLD = 3
PUT_ASIDE = "UK Biobank put the scan under `unusable`"

# zipfile raises RuntimeError for an encrypted member and for an unknown compression, and whatever
# its parts raise for a directory of members that was overwritten.
DAMAGED_ZIP = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, ValueError, OverflowError, KeyError),
)
# What zlib-ng raises; its stub calls the class an instance.
NO_GZIP: type[Exception] = zlib_ng.error  # type: ignore[assignment]
NO_HEADER: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, OverflowError),
    *(HeaderDataError, WrapStructError),
)


class ScanError(Exception):
    """A scan that cannot be used, and its status in the quality table."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def plain_name(name: str) -> str:
    """Put ``/`` between the parts of a member's name, where Windows writes backslashes."""
    return name.replace("\\", "/").removeprefix("./")


def leaves_the_zip(name: str) -> bool:
    """Tell whether a member's path, in its plain form, leads out of its zip."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) is not None


def is_unusable(name: str) -> bool:
    """Tell whether UK Biobank put a member aside."""
    return "unusable" in (part.casefold() for part in PurePosixPath(name).parts)


def _room(size: int) -> NDArray[np.uint8]:
    """Give room for bytes: that of the scan before, if nobody holds it any more.

    New memory takes a third of the time of inflating into it.
    """
    if size > MOST_KEPT:
        return np.empty(size, dtype=np.uint8)
    # One reference is the thread's own, another the argument.
    if not hasattr(_KEPT, "room") or sys.getrefcount(_KEPT.room) > 2:
        _KEPT.room = np.empty(0, dtype=np.uint8)
    if len(_KEPT.room) < size:
        _KEPT.room = np.empty(size, dtype=np.uint8)
    return _KEPT.room[:size]


def _unpacked(content: bytes, name: str) -> NDArray[np.uint8]:
    """Undo gzip, but never into more than `LARGEST_MEMBER`."""
    if not content:
        raise ScanError("broken", f"{name} is empty")
    try:
        with gzip_ng.GzipNGFile(fileobj=io.BytesIO(content)) as stream:
            # The last four bytes tell the size, of the last part where there are several. Straight
            # into memory of that size takes two thirds of the time.
            size = min(int.from_bytes(content[-4:], "little"), LARGEST_MEMBER)
            unpacked = _room(size)
            unpacked = unpacked[: stream.readinto(unpacked.data)]
            rest = stream.read(LARGEST_MEMBER + 1 - len(unpacked))
    except EOFError as error:
        raise ScanError("broken", f"{name} is cut off") from error
    except (NO_GZIP, OSError, ValueError) as error:
        what = "is damaged" if content.startswith(GZIP) else "is not gzipped"
        raise ScanError("broken", f"{name} {what}") from error
    if len(unpacked) + len(rest) > LARGEST_MEMBER:
        raise ScanError("broken", f"{name} unpacks to {TOO_LARGE}")
    return np.append(unpacked, np.frombuffer(rest, dtype=np.uint8)) if rest else unpacked


def _header(content: NDArray[np.uint8]) -> nib.Nifti1Header | None:
    """Read the header of a NIfTI in one file; None where there is none."""
    for kind, magic in ((nib.Nifti1Header, 344), (nib.Nifti2Header, 4)):
        sizes = {kind.sizeof_hdr.to_bytes(4, order) for order in ("little", "big")}
        bare = content[: kind.sizeof_hdr].tobytes()
        if bare[:4] in sizes and bare[magic:].startswith(kind.single_magic):
            return kind(bare)
    return None


def _volume(
    content: NDArray[np.uint8], name: str
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Read a NIfTI's numbers, with three axes, and its voxel to world.

    Those that torch interpolates as they are stay so, without a copy; others become float32.
    """
    try:
        header = _header(content)
        if header is None:
            raise ScanError("broken", f"{name} does not begin with the header of a NIfTI image")
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        start, affine = header.get_data_offset(), header.get_best_affine()
        slope, intercept = header.get_slope_inter()
    except NO_HEADER as error:
        raise ScanError("broken", f"{name} has a NIfTI header of impossible values") from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 2:
        sizes = " × ".join(map(str, shape))
        raise ScanError("broken", f"{name} has {sizes} voxels where three axes were expected")
    if dtype.kind not in "iuf":
        what = "complex numbers" if dtype.kind == "c" else "colours"
        raise ScanError("broken", f"{name} holds {what} where one number a voxel was expected")
    # A header may claim any shape.
    end = start + math.prod(shape) * dtype.itemsize
    if not 0 <= start < end <= len(content):
        raise ScanError("broken", f"{name} has fewer data than its header tells")
    data = np.ndarray(shape, dtype, content[start:end], order="F")
    if slope is not None and (slope, intercept) != (1, 0):
        data = (data * slope + intercept).astype(np.float32)
    elif dtype not in AS_THEY_ARE:
        data = data.astype(np.float32)
    return data, affine


def _one_file(members: list[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    """Take a member that may be there several times; raises `ScanError` if it is no plain file."""
    member = members[-1]
    if len({(one.CRC, one.file_size) for one in members}) > 1:
        raise ScanError("broken", f"the zip holds {name} {len(members)} times, each another")
    if member.flag_bits & ENCRYPTED:
        raise ScanError("broken", f"{name} is encrypted")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise ScanError("broken", f"{name} is a link, and not the file")
    if member.file_size > LARGEST_MEMBER:
        raise ScanError("broken", f"{name} claims {TOO_LARGE}")
    return member


def _has_inverse(matrix: np.ndarray) -> bool:
    return bool(np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) >= 1e-6)


@dataclass(frozen=True)
class BulkFile:
    """One bulk file, a zip or a text, of one participant, field and instance.

    Its readers raise `ScanError` where the file or the member cannot be used.
    """

    path: Path

    @property
    def fingerprint(self) -> str:
        """Changes when the file does: its size and the time it was last written."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise self._why_unread(error) from error
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def names(self) -> list[str]:
        """List the members of a zip by their plain names.

        One whose path leaves the zip is a `ScanError`.
        """
        return self._opened(lambda archive: [*self._members_of(archive)])

    def member(self, name: str) -> bytes:
        """Read one member by its plain name.

        One that is missing, under `unusable`, encrypted, a link, there twice, or of more than half
        a GiB, is a `ScanError`.
        """

        def read(archive: zipfile.ZipFile) -> bytes:
            members = self._members_of(archive)
            # Some zip a folder around everything.
            found = [n for n in members if f"/{n}".endswith(f"/{name}") and not is_unusable(n)]
            if not found:
                raise self._why_absent(name, list(members))
            return archive.read(_one_file(members[min(found, key=len)], name))

        return self._opened(read)

    def _opened(self, read: Callable[[zipfile.ZipFile], Result]) -> Result:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return read(archive)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise self._why_unread(error) from error
        except (OSError, *DAMAGED_ZIP) as error:
            raise ScanError("broken", self._why_no_zip()) from error

    def _why_no_zip(self) -> str:
        try:
            with self.path.open("rb") as file:
                beginning = file.read(64)
        except OSError as error:
            raise self._why_unread(error) from error
        if not beginning:
            return "the bulk file is empty"
        if beginning.lstrip().startswith(b"<"):
            return "the bulk file is a web page, as a failed download leaves it: fetch it again"
        if not beginning.startswith(ZIP):
            return "the bulk file is no zip"
        return "the zip is damaged or cut off"

    def _why_unread(self, error: OSError) -> ScanError:
        """Tell what the system said, without the path: it has the participant's number."""
        if isinstance(error, PermissionError):
            return ScanError("broken", "no permission to read the bulk file")
        if self.path.is_symlink():
            return ScanError("missing", "the bulk file is a link that leads nowhere")
        if isinstance(error, FileNotFoundError):
            return ScanError("missing", "the bulk file is not there, or no longer")
        if isinstance(error, IsADirectoryError):
            return ScanError("broken", "the bulk file is a folder")
        return ScanError("broken", "the disk gave an error for the bulk file")

    def text(self) -> str:
        """Read a bulk file that is plain text."""
        try:
            return self.path.read_text()
        except OSError as error:
            raise self._why_unread(error) from error
        except UnicodeDecodeError as error:
            raise ScanError("broken", "the file is not text") from error

    @staticmethod
    def _members_of(archive: zipfile.ZipFile) -> dict[str, list[zipfile.ZipInfo]]:
        members: dict[str, list[zipfile.ZipInfo]] = {}
        for info in archive.infolist():
            members.setdefault(plain_name(info.filename), []).append(info)
        if any(leaves_the_zip(name) for name in members):
            raise ScanError("broken", "the zip holds a member whose path leaves the zip")
        return members

    def held(self, names: Sequence[str]) -> str:
        """Give the first of some members, by plain names, that can be used; or the first."""
        if len(names) == 1:
            return names[0]
        there = [f"/{name}" for name in self.names() if not is_unusable(name)]
        found = [name for name in names if any(other.endswith(f"/{name}") for other in there)]
        return (found or names)[0]

    def _why_absent(self, name: str, names: list[str]) -> ScanError:
        aside = {PurePosixPath(other).name for other in names if is_unusable(other)}
        if PurePosixPath(name).name in aside:
            return ScanError("unusable", PUT_ASIDE)
        near = difflib.get_close_matches(name, names, n=NAMES_TOLD, cutoff=0)
        # Names of folders in a zip may begin with anybody's number.
        listed = ", ".join(re.sub(r"\d{6,}", "#", other) for other in near) or "nothing"
        return ScanError("missing", f"the zip has no {name}; it holds {listed}")

    def image(self, name: str, *, may_be_empty: bool = False) -> nib.Nifti1Image:
        """Read a gzipped NIfTI from inside the zip.

        It has three axes and finite values: a fourth axis of length 1 is dropped, and what is no
        number is 0, as outside the brain; ``extra["not_finite"]`` is their share. Infinite values
        are a `ScanError`, and so are zeros throughout, unless it may be empty.
        """
        data, affine = _volume(_unpacked(self.member(name), name), name)
        not_finite = 0.0
        if data.dtype.kind == "f" and not np.isfinite(data.sum()):
            # Outside the brain some tools write no number where others write nothing.
            lacking = np.isnan(data)
            not_finite = float(lacking.mean())
            data[lacking] = 0
            if not np.isfinite(data).all():
                raise ScanError("broken", f"{name} holds infinite numbers")
        if not (may_be_empty or data.any()):
            raise ScanError("broken", f"{name} holds nothing but 0")
        if data.dtype.kind == "f" and max(data.max(), -data.min()) > LARGEST_NUMBER:
            raise ScanError("broken", f"{name} holds numbers beyond {LARGEST_NUMBER:.0e}")
        if not _has_inverse(affine):
            raise ScanError("broken", f"{name} has no invertible affine")
        return nib.Nifti1Image(data, affine, extra={"not_finite": not_finite})

    def matrix(self, name: str) -> np.ndarray:
        """Read an invertible FLIRT matrix, shape (4, 4), from inside the zip."""
        try:
            numbers = self.member(name).decode("ascii").split()
            matrix = np.array(numbers, dtype=np.float64).reshape(4, 4)
        except (UnicodeDecodeError, ValueError) as error:
            raise ScanError("broken", f"{name} is not 4 rows of 4 numbers") from error
        if not _has_inverse(matrix):
            raise ScanError("broken", f"{name} is not an invertible matrix")
        if not np.allclose(matrix[3], (0, 0, 0, 1), rtol=0, atol=1e-6):
            raise ScanError("broken", f"{name} has a last row that is not 0 0 0 1")
        return matrix

    def table(self, name: str) -> str:
        """Read a member that is text, gzipped where its name says so."""
        content = self.member(name)
        try:
            packed = name.endswith(".gz")
            return str(_unpacked(content, name).data if packed else content, "utf-8")
        except ValueError as error:
            raise ScanError("broken", f"{name} is not a table") from error

    def time_series(self, atlas: str | None) -> TimeSeries:
        """Read regional time series: of fields 31014 to 31019, or an AFNI table.

        An atlas must be named where a zip holds several.
        """
        try:
            if ROI_NAME.fullmatch(self.path.name):
                return parse_rois(self.text())
            name = self._member_of(atlas)
            return parse_time_series(str(_unpacked(self.member(name), name).data, "utf-8"))
        except InputError as error:
            raise ScanError("broken", str(error)) from error
        except ValueError as error:
            raise ScanError("broken", "the time series is not a table of numbers") from error

    def _member_of(self, atlas: str | None) -> str:
        found = {name: of for name in self.names() if (of := atlas_of(name))}
        asked = {n: of for n, of in found.items() if atlas is None or of == atlas}
        usable = [name for name in asked if not is_unusable(name)]
        if not asked:
            what = f"time series of atlas {atlas}" if atlas else "time series"
            raise ScanError("missing", f"the zip has no {what}")
        if not usable:
            raise ScanError("unusable", PUT_ASIDE)
        if len({asked[name] for name in usable}) > 1:
            listed = ", ".join(sorted(set(found.values())))
            raise ScanError("broken", f"the zip holds several atlases and none is named: {listed}")
        return usable[0]
