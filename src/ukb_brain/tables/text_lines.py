"""Lines of text files: unpacked, as UTF-8, and counted on the way."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

from ukb_brain.errors import InputError

Encoding = Literal["utf-8", "utf-16", "latin-1"]
CHUNK_BYTES = 1 << 24


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked where its name ends in ``.gz``.

    Raises
    ------
    InputError
        If it cannot be read or unpacked.
    """
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except PermissionError:
        raise InputError(
            f"{path.name} cannot be read for want of permission: allow it, or move it away."
        ) from None
    except UnicodeError:
        raise InputError(
            f"{path.name} is not written in the encoding that tables.encoding tells: leave that "
            "setting out, or correct it."
        ) from None
    except (OSError, EOFError, zlib.error):
        raise InputError(
            f"{path.name} cannot be read to its end: it is damaged or cut short. Export or copy it "
            "again, or move it away."
        ) from None


def encoding_of(start: bytes) -> Encoding:
    """Tell UTF-16 from UTF-8 by a file's first bytes."""
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if utf16 else "utf-8"


class Counted(io.RawIOBase):
    """A text file's bytes as UTF-8, whose lines are counted on the way."""

    def __init__(self, file: BinaryIO, encoding: Encoding) -> None:
        super().__init__()
        self._file = file
        plain = encoding == "utf-8"
        self._decoder = None if plain else codecs.getincrementaldecoder(encoding)("replace")
        self._breaks, self._last = 0, b"\n"

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read bytes, at most ``size`` of them."""
        if self._decoder is None:
            piece = self._file.read(size)
        else:
            # A character is never more than twice as long in UTF-8.
            raw = self._file.read(max(size // 2, 2) if size > 0 else size)
            piece = self._decoder.decode(raw, final=not raw).encode()
        self._breaks += piece.count(b"\n")
        self._last = piece[-1:] or self._last
        return piece

    @property
    def lines(self) -> int:
        """Lines seen so far, with the header and with empty lines."""
        return self._breaks + (self._last != b"\n")


def count_lines(path: Path, encoding: Encoding) -> int:
    """Count a file's lines, with the header and with empty lines."""
    with opened(path) as file:
        counted = Counted(file, encoding)
        while counted.read(CHUNK_BYTES):
            pass
    return counted.lines


def lines_of(path: Path, encoding: Encoding) -> Iterator[str]:
    """Give a file's lines with their line breaks.

    What is not in the encoding is replaced, since it is a name or an answer that nobody asks for.
    """
    coded = "utf-8-sig" if encoding == "utf-8" else encoding
    with opened(path) as file:
        yield from io.TextIOWrapper(file, encoding=coded, errors="replace", newline="\n")
