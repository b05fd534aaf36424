"""Read members of UK Biobank's bulk files without unpacking them to disk."""

import io
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
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
LARGEST_MEMBER = 1 << 30
# No image is of such numbers; one of them would be in all that is averaged with it.
LARGEST_NUMBER = 1e9
# Types of numbers that torch interpolates without a copy.
AS_THEY_ARE = (np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.float32))
PUT_ASIDE = "UK Biobank put the scan under `unusable`"

# zipfile raises RuntimeError for an encrypted member and for an unknown compression, and whatever
# its parts raise for a directory of members that was overwritten.
DAMAGED_ZIP = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, ValueError, OverflowError, KeyError),
)
# What zlib-ng raises; its stub calls the class an instance.
NO_GZIP: type[Exception] = zlib_ng.error  # type: ignore[assignment]
NO_IMAGE: tuple[type[Exception], ...] = (
    *(NO_GZIP, OSError, EOFError, ValueError, TypeError, OverflowError),
    *(HeaderDataError, WrapStructError, nib.filebasedimages.ImageFileError),
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


def _unpacked(content: bytes, name: str) -> NDArray[np.uint8]:
    """Undo gzip, but never into more than `LARGEST_MEMBER`."""
    with gzip_ng.GzipNGFile(fileobj=io.BytesIO(content)) as stream:
        # The last four bytes tell the size, of the last part where there are several. Straight into
        # memory of that size takes two thirds of the time.
        size = min(int.from_bytes(content[-4:], "little"), LARGEST_MEMBER)
        unpacked = np.empty(size, dtype=np.uint8)
        unpacked = unpacked[: stream.readinto(unpacked.data)]
        rest = stream.read(LARGEST_MEMBER + 1 - len(unpacked))
    if len(unpacked) + len(rest) > LARGEST_MEMBER:
        raise ScanError("broken", f"{name} unpacks to more than 1 GiB")
    return np.append(unpacked, np.frombuffer(rest, dtype=np.uint8)) if rest else unpacked


def _volume(content: NDArray[np.uint8]) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Read a NIfTI's numbers, with three axes, and its voxel to world.

    Those that torch interpolates as they are stay so, without a copy; others become float32.
    """
    second = {nib.Nifti2Header.sizeof_hdr.to_bytes(4, order) for order in ("little", "big")}
    kind = nib.Nifti2Header if content[:4].tobytes() in second else nib.Nifti1Header
    header = kind(content[: kind.sizeof_hdr].tobytes())
    shape, dtype, start = header.get_data_shape(), header.get_data_dtype(), header.get_data_offset()
    # A header may claim any shape.
    end = start + math.prod(shape) * dtype.itemsize
    if end > len(content) or dtype.kind not in "iuf":
        raise ValueError("the header does not fit its data")
    data = np.ndarray(shape, dtype, content[start:end], order="F")
    slope, intercept = header.get_slope_inter()
    if slope is not None and (slope, intercept) != (1, 0):
        data = (data * slope + intercept).astype(np.float32)
    elif dtype not in AS_THEY_ARE:
        data = data.astype(np.float32)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    return data, header.get_best_affine()


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

    def names(self) -> dict[str, str]:
        """List the members of a zip: name in the zip by its plain form.

        One whose path leaves the zip is a `ScanError`.
        """
        return self._opened(self._names_of)

    def member(self, name: str) -> bytes:
        """Read one member by its plain name.

        One that is missing, has more than 1 GiB, or is under `unusable`, is a `ScanError`.
        """

        def read(archive: zipfile.ZipFile) -> bytes:
            names = self._names_of(archive)
            # Some zip a folder around everything.
            found = [n for n in names if f"/{n}".endswith(f"/{name}") and not is_unusable(n)]
            if not found:
                raise self._why_absent(name, list(names))
            member = names[min(found, key=len)]
            if archive.getinfo(member).file_size > LARGEST_MEMBER:
                raise ScanError("broken", f"{name} claims more than 1 GiB")
            return archive.read(member)

        return self._opened(read)

    def _opened(self, read: Callable[[zipfile.ZipFile], Result]) -> Result:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return read(archive)
        except (FileNotFoundError, PermissionError) as error:
            raise self._why_unread(error) from error
        except (OSError, *DAMAGED_ZIP) as error:
            raise ScanError("broken", "the zip is damaged or cut off") from error

    def _why_unread(self, error: OSError) -> ScanError:
        """Tell what the system said, without the path: it has the participant's number."""
        if isinstance(error, PermissionError):
            return ScanError("broken", "no permission to read the bulk file")
        if self.path.is_symlink():
            return ScanError("missing", "the bulk file is a link that leads nowhere")
        if isinstance(error, FileNotFoundError):
            return ScanError("missing", "the bulk file is not there, or no longer")
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
    def _names_of(archive: zipfile.ZipFile) -> dict[str, str]:
        names = {plain_name(name): name for name in archive.namelist()}
        if any(leaves_the_zip(name) for name in names):
            raise ScanError("broken", "the zip holds a member whose path leaves the zip")
        return names

    @staticmethod
    def _why_absent(name: str, names: list[str]) -> ScanError:
        aside = {PurePosixPath(other).name for other in names if is_unusable(other)}
        if PurePosixPath(name).name in aside:
            return ScanError("unusable", PUT_ASIDE)
        return ScanError("missing", f"the zip has no {name}")

    def image(self, name: str) -> nib.Nifti1Image:
        """Read a gzipped NIfTI from inside the zip.

        It has three axes and finite values: a fourth axis of length 1 is dropped, and what is no
        number is 0, as outside the brain; ``extra["not_finite"]`` is their share. Infinite values
        are a `ScanError`.
        """
        content = self.member(name)
        try:
            data, affine = _volume(_unpacked(content, name))
            image = nib.Nifti1Image(data, affine, extra={"not_finite": 0.0})
        except NO_IMAGE as error:
            raise ScanError("broken", f"{name} is not a readable NIfTI image") from error
        finite = data.dtype.kind != "f" or np.isfinite(data.sum())
        if not finite:
            # Outside the brain some tools write no number where others write nothing.
            lacking = np.isnan(data)
            image.extra["not_finite"] = float(lacking.mean())
            data[lacking] = 0
            finite = np.isfinite(data).all()
        if data.ndim != 3 or min(data.shape) < 2 or not finite or not data.any():
            raise ScanError("broken", f"{name} is not a volume of finite, non-zero numbers")
        if data.dtype.kind == "f" and max(data.max(), -data.min()) > LARGEST_NUMBER:
            raise ScanError("broken", f"{name} holds numbers beyond {LARGEST_NUMBER:.0e}")
        if not _has_inverse(affine):
            raise ScanError("broken", f"{name} has no invertible affine")
        return image

    def matrix(self, name: str) -> np.ndarray:
        """Read an invertible FLIRT matrix, shape (4, 4), from inside the zip."""
        try:
            numbers = self.member(name).decode("ascii").split()
            matrix = np.array(numbers, dtype=np.float64).reshape(4, 4)
        except (UnicodeDecodeError, ValueError) as error:
            raise ScanError("broken", f"{name} is not 4 rows of 4 numbers") from error
        if not _has_inverse(matrix):
            raise ScanError("broken", f"{name} is not an invertible matrix")
        return matrix

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
        except (NO_GZIP, OSError, EOFError, ValueError) as error:
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
