"""The stores of volumes and of connectivity vectors."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from ukb_brain.imaging.store import RecordStore


class RecordStoreDataset(AbstractDataset[RecordStore, RecordStore]):
    """A `RecordStore`; nodes write into it, so saving only checks that it is there.

    Parameters
    ----------
    filepath : str
        Folder of the store.
    metadata : dict, optional
        For kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> RecordStore:
        """Open the store.

        Returns
        -------
        RecordStore
            It may be empty.
        """
        return RecordStore(self._filepath)

    def save(self, data: RecordStore) -> None:
        """Mark the store as complete.

        Parameters
        ----------
        data : RecordStore
            Must be the store of this entry.
        """
        if data.path != self._filepath:
            raise ValueError(f"{data.path} is not the store of this entry, {self._filepath}")

    def _exists(self) -> bool:
        # Which records are complete says the quality table, written after all of them.
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
