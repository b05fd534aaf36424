"""The folder in which the main table lies, under whatever names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ukb_brain.datasets.folders import RawDataset
from ukb_brain.tables.main_table import TableFolder, candidates


class UKBTableDataset(RawDataset):
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
        super().__init__(path=path, metadata=metadata)
        self._codings = Path(codings)

    def load(self) -> TableFolder:
        """Name the folder."""
        return TableFolder(self._path, self._codings)

    def _exists(self) -> bool:
        return next(candidates(self._path), None) is not None
