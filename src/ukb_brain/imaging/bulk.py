"""Read members of UK Biobank's bulk files without unpacking them to disk."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

Status = Literal["ok", "missing", "unusable", "broken"]

# A 1 mm image of 64-bit numbers has about 110 MB; a member that claims far more is no scan.
LARGEST_MEMBER = 1 << 30

# zipfile raises RuntimeError for an encrypted member and for an unknown compression, and whatever
# its parts raise for a directory of members that was overwritten.
DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)
NO_IMAGE = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    TypeError,
    HeaderDataError,
    WrapStructError,
    nib.filebasedimages.ImageFileError,
)


class ScanError(Exception):
    """A scan that cannot be used; it is recorded and left out.

    Attributes
    ----------
    status : {"missing", "unusable", "broken"}
        For the quality table.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _unpacked(content: bytes, name: str) -> bytes:
    """Undo gzip, but never into more than `LARGEST_MEMBER`."""
    unpacked = b""
    while content:
        stream = zlib.decompressobj(wbits=31)
        unpacked += stream.decompress(content, LARGEST_MEMBER + 1 - len(unpacked))
        if len(unpacked) > LARGEST_MEMBER:
            raise ScanError("broken", f"{name} unpacks to more than 1 GiB")
        if not stream.eof:
            raise EOFError(f"{name} is cut off")
        content = stream.unused_data.lstrip(b"\0")
    return unpacked


@dataclass(frozen=True)
class BulkFile:
    """One bulk file of one participant, field and instance.

    Attributes
    ----------
    path : Path
        Of a zip or a text file.
    """

    path: Path

    @property
    def fingerprint(self) -> str:
        """Changes when the file does: its size and the time it was last written."""
        stat = self.path.stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def member(self, name: str) -> bytes:
        """Read one member of a zip.

        Parameters
        ----------
        name : str
            Path inside the zip, with ``/`` between its parts.

        Returns
        -------
        bytes
            Its whole content.

        Raises
        ------
        ScanError
            If the zip is broken, the member is missing, too large, or lies under `unusable`.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
                self._check_names(names)
                if name not in names:
                    raise self._why_absent(name, names)
                if archive.getinfo(name).file_size > LARGEST_MEMBER:
                    raise ScanError("broken", f"{name} claims more than 1 GiB")
                return archive.read(name)
        except FileNotFoundError as error:
            raise ScanError("missing", "no bulk file") from error
        except DAMAGED_ZIP as error:
            raise ScanError("broken", "the zip is damaged or cut off") from error

    @staticmethod
    def _check_names(names: list[str]) -> None:
        for name in names:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise ScanError("broken", "the zip holds a member whose path leaves the zip")

    @staticmethod
    def _why_absent(name: str, names: list[str]) -> ScanError:
        file_name = PurePosixPath(name).name
        for other in names:
            parts = PurePosixPath(other).parts
            if "unusable" in parts and parts[-1] == file_name:
                return ScanError("unusable", "UK Biobank put the scan under `unusable`")
        return ScanError("missing", f"the zip has no {name}")

    def image(self, name: str) -> nib.Nifti1Image:
        """Read a gzipped NIfTI from inside the zip.

        Parameters
        ----------
        name : str
            Member ending in ``.nii.gz``.

        Returns
        -------
        nibabel.Nifti1Image
            Three-dimensional, with finite values.

        Raises
        ------
        ScanError
            If it cannot be read or is not a volume of finite numbers.
        """
        content = self.member(name)
        try:
            unpacked = _unpacked(content, name)
            image = nib.Nifti1Image.from_bytes(unpacked)
            # A header may claim any shape; nibabel would allocate it before it reads.
            claimed = math.prod(image.shape) * image.get_data_dtype().itemsize
            if claimed > len(unpacked) or image.get_data_dtype().kind not in "iuf":
                raise ValueError("the header does not fit its data")
            data = np.asarray(image.dataobj, dtype=np.float32)
            volume = nib.Nifti1Image(data, image.affine)
        except NO_IMAGE as error:
            raise ScanError("broken", f"{name} is not a readable NIfTI image") from error
        if data.ndim != 3 or not np.isfinite(data).all() or not data.any():
            raise ScanError("broken", f"{name} is not a volume of finite, non-zero numbers")
        if not np.isfinite(volume.affine).all() or abs(np.linalg.det(volume.affine)) < 1e-6:
            raise ScanError("broken", f"{name} has no invertible affine")
        return volume

    def matrix(self, name: str) -> np.ndarray:
        """Read a FLIRT matrix from inside the zip.

        Parameters
        ----------
        name : str
            Member with 4 rows of 4 numbers.

        Returns
        -------
        ndarray of shape (4, 4)
            As stored by FLIRT.

        Raises
        ------
        ScanError
            If it is not an invertible affine.
        """
        try:
            values = np.array(self.member(name).decode("ascii").split(), dtype=np.float64)
            matrix = values.reshape(4, 4)
        except (UnicodeDecodeError, ValueError) as error:
            raise ScanError("broken", f"{name} is not 4 rows of 4 numbers") from error
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
            raise ScanError("broken", f"{name} is not an invertible matrix")
        return matrix

    def table(self) -> np.ndarray:
        """Read the gzipped CSV of field 31016: one row a region, its label first.

        Returns
        -------
        ndarray of shape (regions, time_points)
            Time series.

        Raises
        ------
        ScanError
            If the zip has no such member or it does not hold numbers.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
        except FileNotFoundError as error:
            raise ScanError("missing", "no bulk file") from error
        except DAMAGED_ZIP as error:
            raise ScanError("broken", "the zip is damaged or cut off") from error
        wanted = [n for n in names if n.endswith(".csv.gz")]
        usable = [n for n in wanted if "unusable" not in PurePosixPath(n).parts]
        if not usable:
            if wanted:
                raise ScanError("unusable", "UK Biobank put the scan under `unusable`")
            raise ScanError("missing", "the zip has no time series")
        try:
            lines = _unpacked(self.member(usable[0]), usable[0]).decode().split("\n")
            rows = [line.split(",")[1:] for line in lines if line]
            return np.array(rows, dtype=np.float64)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise ScanError("broken", "the time series is not a table of numbers") from error
