"""Text tables: found out how they are written, and a few of their columns read."""

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from ukb_brain.errors import InputError
from ukb_brain.tables.headers import find_id_column, parse_header
from ukb_brain.tables.text_lines import (
    CHUNK_BYTES,
    Counted,
    Encoding,
    encoding_of,
    lines_of,
    opened,
)

BLOCK_BYTES = 1 << 22  # a row of the real table, some .3 MB, must fit; larger blocks are slower
DELIMITERS = (",", "\t", ";")
TEXT = pa.dictionary(pa.int32(), pa.string())
EID = re.compile(r'"?-?\d+(?:\.0*)?"?')


@dataclass(frozen=True)
class TextForm:
    """How a text table is written.

    In the tab-separated files of ukbconv quotes mean nothing: such a file is not quoted.
    """

    delimiter: str
    encoding: Encoding
    quoted: bool
    header: tuple[str, ...]


def find_form(
    path: Path, delimiter: str | None = None, encoding: Encoding | None = None
) -> TextForm:
    """Find out from its first line what of a table's form is not told.

    The header of an empty file is empty. Raises `InputError` if the file cannot be read.
    """
    if encoding is None:
        with opened(path) as file:
            encoding = encoding_of(file.read(4))
    line = next(lines_of(path, encoding), "").rstrip("\r\n")
    if delimiter is None:
        delimiter = max(DELIMITERS, key=lambda sign: _recognised(line, sign))
    return TextForm(delimiter, encoding, _quoted(line, delimiter), _cells(line, delimiter))


def _quoted(line: str, delimiter: str) -> bool:
    return delimiter != "\t" or line.startswith('"')


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    if not line:
        return ()
    if not _quoted(line, delimiter):
        return tuple(name.strip() for name in line.split(delimiter))
    try:
        rows = list(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return ()
    return tuple(name.strip() for row in rows for name in row)


def _recognised(line: str, delimiter: str) -> tuple[bool, int, int]:
    # Titles hold commas and semicolons, so that signs alone say little.
    names = _cells(line, delimiter)
    return find_id_column(names) is not None, len(parse_header(names)), len(names)


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
    wanted, breaks, worded = dict(types), False, 0
    while True:
        try:
            table, lines = _parsed(path, form, wanted, breaks)
        except pa.ArrowInvalid as error:
            message = str(error)
            if "Could not skip" in message and path.stat().st_size < BLOCK_BYTES:
                # A header and nothing else.
                return pa.table({str(k): pa.array([], kind) for k, kind in types.items()})
            found = re.search(r"In CSV column #(\d+)", message)
            place = int(found[1]) if found else -1
            if found and "UTF8" in message.upper() and form.encoding == "utf-8":
                form = replace(form, encoding="latin-1")
            elif found and wanted[place] != TEXT:
                wanted[place] = TEXT
                worded += 1
                if worded > 1:
                    # Labels, it seems: not to begin anew at every column of them.
                    wanted = {k: TEXT if pa.types.is_floating(t) else t for k, t in wanted.items()}
            elif form.quoted and not breaks:
                # An answer may hold a line break, which takes longer to read. Rows were cut in
                # pieces until now: what they said of the columns' types is nothing.
                wanted, breaks, worded = dict(types), True, 0
            elif not form.quoted and '"' in _sample(path, form):
                # Some write tabs and quote all the same.
                form = replace(form, quoted=True)
            else:
                raise _why(path, form, message) from None
            continue
        if table.num_rows == lines - 1:
            return table
        full = sum(1 for line in lines_of(path, form.encoding) if not line.isspace()) - 1
        if full == table.num_rows:
            return table
        if breaks or not form.quoted:
            if not form.quoted or full < table.num_rows:
                raise InputError(
                    f"{path.name} has {full:,} lines under its header and gave {table.num_rows:,} "
                    "rows: it is damaged or cut short. Export or copy it again."
                )
            _refuse_swallowed(path, form)
            return table
        # Arrow may lose a row whose answer lies across the edge of its blocks.
        wanted, breaks, worded = dict(types), True, 0


def _parsed(
    path: Path, form: TextForm, types: Mapping[int, pa.DataType], breaks: bool
) -> tuple[pa.Table, int]:
    with opened(path) as file:
        counted = Counted(file, form.encoding)
        table = pyarrow.csv.read_csv(
            pa.PythonFile(counted, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                block_size=BLOCK_BYTES,
                # Names may be there twice, or hold what is no UTF-8.
                column_names=[str(k) for k in range(len(form.header))],
                skip_rows=1,
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
            memory_pool=_pool(),
        )
        return table, counted.lines


def _pool() -> pa.MemoryPool:
    """Give the allocator that hands pieces of a file on fastest, where Arrow was built with it."""
    try:
        return pa.jemalloc_memory_pool()
    except NotImplementedError:
        return pa.default_memory_pool()


def _sample(path: Path, form: TextForm) -> str:
    with opened(path) as file:
        return file.read(CHUNK_BYTES).decode(form.encoding, errors="replace")


def _refuse_swallowed(path: Path, form: TextForm) -> None:
    """Refuse a table with rows that lie inside quoted cells, by their delimiters and eids."""
    separators = max(len(form.header) - 1, 1)
    eid_first = find_id_column(form.header[:1]) is not None
    # A cell may have swallowed much.
    csv.field_size_limit(sys.maxsize)
    swallowed = 0
    for row in csv.reader(lines_of(path, form.encoding), delimiter=form.delimiter):
        for cell in row:
            # From one stray quote to the next there are as many cells as in rows.
            if "\n" not in cell or cell.count(form.delimiter) < separators:
                continue
            begun = [line.partition(form.delimiter)[0] for line in cell.split("\n")[1:]]
            if any(EID.fullmatch(start) for start in begun) or not eid_first:
                swallowed += cell.count(form.delimiter) // separators
    if swallowed:
        raise InputError(
            f"{path.name}: {swallowed:,} line(s) that look like whole rows lie inside quoted "
            "cells, so that stray quotes would swallow people without a word. Export the table "
            "again with quotes doubled inside answers, or leave the column of free text out."
        )


def _why(path: Path, form: TextForm, message: str) -> InputError:
    if form.quoted:
        _refuse_swallowed(path, form)
    # Arrow's own message can quote a whole row, and with it an eid.
    ragged = re.search(r"Expected (\d+) columns, got (\d+)", message)
    if not ragged:
        return InputError(
            f"{path.name} cannot be read as a table with delimiter {form.delimiter!r}; expected "
            "UK Biobank's CSV, tab-separated or Parquet table. Export or copy it again."
        )
    expected, got = int(ragged[1]), int(ragged[2])
    lines = lines_of(path, form.encoding)
    next(lines, "")
    if len(_cells(next(lines, ""), form.delimiter)) == expected + 1 == got:
        return InputError(
            f"{path.name} has rows of {got} columns where its header has {expected}: R's "
            "write.table leaves names of rows in front. Write it with row.names = FALSE."
        )
    return InputError(
        f"{path.name} has a row of {got} columns where its header has {expected}; "
        "the file is damaged or cut short: export or copy it again."
    )
