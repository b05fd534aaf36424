"""The main table as UK Biobank hands it out: found by its headers, in one file or many."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.tables.abide import AbideFile, is_abide
from ukb_brain.tables.codings import Codings
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.people_lists import raw_files
from ukb_brain.tables.table_file import TableFile, TableSettings

ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".parquet")
# Files of other kinds that lie beside the tables, and scans' own text files.
NO_TABLE = re.compile(
    r"(?:w\d|withdraw|participation_weights|splits|exclude|coding\d|\d+_\d+_\d+_\d+\.).*", re.I
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
    passed : tuple of TableFile
        Files beside them whose header is not that of a table of participants.
    """

    files: tuple[TableFile, ...]
    codings: Codings
    passed: tuple[TableFile, ...] = ()

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
        if not joined.index.is_monotonic_increasing:
            joined = joined.sort_index()
        # Column by column: a table of all people is never copied as a whole.
        read = {"eid": joined.index.to_numpy()} | {
            name: joined[name].to_numpy() for name in ordered
        }
        return pd.DataFrame(read, copy=False)


def _joined(there: pd.DataFrame, more: pd.DataFrame, seen: list[str], name: str) -> pd.DataFrame:
    people = there.index.union(more.index)
    there, more = there.reindex(people), more.reindex(people)
    both = more.columns.intersection(there.columns)
    filled: dict[str, pd.Series] = {}
    for column in both:
        old, new = there[column], more[column]
        differ = int((old.notna() & new.notna() & (old != new)).sum())
        if differ:
            raise InputError(
                f"{name} and {', '.join(seen[:2])} contradict each other: {column} differs for "
                f"{differ:,} people. Keep one of them, or name the files to read in tables.files."
            )
        filled[column] = old.where(old.notna(), new)
    joined = [there.drop(columns=both), pd.DataFrame(filled, index=people), more.drop(columns=both)]
    return pd.concat(joined, axis=1)


def candidates(folder: Path) -> Iterator[Path]:
    """List files that may be tables: in a folder, and in its folders but those of bulk files.

    Parameters
    ----------
    folder : Path
        Of raw files.

    Yields
    ------
    Path
        In the order of names, those of the folder itself first.
    """
    found = [path for path in raw_files(folder) if _may_be_table(path)]
    yield from sorted(found, key=lambda path: (len(path.relative_to(folder).parts), path))


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
    passed = tuple(file for file in files if not file.is_table)
    return MainTable(tables, codings.extended(coding_folder), passed) if tables else None


def _opened(paths: Iterable[Path], settings: TableSettings) -> Iterator[TableFile]:
    for path in paths:
        if not path.is_file():
            raise InputError(f"There is no {path}, which tables.files names.")
        file = TableFile.open(path, settings)
        yield AbideFile(path, file.header, file.form) if is_abide(file.header) else file
