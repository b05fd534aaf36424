"""The folder in which the main table lies, under whatever names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from ukb_brain.tables.main_table import candidates
from ukb_brain.tables.table_folder import TableFolder


class UKBTableDataset(AbstractDataset[Any, TableFolder]):
    """The main table: loading it names the folder, and nothing is read until asked for.

    Parameters
    ----------
    path : str
        The raw folder.
    codings : str
        Folder of the showcase's coding files.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(self, *, path: str, codings: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self._folder = TableFolder(self._path, Path(codings))
        self.metadata = metadata

    def load(self) -> TableFolder:
        """Name the folder.

        Returns
        -------
        TableFolder
            To find the table in.
        """
        return self._folder

    def save(self, data: Any) -> None:
        """Refuse: raw files are only read.

        Parameters
        ----------
        data : Any
            Not written.
        """
        raise NotImplementedError("the main table is a raw file and only read")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder.path)}

    def _exists(self) -> bool:
        return next(candidates(self._folder.path), None) is not None
