"""Scans of one imaging group, read from the stores and pooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from ukb_brain.grid import Grid
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
from ukb_brain.ledger import fingerprint_of
from ukb_brain.ledger.artifact import ARRAYS
from ukb_brain.training.settings import Modelling

FILL_BATCH = 512
# People with all regions whose mean is the reference; where there are fewer, gaps are filled.
LEAST_WHOLE = 10
# Matrices whose logarithms are taken at a time.
LOGARITHMS = 64
# People whose volumes are pooled at a time.
VOLUMES = 16


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
        """Read vectors of shape (n, edges) of people who are all among the records."""
        # Instances have one figure.
        order = self.records[:, 0] * 10 + self.records[:, 1]
        places = np.searchsorted(order, [10 * eid + instance for eid, instance in keys])
        if not np.array_equal(self.records[places.clip(max=len(order) - 1)], np.array(keys)):
            raise ValueError("vectors are asked for of people of whom none were made")
        rows: dict[int, NDArray[np.float32]] = {}
        for block in np.unique(places // self.size):
            with safe_open(self.blocks[block] / ARRAYS, "np") as file:
                vectors = file.get_slice("vectors")
                for k in np.flatnonzero(places // self.size == block).tolist():
                    row = int(places[k] % self.size)
                    rows[k] = vectors[row : row + 1][0]
        return np.stack([rows[k] for k in range(len(keys))])


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
    pooling: int = 1
    tangent: bool = False
    fill: NDArray[np.float32] | None = field(default=None, compare=False, kw_only=True)
    white: NDArray[np.float64] | None = field(default=None, compare=False, kw_only=True)
    kept: KeptVectors | None = field(default=None, compare=False, kw_only=True)

    @property
    def seen(self) -> tuple[tuple[str, ...], bool]:
        """What models depend on, beside pooling; what has another one is fitted anew."""
        return self.modalities, self.tangent

    @property
    def is_volume(self) -> bool:
        """Whether the group holds volumes rather than a vector, which the other store has."""
        return not open_store(self.connectivity).has(self.modalities[0])

    def _measures(self, key: Key) -> Mapping[str, float]:
        about = open_store(self.connectivity).about(self.modalities[0], key)
        return (about or {}).get("measures", {})

    def fitted(self, training: Sequence[Key]) -> GroupScans:
        """Fit what reading rests on, on records of training people who have the group.

        That is the mean that fills gaps, and the reference of tangent space; nothing in volumes.
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
        """Read scans of people who are all in the store; of at least one.

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
        some = (keys[k : k + VOLUMES] for k in range(0, len(keys), VOLUMES))
        return np.concatenate([self._pooled(each) for each in some])

    def _pooled(self, keys: Sequence[Key]) -> NDArray[np.float32]:
        store = open_store(self.volumes)
        _, shape = store.kind(self.modalities[0], keys[0])
        volumes = np.empty((len(keys), len(self.modalities), *shape), dtype=np.float32)
        for channel, modality in enumerate(self.modalities):
            store.read_many(modality, keys, volumes[:, channel])
        if self.pooling == 1:
            return volumes
        pooled = torch.nn.functional.avg_pool3d(
            torch.from_numpy(volumes), self.pooling, ceil_mode=True
        )
        return pooled.numpy()

    def batches(self, keys: Sequence[Key], size: int) -> Iterator[NDArray[np.float32]]:
        """Read about ``size`` people's scans at a time, equally many but for one, each as a row."""
        n = max(1, len(keys) // size)
        for rows in np.array_split(np.arange(len(keys)), n):
            yield self.read([keys[row] for row in rows]).reshape(len(rows), -1)


@dataclass(frozen=True)
class Scans:
    """Scans of a cohort, or of a fold that reads some of them from what it made.

    Attributes
    ----------
    groups : dict of str to GroupScans
        In the order of the grid.
    fingerprint : str
        Tells them from scans that were preprocessed otherwise.
    """

    groups: Mapping[str, GroupScans]
    fingerprint: str

    def read_as(self, pooling: int, settings: Modelling, *, tangent: bool = True) -> Scans:
        """Pool volumes, and read connectivity as settings say; not ``tangent``: as it is, if so.

        Every strategy reads through this.
        """
        tangent = tangent and settings.connectivity == "tangent"
        groups = {
            group: replace(some, pooling=pooling, tangent=tangent)
            for group, some in self.groups.items()
        }
        return replace(self, groups=groups)


def gather_scans(
    volumes: RecordStore, connectivity: RecordStore, quality: pd.DataFrame, grid: Grid
) -> Scans:
    """Name the scans of every imaging group, whole and as they are."""
    # Whole paths: a job of a batch system may start in another folder.
    stores = (volumes.path.resolve(), connectivity.path.resolve())
    groups = {name: GroupScans(tuple(of), *stores) for name, of in grid.imaging.items()}
    return Scans(groups, quality_fingerprint(quality))


def quality_fingerprint(quality: pd.DataFrame) -> str:
    """Tell one set of preprocessed scans from another, by what was measured of each."""
    rows = pd.util.hash_pandas_object(quality.astype(str), index=False).to_numpy()
    return fingerprint_of("quality", rows)
