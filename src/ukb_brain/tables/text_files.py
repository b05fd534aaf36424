"""Text tables: found out how they are written, and a few of their columns read."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.csv

from ukb_brain.errors import InputError

Encoding = Literal["utf-8", "utf-16", "latin-1"]
BLOCK_BYTES = 1 << 25  # a row of the real table, with tens of thousands of columns, must fit
CHUNK_BYTES = 1 << 24
DELIMITERS = (",", "\t", ";")
TEXT = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class TextForm:
    """How a text table is written.

    Attributes
    ----------
    delimiter : str
        Between cells.
    encoding : str
        Of its text.
    quoted : bool
        Whether quotes hold a cell together. In the tab-separated files of ukbconv they mean
        nothing.
    header : tuple of str
        Names of its columns.
    """

    delimiter: str
    encoding: Encoding
    quoted: bool
    header: tuple[str, ...]


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked where its name ends in ``.gz``.

    Parameters
    ----------
    path : Path
        Of a text file.

    Returns
    -------
    binary file
    """
    return cast(BinaryIO, gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def find_form(
    path: Path, delimiter: str | None = None, encoding: Encoding | None = None
) -> TextForm:
    """Find out how a text table is written, from its first line.

    Parameters
    ----------
    path : Path
        Of the table.
    delimiter, encoding : str, optional
        Told rather than found out.

    Returns
    -------
    TextForm
        With an empty header for an empty file.
    """
    with opened(path) as file:
        start = file.read(4)
        if encoding is None:
            utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            encoding = "utf-16" if utf16 else "utf-8"
    with opened(path) as file:
        text = io.TextIOWrapper(
            file,
            encoding="utf-8-sig" if encoding == "utf-8" else encoding,
            # What is no UTF-8 is a name that nobody asks for.
            errors="replace",
            newline="\n",
        )
        line = text.readline().rstrip("\r\n")
    if delimiter is None:
        delimiter = max(DELIMITERS, key=line.count)
    quoted = delimiter != "\t" or line.startswith('"')
    reader = csv.reader([line], delimiter=delimiter) if quoted else [line.split(delimiter)]
    header = next(iter(reader), [])
    return TextForm(delimiter, encoding, quoted, tuple(name.strip() for name in header))


def read_columns(path: Path, form: TextForm, types: Mapping[int, pa.DataType]) -> pa.Table:
    """Read some columns, and hold the number of rows against the file's own lines.

    Parameters
    ----------
    path : Path
        Of the table.
    form : TextForm
        How it is written.
    types : dict of int to DataType
        Of each wanted column, by its place; what cannot be read as a number is read as text.

    Returns
    -------
    pyarrow.Table
        Columns are named by their places.

    Raises
    ------
    InputError
        If rows are of different lengths, or rows that the file has are not in the table.
    """
    wanted, lines = dict(types), count_lines(path, form.encoding) - 1
    breaks = False
    while True:
        try:
            table = _parsed(path, form, wanted, breaks)
        except pa.ArrowInvalid as error:
            message = str(error)
            column = re.search(r"In CSV column #(\d+)", message)
            if column and "UTF8" in message.upper() and form.encoding == "utf-8":
                form = replace(form, encoding="latin-1")
            elif column and wanted[int(column[1])] != TEXT:
                wanted[int(column[1])] = TEXT
            elif form.quoted and not breaks:
                # An answer may hold a line break, which takes longer to read.
                breaks = True
            elif not form.quoted and '"' in _sample(path, form):
                # Some write tabs and quote all the same.
                form = replace(form, quoted=True)
            else:
                raise _why(path, form, message) from None
            continue
        if table.num_rows == lines:
            return table
        if form.quoted and not breaks:
            breaks = True
            continue
        _explain_rows(path, form, table.num_rows, lines)
        return table


def _parsed(path: Path, form: TextForm, types: Mapping[int, pa.DataType], breaks: bool) -> pa.Table:
    names = [str(k) for k in range(len(form.header))]
    with opened(path) as file:
        return pyarrow.csv.read_csv(
            pa.input_stream(file) if path.suffix.lower() == ".gz" else path,
            read_options=pyarrow.csv.ReadOptions(
                block_size=BLOCK_BYTES,
                # Names may be there twice, or hold what is no UTF-8.
                column_names=names,
                skip_rows=1,
                encoding={"utf-8": "utf8", "utf-16": "utf16"}.get(form.encoding, form.encoding),
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=form.delimiter,
                quote_char='"' if form.quoted else False,
                newlines_in_values=breaks,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=[str(place) for place in types],
                column_types={str(place): kind for place, kind in types.items()},
                strings_can_be_null=True,
            ),
        )


def _sample(path: Path, form: TextForm) -> str:
    with opened(path) as file:
        return file.read(CHUNK_BYTES).decode(form.encoding, errors="replace")


def _chunks(path: Path, encoding: Encoding) -> Iterator[bytes]:
    """Give a file's bytes in pieces; UTF-16 as UTF-8, so that bytes can be counted."""
    decoder = codecs.getincrementaldecoder("utf-16")() if encoding == "utf-16" else None
    with opened(path) as file:
        while piece := file.read(CHUNK_BYTES):
            yield decoder.decode(piece).encode() if decoder else piece


def count_lines(path: Path, encoding: Encoding) -> int:
    """Count a file's lines.

    Parameters
    ----------
    path : Path
        Of a text file.
    encoding : str
        Of its text.

    Returns
    -------
    int
        With the header, and with empty lines.
    """
    lines, last = 0, b"\n"
    for piece in _chunks(path, encoding):
        lines += piece.count(b"\n")
        last = piece[-1:]
    return lines + (last != b"\n")


def _explain_rows(path: Path, form: TextForm, rows: int, lines: int) -> None:
    """Find out why a table has not as many rows as its file has lines."""
    full = sum(1 for piece in _lines(path, form) if piece.strip("\r\n \t")) - 1
    if full == rows:
        return
    if form.quoted and full > rows:
        swallowed = _rows_within_cells(path, form)
        if not swallowed:
            return
        raise InputError(
            f"{path.name}: {swallowed} line(s) that look like whole rows lie inside quoted "
            "cells, so "
            "that stray quotes would swallow people without a word. Export the table again with "
            "quotes doubled inside answers, or leave the column of free text out."
        )
    raise InputError(
        f"{path.name} has {lines:,} lines under its header and gave {rows:,} rows: it is damaged "
        "or "
        "cut short. Export or copy it again."
    )


def _lines(path: Path, form: TextForm) -> Iterator[str]:
    encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
    with opened(path) as file:
        yield from io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="\n")


def _rows_within_cells(path: Path, form: TextForm) -> int:
    """Count lines inside quoted cells that have as many cells as the header."""
    separators, found, inside = len(form.header) - 1, 0, False
    for line in _lines(path, form):
        began = inside
        inside ^= line.count('"') % 2 == 1
        if began and line.count(form.delimiter) >= separators:
            found += 1
    return found


def _why(path: Path, form: TextForm, message: str) -> InputError:
    # Arrow's own message can quote a whole row, and with it an eid.
    ragged = re.search(r"Expected (\d+) columns, got (\d+)", message)
    if ragged and int(ragged[2]) == int(ragged[1]) + 1:
        return InputError(
            f"{path.name} has rows of {ragged[2]} columns where its header has {ragged[1]}: R's "
            "write.table leaves names of rows in front. Write it with row.names = FALSE."
        )
    if ragged:
        return InputError(
            f"{path.name} has a row of {ragged[2]} columns where its header has {ragged[1]}; "
            "the file is damaged or cut short: export or copy it again."
        )
    return InputError(
        f"{path.name} cannot be read as a table with delimiter {form.delimiter!r}; expected "
        "UK Biobank's CSV, tab-separated or Parquet table. Export or copy it again."
    )
