"""One file of the main table, of which only the columns needed are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from pydantic import Field

from ukb_brain.errors import InputError
from ukb_brain.problems import few
from ukb_brain.settings_base import Settings
from ukb_brain.tables import raw_values, text_files
from ukb_brain.tables.dictionary import DATE, Codings, known_of
from ukb_brain.tables.headers import FieldColumn, find_id_column, parse_header, style_of
from ukb_brain.tables.text_files import TEXT, TextForm
from ukb_brain.tables.text_lines import Encoding

LONGEST_SHOWN = 40


class TableSettings(Settings):
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
    """One file of the main table: text, or Parquet where it has no form."""

    path: Path
    header: tuple[str, ...]
    form: TextForm | None

    @classmethod
    def open(cls, path: Path, settings: TableSettings | None = None) -> TableFile:
        """Read the header, and nothing else yet."""
        settings = settings or TableSettings()
        if path.suffix.lower() == ".parquet":
            return cls(path, tuple(_parquet(pyarrow.parquet.read_schema, path).names), None)
        form = text_files.find_form(path, settings.delimiter, settings.encoding)
        return cls(path, form.header, form)

    @cached_property
    def columns(self) -> dict[FieldColumn, tuple[int, ...]]:
        """Places in the file of each field, instance and array that is there."""
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
        wanted = {c: places for c, places in self.columns.items() if c.field in fields}
        assert self.id_column is not None  # noqa: S101 - only tables are read
        id_place = self.header.index(self.id_column)
        types: dict[int, pa.DataType] = {id_place: pa.int64()}
        for column, places in wanted.items():
            kind = TEXT if column.field == DATE else pa.float64()
            types |= dict.fromkeys(places, kind)
        raw = self._raw(types)
        eid = self._eids(raw[id_place])
        found: dict[str, npt.NDArray[Any]] = {}
        with ThreadPoolExecutor() as pool:
            parts = [{place: raw[place] for place in places} for places in wanted.values()]
            read = pool.map(lambda column, part: self._column(column, part, codings), wanted, parts)
            for arrays in read:
                twice = next((name for name in arrays if name in found), None)
                if twice:
                    raise InputError(
                        f"{self.path.name} holds {twice} twice: as a second answer in the cell of "
                        "an array, and as a column. Export the table again."
                    )
                found |= arrays
        # Not copied into one block: a table of all people is large.
        return pd.DataFrame({"eid": eid.to_numpy("int64"), **found}, copy=False)

    def _raw(self, types: dict[int, pa.DataType]) -> dict[int, pa.ChunkedArray]:
        if self.form is not None:
            table = text_files.read_columns(self.path, self.form, types)
            return {place: table[str(place)] for place in types}
        names = [self.header[place] for place in types]
        if any(self.header.count(name) > 1 for name in names):
            raise InputError(
                f"{self.path.name} has two columns of one name, and Parquet readers cannot tell "
                "them apart: export the table again."
            )
        table = _parquet(pyarrow.parquet.read_table, self.path, columns=names)
        return {place: table[self.header[place]] for place in types}

    def _eids(self, column: pa.ChunkedArray) -> pd.Series:
        if pa.types.is_integer(column.type):
            eids = column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        else:
            eids, why = raw_values.whole_numbers_of(column)
            if why == "rounded":
                raise InputError(
                    f"{self.path.name} has eids such as 1e+06: a spreadsheet or R rounded them, "
                    "and people can no longer be told apart. Export the table again and keep eids "
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
        without = int(eids.isna().sum())
        if without:
            raise InputError(
                f"{self.path.name} has {without:,} row(s) without an eid: it is damaged or cut "
                "short. Export or copy it again."
            )
        return eids

    def _column(
        self, column: FieldColumn, raw: dict[int, pa.ChunkedArray], codings: Codings
    ) -> dict[str, npt.NDArray[Any]]:
        labels = codings.codes(known_of(column.field).coding)
        found: list[list[npt.NDArray[Any]]] = []
        for place, cell in raw.items():
            answers: list[npt.NDArray[Any]]
            try:
                if column.field == DATE:
                    dates, not_read = raw_values.dates_of(cell)
                    answers = [dates.to_numpy()]
                else:
                    answers, not_read = raw_values.numbers_of(cell, labels)
            except (TypeError, pa.ArrowException):
                raise InputError(
                    f"Column {self.header[place]!r} of {self.path.name} holds values within values "
                    f"({cell.type}), where one answer or a list of them was expected; export the "
                    "table again."
                ) from None
            if not_read:
                where = f"Column {self.header[place]!r} of {self.path.name}"
                raise InputError(f"{where} {_told(column.field, not_read)}")
            found.append(answers)
        names = [column._replace(array=column.array + k).name for k in range(max(map(len, found)))]
        if len(found) == 1:
            return dict(zip(names, found[0], strict=True))
        tables = [pd.DataFrame(dict(zip(names, arrays, strict=False))) for arrays in found]
        merged, differ = raw_values.merged(tables)
        if differ:
            raise InputError(
                f"Column {self.header[min(raw)]!r} of {self.path.name} is there twice, after a "
                f"merge or as two fields of one title, and the two differ for {differ:,} people: "
                "remove the wrong one."
            )
        return {name: merged[name].to_numpy() for name in names}


def _parquet(reader: Callable[..., Any], path: Path, **asked: Any) -> Any:
    try:
        return reader(path, **asked)
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{path.name} is no readable Parquet file: export or copy it again."
        ) from None


def _told(field: int, wrong: raw_values.NotRead) -> str:
    """Say what a column holds in place of what was expected, and what to do."""
    if wrong.why == "decimal comma":
        return (
            f"holds numbers with a decimal comma in {wrong.cells:,} cell(s); export the table "
            "again with a decimal point."
        )
    if "date" in wrong.why:
        cause = "day and month cannot be told apart" if "amb" in wrong.why else "is no date"
        # The form of a cell, and not whose it is.
        masked = re.sub(r"\d", "#", wrong.most[0][0][:LONGEST_SHOWN])
        return (
            f"holds {masked!r}, and {cause} ({few(wrong.cells)} cell(s)); dates as YYYY-MM-DD "
            "were expected: export the table again."
        )
    coding = known_of(field).coding
    if coding is None:
        return (
            f"(field {field}) holds text in {wrong.cells:,} cell(s) where numbers were expected; "
            "export the table again."
        )
    shown = ", ".join(f"{v[:LONGEST_SHOWN]!r} ({few(n)})" for v, n in wrong.most)
    return (
        f"(field {field}) holds labels that coding {coding} is not known to have: {shown}. Put the "
        f"showcase's coding{coding}.tsv into the folder codings beside the tables, or export the "
        "table again with raw codes."
    )
