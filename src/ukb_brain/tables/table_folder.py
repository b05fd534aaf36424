"""The folder in which the main table lies, under whatever names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ukb_brain.errors import InputError
from ukb_brain.tables.codings import Codings
from ukb_brain.tables.main_table import MainTable, candidates, find_tables
from ukb_brain.tables.table_file import TableSettings


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
    where = f"{path}" if path.exists() else f"{path}, which does not exist"
    return InputError(
        f"There is no {what} at {where}. Files that you have are named by --params "
        "raw_folder=FOLDER. For the demo, make a synthetic cohort with `kedro run --pipelines "
        "synthetic_cohort`, with the same --params; for real UK Biobank files, put them under "
        "01_raw of the data_root in conf/ukb/globals.yml (data/ukb/01_raw) and use `kedro run "
        "--env ukb`; for ABIDE's public ones, fetch them with `kedro get-abide`."
    )


@dataclass(frozen=True)
class TableFolder:
    """Where tables are looked for.

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
        """Find the main table.

        Parameters
        ----------
        settings : TableSettings
            What shall not be found out.
        codings : Codings
            Known labels.

        Returns
        -------
        MainTable
            To read columns from.

        Raises
        ------
        InputError
            If there is none.
        """
        table = find_tables(self.path, settings, codings, self.codings)
        if table is not None:
            return table
        seen = sum(1 for _ in candidates(self.path))
        if seen:
            raise InputError(
                f"None of the {seen} file(s) in {self.path} that could be the main table has a "
                "column `eid` (or `f.eid`, `participant.eid`, `Participant ID`) beside columns of "
                "fields; export the table again with participants' numbers."
            )
        raise absent_raw_file("main table", self.path)
