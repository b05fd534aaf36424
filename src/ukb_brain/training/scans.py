"""Scans of one imaging group, read from the stores and pooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from ukb_brain.imaging.readers import SHRINKAGE
from ukb_brain.imaging.store import INCOMPLETE, Key, RecordStore, open_store
from ukb_brain.imaging.tangent import (
    completed,
    covariances,
    logarithms,
    regions_lacking,
    tangents,
    whitening,
)
from ukb_brain.ledger.artifact import ARRAYS

FILL_BATCH = 512
# People with all regions whose mean is the reference; where there are fewer, gaps are filled.
LEAST_WHOLE = 10
# Matrices whose logarithms are taken at a time.
LOGARITHMS = 64


@dataclass(frozen=True)
class KeptVectors:
    """Vectors of tangent space that were made before.

    Attributes
    ----------
    blocks : tuple of Path
        Models with ``vectors``.
    size : int
        People of each, but for the last.
    records : ndarray of shape (n, 2)
        eid and instance of all, in their order: sorted.
    """

    blocks: tuple[Path, ...]
    size: int
    records: NDArray[np.int64]

    def read(self, keys: Sequence[Key]) -> NDArray[np.float32]:
        """Read some people's vectors.

        Parameters
        ----------
        keys : sequence of (int, int)
            eid and instance; all of them among the records.

        Returns
        -------
        ndarray of shape (n, edges)
        """
        # Instances have one figure.
        order = self.records[:, 0] * 10 + self.records[:, 1]
        places = np.searchsorted(order, [10 * eid + instance for eid, instance in keys])
        if not np.array_equal(self.records[places.clip(max=len(order) - 1)], np.array(keys)):
            raise ValueError("vectors are asked for of people of whom none were made")
        rows: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * len(keys)
        for block in np.unique(places // self.size):
            with safe_open(self.blocks[block] / ARRAYS, "np") as file:
                vectors = file.get_slice("vectors")
                for k in np.flatnonzero(places // self.size == block):
                    row = int(places[k] % self.size)
                    rows[k] = vectors[row : row + 1][0]
        return np.stack(rows)


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
    tangent : bool
        Whether connectivity is read in tangent space, where time series told how far to shrink it.
        UK Biobank's own matrices are read as they are.
    fill : ndarray of shape (edges,), optional
        Stands where a vector has no number.
    white : ndarray of shape (regions, regions), optional
        Of the reference of tangent space.
    kept : KeptVectors, optional
        Vectors of tangent space that were made already.
    """

    modalities: tuple[str, ...]
    volumes: Path
    connectivity: Path
    pooling: int
    tangent: bool = False
    fill: NDArray[np.float32] | None = field(default=None, compare=False, kw_only=True)
    white: NDArray[np.float64] | None = field(default=None, compare=False, kw_only=True)
    kept: KeptVectors | None = field(default=None, compare=False, kw_only=True)

    @property
    def is_volume(self) -> bool:
        """Whether the group holds volumes rather than a vector, which the other store has."""
        return not open_store(self.connectivity).has(self.modalities[0])

    def _measures(self, key: Key) -> Mapping[str, float]:
        about = open_store(self.connectivity).about(self.modalities[0], key)
        return (about or {}).get("measures", {})

    def fitted(self, training: Sequence[Key]) -> GroupScans:
        """Fit what reading rests on: the mean that fills gaps, and the reference of tangent space.

        Parameters
        ----------
        training : sequence of (int, int)
            Records of training people who have the group.

        Returns
        -------
        GroupScans
            Itself where nothing is to be fitted, as in volumes.
        """
        if self.is_volume or not training or self.kept is not None:
            return self
        store = open_store(self.connectivity)
        plain = self._filled(training) if store.marked(INCOMPLETE) else self
        if not self.tangent or SHRINKAGE not in self._measures(training[0]):
            return plain
        whole = [key for key in training if not plain._lacking([key]).any()]
        # Whoever lacks a region says less of the mean than they would blur it.
        used = whole if len(whole) >= min(LEAST_WHOLE, len(training) / 2) else training
        total = 0.0
        for start in range(0, len(used), LOGARITHMS):
            some = used[start : start + LOGARITHMS]
            total = total + logarithms(plain._covariances(some)).sum(axis=0)
        return replace(plain, white=whitening(np.asarray(total) / len(used)))

    def _lacking(self, keys: Sequence[Key]) -> NDArray[np.bool_]:
        if self.fill is None:
            return np.zeros((len(keys), 1), dtype=bool)
        return regions_lacking(replace(self, white=None, fill=None).read(keys))

    def _filled(self, training: Sequence[Key]) -> GroupScans:
        total, there = 0.0, 0.0
        for batch in self.batches(training, FILL_BATCH):
            known = np.isfinite(batch)
            total = total + np.where(known, batch, 0).sum(axis=0, dtype=np.float64)
            there = there + known.sum(axis=0)
        # An edge that nobody in training has says nothing of anybody.
        mean = np.divide(total, there, out=np.zeros(np.shape(total)), where=np.asarray(there) > 0)
        return replace(self, fill=mean.astype(np.float32))

    def _covariances(self, keys: Sequence[Key]) -> NDArray[np.float64]:
        shrinkage = np.array([self._measures(key)[SHRINKAGE] for key in keys])
        found = covariances(replace(self, white=None).read(keys), shrinkage)
        lacking = self._lacking(keys)
        if self.white is None or not lacking.any():
            return found
        root = np.linalg.inv(self.white)
        return completed(found, lacking, root @ root)

    def read(self, keys: Sequence[Key]) -> NDArray[np.float32]:
        """Read some people's scans.

        Parameters
        ----------
        keys : sequence of (int, int)
            eid and instance; at least one, all of them in the store.

        Returns
        -------
        ndarray of shape (n, channels, x, y, z) or (n, edges)
            Pooled volumes, or vectors; with the diagonal, where they are in tangent space.
        """
        if self.kept is not None:
            return self.kept.read(keys)
        if self.white is not None:
            some = (keys[k : k + LOGARITHMS] for k in range(0, len(keys), LOGARITHMS))
            return np.concatenate([tangents(self._covariances(k), self.white) for k in some])
        if not self.is_volume:
            store = open_store(self.connectivity)
            vectors = store.read_many(self.modalities[0], keys).astype(np.float32)
            return vectors if self.fill is None else np.where(np.isnan(vectors), self.fill, vectors)
        store = open_store(self.volumes)
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
