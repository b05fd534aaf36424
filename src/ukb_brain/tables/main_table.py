"""The main table as UK Biobank hands it out: found by its headers, in one file or many."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.tables.abide import AbideFile, is_abide
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.people_lists import raw_files
from ukb_brain.tables.raw_values import merged
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

    @cached_property
    def columns(self) -> frozenset[FieldColumn]:
        """Every field, instance and array that is there."""
        return frozenset(column for file in self.files for column in file.columns)

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
        read = {name: joined[name].to_numpy() for name in ordered}
        return pd.DataFrame({"eid": joined.index.to_numpy(), **read}, copy=False)


def _joined(there: pd.DataFrame, more: pd.DataFrame, seen: list[str], name: str) -> pd.DataFrame:
    people = there.index.union(more.index)
    there, more = there.reindex(people), more.reindex(people)
    both = more.columns.intersection(there.columns)
    joined = [there.drop(columns=both), more.drop(columns=both)]
    for column in both:
        values, differ = merged([there[[column]], more[[column]]])
        if differ:
            raise InputError(
                f"{name} and {', '.join(seen[:2])} contradict each other: {column} differs for "
                f"{differ:,} people. Keep one of them, or name the files to read in tables.files."
            )
        joined.append(values)
    return pd.concat(joined, axis=1)


def candidates(folder: Path) -> Iterator[Path]:
    """List files among raw ones that may be tables, in the order of names.

    Those of the folder itself come first, then those of its folders but for bulk files.
    """
    found = [path for path in raw_files(folder) if _may_be_table(path)]
    yield from sorted(found, key=lambda path: (len(path.relative_to(folder).parts), path))


def _may_be_table(path: Path) -> bool:
    name = path.name.casefold().removesuffix(".gz")
    return name.endswith(ENDINGS) and not NO_TABLE.fullmatch(path.name) and path.is_file()


@dataclass(frozen=True)
class TableFolder:
    """Where the main table lies, under whatever names.

    Attributes
    ----------
    path : Path
        The raw folder.
    codings : Path
        Folder of the user's coding files; it may be absent.
    """

    path: Path
    codings: Path

    def open(self, settings: TableSettings, codings: Codings) -> MainTable:
        """Find the main table; known labels are extended by the folder of coding files.

        Raises
        ------
        InputError
            If there is none, or a file that was named is not there or is no table.
        """
        named = [self.path / name for name in settings.files]
        files = [_opened(path, settings) for path in named or candidates(self.path)]
        tables = tuple(file for file in files if file.is_table)
        passed = tuple(file for file in files if not file.is_table)
        if named and passed:
            raise InputError(
                f"{passed[0].path.name}, named in tables.files, has no column `eid` with columns "
                f"of fields among its {len(passed[0].header)} column(s); export the table again "
                "with participants' numbers."
            )
        if tables:
            return MainTable(tables, codings.extended(self.codings), passed)
        if passed:
            raise InputError(
                f"None of the {len(passed)} file(s) in {self.path} that could be the main table "
                "has a column `eid` (or `f.eid`, `participant.eid`, `Participant ID`) beside "
                "columns of fields; export the table again with participants' numbers."
            )
        where = f"{self.path}" if self.path.exists() else f"{self.path}, which does not exist"
        raise InputError(
            f"There is no main table at {where}. Files that you have are named by --params "
            "raw_folder=FOLDER. For the demo, make a synthetic cohort with `kedro run --pipelines "
            "synthetic_cohort`, with the same --params; for real UK Biobank files, put them under "
            "01_raw of the data_root in conf/ukb/globals.yml (data/ukb/01_raw) and use `kedro run "
            "--env ukb`; for ABIDE's public ones, fetch them with `kedro get-abide`."
        )


def _opened(path: Path, settings: TableSettings) -> TableFile:
    if not path.is_file():
        raise InputError(f"There is no {path}, which tables.files names.")
    file = TableFile.open(path, settings)
    return AbideFile(path, file.header, file.form) if is_abide(file.header) else file
