"""Folders as Kedro datasets: raw files, folders that nodes own, and models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk_index import find_bulk
from ukb_brain.ledger.artifact import ModelFolder


class RawDataset(AbstractDataset[Any, Any]):
    """Something that is found among the files of the raw folder, and only read."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Refuse."""
        raise NotImplementedError("raw files are only read")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class PlacedDataset(AbstractDataset[Any, Any]):
    """Something that has one place of its own."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class BulkFolderDataset(RawDataset):
    """The folder of bulk files, in whatever arrangement; nothing of it is read until asked for.

    Parameters
    ----------
    path : str
        The raw folder, in which the bulk files lie, themselves or in a folder.
    folder : str, optional
        The folder, where it is another.
    metadata : dict, optional
        For kedro-viz.
    """

    def __init__(
        self, *, path: str, folder: str | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(path=path, metadata=metadata)
        self._folder = folder

    def load(self) -> Path:
        """Find the folder; `InputError` if one was named that is not there."""
        if self._folder and not self._exists():
            raise InputError(f"There is no folder {self._folder}, which bulk_folder names.")
        return self._place()

    def _place(self) -> Path:
        return find_bulk(self._path) if self._folder is None else Path(self._folder)

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "folder": self._folder}

    def _exists(self) -> bool:
        return self._place().is_dir()


class OwnedFolderDataset(PlacedDataset):
    """A folder that a node writes into, file by file."""

    def load(self) -> Path:
        """Name the folder; it may not exist yet."""
        return self._filepath

    def save(self, data: Path) -> None:
        """Hold the folder against this entry's."""
        if Path(data) != self._filepath:
            raise ValueError(f"{data} is not the folder of this entry, {self._filepath}")


class ModelFolderDataset(PlacedDataset):
    """Many models of one kind, each in a sub-folder; a node writes them one by one.

    The entry exists once its node ended with no model missing or failed, so
    ``kedro run --only-missing-outputs`` goes on with an unfinished one.
    """

    def load(self) -> ModelFolder:
        """Open the folder, of which models are read by name; `InputError` if there is none."""
        if not self._filepath.is_dir():
            raise InputError(
                f"There are no models in {self._filepath}: run the pipeline that makes them."
            )
        return ModelFolder(self._filepath)

    def save(self, data: ModelFolder) -> None:
        """Mark the folder as complete, unless one of its models failed."""
        if data.path.resolve() != self._filepath.resolve():
            raise ValueError(f"{data.path} is not the folder of this entry, {self._filepath}")
        ModelFolder(self._filepath).finish()

    def _exists(self) -> bool:
        return ModelFolder(self._filepath).complete
