"""Folders as Kedro datasets: the bulk files, the folder the generator owns, and models."""

import re
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.partitions import PartitionedDataset

from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.networks.artifact import (
    Model,
    ModelFolder,
    read_card,
    read_model,
    write_model,
)

BULK_NAME = re.compile(r"^\d+/(\d+)_(\d+)_(\d+)_\d+\.(zip|txt)$")


class BulkDataset(AbstractDataset[BulkFile, BulkFile]):
    """One bulk file; its members are read on demand.

    Parameters
    ----------
    filepath : str
        A zip or a text file.
    """

    def __init__(self, *, filepath: str) -> None:
        self._filepath = Path(filepath)

    def load(self) -> BulkFile:
        """Open the file lazily.

        Returns
        -------
        BulkFile
            Nothing is read yet.
        """
        return BulkFile(self._filepath)

    def save(self, data: BulkFile) -> None:
        """Raw files are never written by the pipelines that read them."""
        raise NotImplementedError("bulk files are read only")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class BulkFolderDataset(PartitionedDataset):
    """All bulk files under one folder, one sub-folder a field."""

    def load(self) -> dict[str, Any]:
        """List the bulk files.

        Returns
        -------
        dict of str to callable
            By ``<field>/<file name>``; each call gives a `BulkFile`.

        Raises
        ------
        InputError
            If there is no bulk file at all.
        """
        try:
            found = super().load()
        except DatasetError:  # Kedro's way to say that there is no file at all
            found = {}
        partitions = {name: load for name, load in found.items() if BULK_NAME.match(name)}
        if not partitions:
            raise InputError(
                f"No bulk files under {self._path}: "
                "expected <field>/<eid>_<field>_<instance>_0.zip. "
                "`kedro run --pipeline synthetic_cohort` writes the demo's; "
                "for real data put UK Biobank's there and use `kedro run --env ukb`."
            )
        return partitions


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


class ModelDataset(AbstractDataset[Model, Model]):
    """A model as a folder: ``model.safetensors`` and ``card.json``.

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

    def load(self) -> Model:
        """Read the model.

        Returns
        -------
        Model
            Arrays and card.
        """
        return read_model(self._filepath)

    def save(self, data: Model) -> None:
        """Write the model; its card comes last, so a model with a card is whole.

        Parameters
        ----------
        data : Model
            Arrays and card.
        """
        write_model(self._filepath, data)

    def _exists(self) -> bool:
        return read_card(self._filepath) is not None

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
