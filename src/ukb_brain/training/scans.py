"""Scans of one imaging group, read from the stores and pooled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.imaging.preprocess import CONNECTIVITY
from ukb_brain.imaging.store import INCOMPLETE, Key, RecordStore

FILL_BATCH = 512


@dataclass(frozen=True)
class GroupScans:
    """Where an imaging group's scans are, and how they are read.

    Attributes
    ----------
    modalities : tuple of str
        Channels of a volume, or the one connectivity vector.
    volumes, connectivity : Path
        The stores.
    pooling : int
        Volumes are averaged over cubes of so many voxels.
    fill : ndarray of shape (edges,), optional
        Stands where a vector has no number.
    """

    modalities: tuple[str, ...]
    volumes: Path
    connectivity: Path
    pooling: int
    fill: NDArray[np.float32] | None = field(default=None, compare=False, kw_only=True)

    @property
    def is_volume(self) -> bool:
        """Whether the group holds volumes rather than vectors."""
        return self.modalities != (CONNECTIVITY,)

    def filled(self, training: Sequence[Key]) -> GroupScans:
        """Fill what people's connectivity lacks with the mean of training people.

        Parameters
        ----------
        training : sequence of (int, int)
            Records of training people who have the group.

        Returns
        -------
        GroupScans
            Itself where no record lacks anything, as in volumes.
        """
        store = RecordStore(self.connectivity)
        if self.is_volume or not training or not store.marked(INCOMPLETE):
            return self
        total, there = 0.0, 0.0
        for batch in self.batches(training, FILL_BATCH):
            known = np.isfinite(batch)
            total = total + np.where(known, batch, 0).sum(axis=0, dtype=np.float64)
            there = there + known.sum(axis=0)
        # An edge that nobody in training has says nothing of anybody.
        mean = np.divide(total, there, out=np.zeros(np.shape(total)), where=np.asarray(there) > 0)
        return replace(self, fill=mean.astype(np.float32))

    def read(self, keys: Sequence[Key]) -> NDArray[np.float32]:
        """Read some people's scans.

        Parameters
        ----------
        keys : sequence of (int, int)
            eid and instance; at least one, all of them in the store.

        Returns
        -------
        ndarray of shape (n, channels, x, y, z) or (n, edges)
            Pooled volumes, or vectors.
        """
        if not self.is_volume:
            store = RecordStore(self.connectivity)
            vectors = store.read_many(CONNECTIVITY, keys).astype(np.float32)
            return vectors if self.fill is None else np.where(np.isnan(vectors), self.fill, vectors)
        store = RecordStore(self.volumes)
        first = self._pooled(store, keys[0])
        out = np.empty((len(keys), *first.shape), dtype=np.float32)
        out[0] = first
        for row, key in enumerate(keys[1:], start=1):
            out[row] = self._pooled(store, key)
        return out

    def _pooled(self, store: RecordStore, key: Key) -> NDArray[np.float32]:
        channels = [store.read(modality, key).astype(np.float32) for modality in self.modalities]
        volume = torch.from_numpy(np.stack(channels))
        if self.pooling > 1:
            volume = torch.nn.functional.avg_pool3d(volume, self.pooling, ceil_mode=True)
        return volume.numpy()

    def batches(self, keys: Sequence[Key], size: int) -> Iterator[NDArray[np.float32]]:
        """Read scans some at a time, each as one row.

        Parameters
        ----------
        keys : sequence of (int, int)
            eid and instance.
        size : int
            About how many at a time; batches are of equal size, but for one person.

        Yields
        ------
        ndarray of shape (batch, features)
        """
        n = max(1, len(keys) // size)
        for rows in np.array_split(np.arange(len(keys)), n):
            yield self.read([keys[row] for row in rows]).reshape(len(rows), -1)
