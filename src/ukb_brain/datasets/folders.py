"""Folders as Kedro datasets: the bulk files, folders that nodes own, and models."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk_index import find_bulk
from ukb_brain.ledger.artifact import (
    ModelFolder,
)


class BulkFolderDataset(AbstractDataset[Path, Path]):
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
        self,
        *,
        path: str,
        folder: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path, self._folder = Path(path), folder
        self.metadata = metadata

    def load(self) -> Path:
        """Find the folder.

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If a folder was named that is not there.
        """
        if self._folder is None:
            return find_bulk(self._path)
        if not Path(self._folder).is_dir():
            raise InputError(f"There is no folder {self._folder}, which bulk_folder names.")
        return Path(self._folder)

    def save(self, data: Path) -> None:
        """Raw files are never written by the pipelines that read them."""
        raise NotImplementedError("bulk files are read only")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "folder": self._folder}

    def _exists(self) -> bool:
        return (
            find_bulk(self._path).is_dir() if self._folder is None else Path(self._folder).is_dir()
        )


class OwnedFolderDataset(AbstractDataset[Path, Path]):
    """A folder that a node writes into.

    Parameters
    ----------
    filepath : str
        The folder.
    metadata : dict, optional
        For kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Name the folder.

        Returns
        -------
        Path
            It may not exist yet.
        """
        return self._filepath

    def save(self, data: Path) -> None:
        """Folders are written by nodes, file by file."""
        if Path(data) != self._filepath:
            raise ValueError(f"{data} is not the folder of this entry, {self._filepath}")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class ModelFolderDataset(AbstractDataset[ModelFolder, ModelFolder]):
    """Many models of one kind, each in a sub-folder; a node writes them one by one.

    The entry exists once its node ended with no model missing or failed, so
    ``kedro run --only-missing-outputs`` goes on with an unfinished one.

    Parameters
    ----------
    filepath : str
        The folder.
    metadata : dict, optional
        For kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._models = ModelFolder(self._filepath)
        self.metadata = metadata

    def load(self) -> ModelFolder:
        """Open the folder; nothing is read yet.

        Returns
        -------
        ModelFolder
            Its models are read by name.

        Raises
        ------
        InputError
            If there is no such folder.
        """
        if not self._models.path.is_dir():
            raise InputError(
                f"There are no models in {self._models.path}: run the pipeline that makes them."
            )
        return self._models

    def save(self, data: ModelFolder) -> None:
        """Mark the folder as complete, unless one of its models failed.

        Parameters
        ----------
        data : ModelFolder
            What the node wrote, in this entry's folder.
        """
        if data.path.resolve() != self._models.path.resolve():
            raise ValueError(f"{data.path} is not the folder of this entry, {self._models.path}")
        self._models.finish()

    def _exists(self) -> bool:
        return self._models.complete

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._models.path)}
