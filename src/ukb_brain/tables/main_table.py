"""The main table as UK Biobank hands it out, of which only the columns needed are read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from pydantic import Field

from ukb_brain.errors import InputError
from ukb_brain.grid import Frozen
from ukb_brain.tables import cells, text_files
from ukb_brain.tables.codings import Codings
from ukb_brain.tables.dictionary import field_of
from ukb_brain.tables.headers import FieldColumn, find_id_column, parse_header, style_of
from ukb_brain.tables.text_files import TEXT, Encoding, TextForm

DATE_FIELDS = frozenset({53})
ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".parquet")
# Files of other kinds that lie beside the tables, and scans' own text files.
NO_TABLE = re.compile(
    r"(?:w\d|withdraw|participation_weights|splits|exclude|coding\d|\d+_\d+_\d+_\d+\.).*", re.I
)
NO_FOLDER = frozenset({"bulk", "codings"})
LONGEST_SHOWN = 40


class TableSettings(Frozen):
    """How tables are found and read, where that shall not be found out.

    Attributes
    ----------
    files : tuple of str
        Names under the raw folder; by default every file whose header is that of a table.
    delimiter : str, optional
        Of text files: one of ``,``, tab, ``;``.
    encoding : {"utf-8", "utf-16", "latin-1"}, optional
        Of text files.
    """

    files: tuple[str, ...] = ()
    delimiter: str | None = Field(default=None, pattern="^[,;\t]$")
    encoding: Encoding | None = None


@dataclass(frozen=True)
class TableFile:
    """One file of the main table.

    Attributes
    ----------
    path : Path
        Text or Parquet.
    header : tuple of str
        All names of columns.
    form : TextForm or None
        How it is written; None for Parquet.
    """

    path: Path
    header: tuple[str, ...]
    form: TextForm | None

    @classmethod
    def open(cls, path: Path, settings: TableSettings | None = None) -> TableFile:
        """Read the header.

        Parameters
        ----------
        path : Path
            Of a file.
        settings : TableSettings, optional
            What shall not be found out.

        Returns
        -------
        TableFile
            Of which nothing else is read yet.
        """
        settings = settings or TableSettings()
        if path.suffix.lower() == ".parquet":
            try:
                header = tuple(pyarrow.parquet.read_schema(path).names)
            except pa.ArrowException:
                raise InputError(
                    f"{path.name} is no readable Parquet file: export or copy it again."
                ) from None
            return cls(path, header, None)
        form = text_files.find_form(path, settings.delimiter, settings.encoding)
        return cls(path, form.header, form)

    @cached_property
    def columns(self) -> dict[FieldColumn, tuple[str, ...]]:
        """Names in the file of each field, instance and array that is there."""
        return parse_header(self.header)

    @property
    def id_column(self) -> str | None:
        """Name of the column of participants' numbers."""
        return find_id_column(self.header)

    @property
    def is_table(self) -> bool:
        """Whether the header is that of a table of participants."""
        return self.id_column is not None and bool(self.columns)

    @property
    def style(self) -> str:
        """Style of its header."""
        return style_of(self.header)

    def read(self, fields: Collection[int], codings: Codings) -> pd.DataFrame:
        """Read the columns of some fields.

        Parameters
        ----------
        fields : collection of int
            Fields that the file does not hold are left out.
        codings : Codings
            Labels that may stand in place of codes.

        Returns
        -------
        DataFrame
            ``eid`` (int64) and columns such as ``21003-2.0``, float64 or datetime.

        Raises
        ------
        InputError
            If an eid comes twice, or cells hold what cannot be understood.
        """
        wanted = {c: names for c, names in self.columns.items() if c.field in fields}
        assert self.id_column is not None  # noqa: S101 - only tables are read
        raw = self._raw([self.id_column, *(n for names in wanted.values() for n in names)], wanted)
        eid = self._eids(raw[self.id_column])
        keep = eid.notna()
        if not keep.all():
            raise InputError(f"{self.path.name} has {(~keep).sum():,} row(s) without an eid.")
        found: dict[str, np.ndarray | pd.Series] = {}
        for column, names in wanted.items():
            found |= self._column(column, {name: raw[name] for name in names}, codings)
        return pd.DataFrame({"eid": eid.astype("int64"), **found})

    def _raw(
        self, names: list[str], wanted: dict[FieldColumn, tuple[str, ...]]
    ) -> dict[str, pa.ChunkedArray]:
        if self.form is None:
            table = pyarrow.parquet.read_table(self.path, columns=list(dict.fromkeys(names)))
            return {name: table[name] for name in names}
        dates = {name for c, found in wanted.items() if c.field in DATE_FIELDS for name in found}
        places = {name: self.header.index(name) for name in names}
        types: dict[int, pa.DataType] = {}
        for position, name in enumerate(names):
            kind = TEXT if name in dates else pa.float64()
            types[places[name]] = pa.int64() if position == 0 else kind
        table = text_files.read_columns(self.path, self.form, types)
        return {name: table[str(place)] for name, place in places.items()}

    def _eids(self, column: pa.ChunkedArray) -> pd.Series:
        if pa.types.is_integer(column.type):
            eids = column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        else:
            eids, why = cells.whole_numbers_of(column)
            if why == "rounded":
                raise InputError(
                    f"{self.path.name} has eids such as 1e+06: a spreadsheet or R rounded them, "
                    "and "
                    "people can no longer be told apart. Export the table again and keep eids "
                    "whole."
                )
            if why:
                raise InputError(
                    f"Column {self.id_column!r} of {self.path.name} holds text where participants' "
                    "whole numbers were expected; export the table again."
                )
        twice = int(eids.dropna().duplicated().sum())
        if twice:
            raise InputError(
                f"{self.path.name} has {twice:,} row(s) whose eid came before, and one row a "
                "participant was expected; remove the duplicates or export the table again."
            )
        return eids

    def _column(
        self, column: FieldColumn, raw: dict[str, pa.ChunkedArray], codings: Codings
    ) -> dict[str, np.ndarray | pd.Series]:
        if column.field in DATE_FIELDS:
            for name, cell in raw.items():
                dates, not_read = cells.dates_of(cell)
                if not_read:
                    raise self._not_read(name, column, not_read)
            return {column.name: dates}
        entry = field_of(column.field)
        labels = codings.codes(entry.coding if entry else None)
        by_name = {}
        for name, cell in raw.items():
            by_name[name], not_read = cells.numbers_of(cell, labels)
            if not_read:
                raise self._not_read(name, column, not_read)
        first = by_name.popitem()[1]
        for name, others in by_name.items():
            for k, other in enumerate(others[: len(first)]):
                first[k], differ = cells.merged({"a": other, "b": first[k]})
                if differ:
                    raise InputError(
                        f"Column {name!r} of {self.path.name} is there twice, after a merge or as "
                        f"two fields of one title, and the two differ for {differ:,} people: "
                        "remove "
                        "the wrong one."
                    )
        return {
            FieldColumn(column.field, column.instance, column.array + k).name: values
            for k, values in enumerate(first)
        }

    def _not_read(self, name: str, column: FieldColumn, wrong: cells.NotRead) -> InputError:
        entry = field_of(column.field)
        coding = entry.coding if entry else None
        where = f"Column {name!r} of {self.path.name}"
        if wrong.why == "decimal comma":
            return InputError(
                f"{where} holds numbers with a decimal comma in {wrong.cells:,} cell(s); export "
                "the "
                "table again with a decimal point."
            )
        if "date" in wrong.why:
            cause = "day and month cannot be told apart" if "amb" in wrong.why else "is no date"
            return InputError(
                f"{where} holds {wrong.most[0][0]!r}, and {cause} ({wrong.cells:,} cell(s)); "
                "dates "
                "as YYYY-MM-DD were expected: export the table again."
            )
        if coding is None:
            return InputError(
                f"{where} (field {column.field}) holds text in {wrong.cells:,} cell(s) where "
                "numbers "
                "were expected; export the table again."
            )
        shown = ", ".join(f"{value[:LONGEST_SHOWN]!r} ({n:,})" for value, n in wrong.most)
        return InputError(
            f"{where} (field {column.field}) holds labels that coding {coding} is not known to "
            "have: "
            f"{shown}. Put the showcase's coding{coding}.tsv into the folder codings beside the "
            "tables, or export the table again with raw codes."
        )


@dataclass(frozen=True)
class MainTable:
    """All files of the main table together.

    Attributes
    ----------
    files : tuple of TableFile
        At least one.
    codings : Codings
        Labels that may stand in place of codes.
    """

    files: tuple[TableFile, ...]
    codings: Codings

    @property
    def named(self) -> str:
        """Names of its files, for messages."""
        names = [file.path.name for file in self.files]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more

    @cached_property
    def columns(self) -> frozenset[FieldColumn]:
        """Every field, instance and array that is there."""
        return frozenset(column for file in self.files for column in file.columns)

    @property
    def fields(self) -> frozenset[int]:
        """Fields that the table holds."""
        return frozenset(column.field for column in self.columns)

    def instances(self, field: int) -> tuple[int, ...]:
        """Instances of a field that the table holds, ascending."""
        return tuple(sorted({c.instance for c in self.columns if c.field == field}))

    def read(self, fields: Collection[int]) -> pd.DataFrame:
        """Read the columns of some fields, of everybody in any file.

        Parameters
        ----------
        fields : collection of int
            Fields that no file holds are left out.

        Returns
        -------
        DataFrame
            ``eid`` (int64), ascending, and a column such as ``21003-2.0`` for each field, instance
            and array, in their order: float64, or datetime for field 53.

        Raises
        ------
        InputError
            If files contradict each other, or one cannot be understood.
        """
        joined: pd.DataFrame | None = None
        seen: list[str] = []
        for file in self.files:
            part = file.read(fields, self.codings).set_index("eid")
            joined = part if joined is None else _joined(joined, part, seen, file.path.name)
            seen.append(file.path.name)
        assert joined is not None  # noqa: S101 - there is at least one file
        ordered = sorted(joined.columns, key=lambda name: tuple(map(int, re.split(r"[-.]", name))))
        return joined[ordered].sort_index().reset_index()


def _joined(there: pd.DataFrame, more: pd.DataFrame, seen: list[str], name: str) -> pd.DataFrame:
    people = there.index.union(more.index)
    there, more = there.reindex(people), more.reindex(people)
    for column in more.columns.intersection(there.columns):
        old, new = there[column], more[column]
        differ = int((old.notna() & new.notna() & (old != new)).sum())
        if differ:
            raise InputError(
                f"{name} and {', '.join(seen[:2])} contradict each other: {column} differs for "
                f"{differ:,} people. Keep one of them, or name the files to read in tables.files."
            )
        there[column] = old.where(old.notna(), new)
    return there.join(more[more.columns.difference(there.columns)])


def candidates(folder: Path) -> Iterator[Path]:
    """List files that may be tables: in a folder, or one further down.

    Parameters
    ----------
    folder : Path
        Of raw files.

    Yields
    ------
    Path
        In the order of names.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name.casefold() not in NO_FOLDER and not path.name.startswith("."):
                yield from (p for p in sorted(path.iterdir()) if _may_be_table(p))
        elif _may_be_table(path):
            yield path


def _may_be_table(path: Path) -> bool:
    name = path.name.casefold().removesuffix(".gz")
    return name.endswith(ENDINGS) and not NO_TABLE.fullmatch(path.name) and path.is_file()


def find_tables(
    folder: Path, settings: TableSettings, codings: Codings, coding_folder: Path
) -> MainTable | None:
    """Find the main table among raw files.

    Parameters
    ----------
    folder : Path
        Of raw files.
    settings : TableSettings
        What shall not be found out.
    codings : Codings
        Known labels.
    coding_folder : Path
        Of further coding files.

    Returns
    -------
    MainTable or None
        None where no file's header is that of a table.

    Raises
    ------
    InputError
        If a file that was named is not there or is no table.
    """
    named = [folder / name for name in settings.files]
    files = tuple(_opened(named or candidates(folder), settings))
    tables = tuple(file for file in files if file.is_table)
    if named and len(tables) < len(named):
        wrong = next(file for file in files if not file.is_table)
        raise InputError(
            f"{wrong.path.name}, named in tables.files, has no column `eid` with columns of fields "
            f"among its {len(wrong.header)} column(s); export the table again with participants' "
            "numbers."
        )
    return MainTable(tables, codings.extended(coding_folder)) if tables else None


def _opened(paths: Iterable[Path], settings: TableSettings) -> Iterator[TableFile]:
    for path in paths:
        if not path.is_file():
            raise InputError(f"There is no {path}, which tables.files names.")
        yield TableFile.open(path, settings)
