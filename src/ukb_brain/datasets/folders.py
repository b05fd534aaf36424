"""Folders that nodes write: their own, models, and stores of volumes and vectors."""

import secrets
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError
from ukb_brain.imaging.store import RecordStore, open_store
from ukb_brain.ledger.artifact import ModelFolder


class PlacedDataset(AbstractDataset[Any, Any]):
    """Something that has one place of its own."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class OwnedFolderDataset(PlacedDataset):
    """A folder that a node writes into, file by file."""

    def load(self) -> Path:
        """Name the folder; it may not exist yet."""
        return self._filepath

    def save(self, data: Path) -> None:
        """Hold the folder against this entry's."""
        if Path(data) != self._filepath:
            raise ValueError(f"{data} is not the folder of this entry, {self._filepath}")


class SecretDataset(PlacedDataset):
    """A key of 32 bytes that nobody knows: made when it is first asked for, then the same."""

    def load(self) -> bytes:
        """Read the key."""
        if not self._filepath.exists():
            with atomic_path(self._filepath) as part:
                part.touch(mode=0o600)
                part.write_text(secrets.token_hex(32), encoding="ascii")
        return bytes.fromhex(self._filepath.read_text(encoding="ascii"))

    def save(self, data: bytes) -> None:
        """Refuse."""
        raise NotImplementedError("the key is made where it is read")


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


class RecordStoreDataset(PlacedDataset):
    """A `RecordStore`; nodes write into it, so saving only checks that it is this entry's."""

    def load(self) -> RecordStore:
        """Open the store, which may be empty."""
        return open_store(self._filepath)

    def save(self, data: RecordStore) -> None:
        """Hold the store against this entry's."""
        if data.path != self._filepath:
            raise ValueError(f"{data.path} is not the store of this entry, {self._filepath}")

    def _exists(self) -> bool:
        # Which records are complete says the quality table, written after all of them.
        return self._filepath.exists()
