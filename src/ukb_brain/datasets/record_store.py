"""The stores of volumes and of connectivity vectors."""

from ukb_brain.datasets.folders import PlacedDataset
from ukb_brain.imaging.store import RecordStore


class RecordStoreDataset(PlacedDataset):
    """A `RecordStore`; nodes write into it, so saving only checks that it is this entry's."""

    def load(self) -> RecordStore:
        """Open the store, which may be empty."""
        return RecordStore(self._filepath)

    def save(self, data: RecordStore) -> None:
        """Hold the store against this entry's."""
        if data.path != self._filepath:
            raise ValueError(f"{data.path} is not the store of this entry, {self._filepath}")

    def _exists(self) -> bool:
        # Which records are complete says the quality table, written after all of them.
        return self._filepath.exists()
