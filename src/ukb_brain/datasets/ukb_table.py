"""The main table as UK Biobank hands it out, of which only the columns needed are read."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from kedro.io import AbstractDataset

from ukb_brain.errors import InputError
from ukb_brain.tables.headers import FieldColumn, find_id_column, parse_header

DATE_FIELDS = frozenset({53})
BLOCK_BYTES = 1 << 25  # a row of the real table, with tens of thousands of columns, must fit


def absent_raw_file(what: str, path: Path) -> InputError:
    """Say which commands give raw files.

    Parameters
    ----------
    what : str
        What is not there.
    path : Path
        Where it was looked for.

    Returns
    -------
    InputError
        To be raised.
    """
    return InputError(
        f"There is no {what} at {path}. For the demo, make a synthetic cohort with `kedro run "
        "--pipeline synthetic_cohort`; for real UK Biobank files, put them under 01_raw of the "
        "data_root in conf/ukb/globals.yml (data/ukb/01_raw) and use `kedro run --env ukb`."
    )


@dataclass(frozen=True)
class UKBTable:
    """The main table on disk.

    Attributes
    ----------
    path : Path
        CSV, TSV or Parquet.
    header : tuple of str
        All names of columns, as in the file.
    delimiter : str
        Of a text file; empty for Parquet.
    """

    path: Path
    header: tuple[str, ...]
    delimiter: str

    @classmethod
    def open(cls, path: Path) -> UKBTable:
        """Read the header.

        Parameters
        ----------
        path : Path
            A file ending in ``.parquet``, or a text file whose first line is the header.

        Returns
        -------
        UKBTable
            Of which nothing but the header is read yet.

        Raises
        ------
        InputError
            If the file is not there, is empty, or has no column of participants' numbers.
        """
        if not path.is_file():
            raise absent_raw_file("main table", path)
        if path.suffix == ".parquet":
            header, delimiter = pyarrow.parquet.read_schema(path).names, ""
        else:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                line = file.readline()
            delimiter = "\t" if line.count("\t") > line.count(",") else ","
            header = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
        table = cls(path, tuple(header), delimiter)
        if find_id_column(table.header) is None:
            raise InputError(
                f"{path} has no column `eid` (or `f.eid`, `participant.eid`) among its "
                f"{len(header)} column(s); export the table again with participants' numbers."
            )
        return table

    @cached_property
    def columns(self) -> dict[FieldColumn, str]:
        """Name in the file of each field, instance and array that is there."""
        return parse_header(self.header)

    @property
    def fields(self) -> frozenset[int]:
        """Fields that the table holds."""
        return frozenset(column.field for column in self.columns)

    def read(self, fields: Collection[int]) -> pd.DataFrame:
        """Read the columns of some fields.

        Parameters
        ----------
        fields : collection of int
            Fields that the table does not hold are left out.

        Returns
        -------
        DataFrame
            ``eid`` (int64) and a column such as ``21003-2.0`` for each field, instance and array,
            float64, or datetime for field 53.

        Raises
        ------
        InputError
            If an eid comes twice, or a column holds what is neither a number nor missing.
        """
        id_column = find_id_column(self.header)
        assert id_column is not None  # noqa: S101 - checked when the table was opened
        wanted = {name: column for column, name in self.columns.items() if column.field in fields}
        types = {
            name: pa.timestamp("us") if column.field in DATE_FIELDS else pa.float64()
            for name, column in wanted.items()
        }
        types = {id_column: pa.int64()} | types
        data = self._read_text(types) if self.delimiter else self._read_parquet(types)
        frame = data.rename_columns(
            ["eid", *(wanted[name].name for name in data.column_names[1:])]
        ).to_pandas()
        self._check_eids(frame)
        return frame

    def _check_eids(self, frame: pd.DataFrame) -> None:
        if frame["eid"].isna().any():
            raise InputError(f"{self.path} has {frame['eid'].isna().sum()} row(s) without an eid.")
        twice = int(frame["eid"].duplicated().sum())
        if twice:
            raise InputError(
                f"{self.path} has {twice} row(s) whose eid came before, and one row a participant "
                "was expected; remove the duplicates or export the table again."
            )

    def _read_text(self, types: dict[str, pa.DataType]) -> pa.Table:
        try:
            return pyarrow.csv.read_csv(
                self.path,
                read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=pyarrow.csv.ParseOptions(delimiter=self.delimiter),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(types), column_types=types
                ),
            )
        except pa.ArrowInvalid as error:
            self._explain(str(error), types)

    def _explain(self, message: str, types: dict[str, pa.DataType]) -> NoReturn:
        # Arrow's own message can quote a whole row, and with it an eid.
        column = re.search(r"In CSV column #(\d+)", message)
        value = re.search(r"invalid value '([^']*)'", message)
        if column and value:
            raise self._not_numeric(self.header[int(column[1])], value[1], types) from None
        ragged = re.search(r"Expected (\d+) columns, got (\d+)", message)
        if ragged:
            raise InputError(
                f"{self.path} has a row of {ragged[2]} columns where its header has {ragged[1]}; "
                "the file is damaged or cut short: export or copy it again."
            ) from None
        raise InputError(
            f"{self.path} cannot be read as a table with delimiter {self.delimiter!r}; expected "
            "UK Biobank's CSV, tab-separated or Parquet table. Export or copy it again."
        ) from None

    def _not_numeric(self, name: str, value: str, types: dict[str, pa.DataType]) -> InputError:
        expected = {pa.float64(): "numbers", pa.int64(): "whole numbers"}.get(
            types[name], "dates as YYYY-MM-DD"
        )
        if re.fullmatch(r"\[?-?\d+([|,] *-?\d+)+\]?|\[-?\d+\]", value):
            return InputError(
                f"Column {name!r} of {self.path} holds several answers in one cell, which is not "
                "read yet; export the field with one column an answer (such as p6150_i2_a0)."
            )
        shown = "" if types[name] == pa.int64() else f" {value!r}"
        return InputError(
            f"Column {name!r} of {self.path} holds text{shown} where {expected} were expected; "
            "export the table again with raw codings rather than with labels."
        )

    def _read_parquet(self, types: dict[str, pa.DataType]) -> pa.Table:
        data = pyarrow.parquet.read_table(self.path, columns=list(types)).select(list(types))
        columns: dict[str, Any] = {}
        for name, wanted in types.items():
            try:
                columns[name] = data[name].cast(wanted)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise self._not_numeric(name, str(data.schema.field(name).type), types) from None
        return pa.table(columns)


class UKBTableDataset(AbstractDataset[Any, UKBTable]):
    """The main table: loading it reads the header, and the columns only when asked for.

    Parameters
    ----------
    filepath : str
        CSV, TSV or Parquet; the delimiter and the style of the header are found out.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> UKBTable:
        """Open the table.

        Returns
        -------
        UKBTable
            To read columns from.
        """
        return UKBTable.open(self._filepath)

    def save(self, data: Any) -> None:
        """Refuse: raw files are only read.

        Parameters
        ----------
        data : Any
            Not written.
        """
        raise NotImplementedError("the main table is a raw file and only read")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._filepath.is_file()
