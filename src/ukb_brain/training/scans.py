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
from ukb_brain.imaging.modalities import ImagingPreprocess, Kind
from ukb_brain.imaging.readers import NUMBERS_OF
from ukb_brain.imaging.shelf import ids_of
from ukb_brain.imaging.store import Key, RecordStore, open_store
from ukb_brain.ledger import fingerprint_of
from ukb_brain.ledger.artifact import ARRAYS
from ukb_brain.training.feed import pooled
from ukb_brain.training.harmonised import Combat
from ukb_brain.training.normal_scores import NormalScores
from ukb_brain.training.people import People
from ukb_brain.training.settings import Modelling
from ukb_brain.training.steps import Covariances, Fill, Maker, Step, Zeros

# What makes each kind of connectivity, and what fills its gaps after sites were made alike.
MAKERS: dict[Kind, tuple[Maker | None, Maker | None]] = {
    "tangent": (Covariances(), None),
    "correlation": (None, Fill()),
    "partial": (Covariances(partial=True), None),
}
# People whose volumes are pooled at a time.
VOLUMES = 16


@dataclass(frozen=True)
class KeptVectors:
    """Vectors that were made before.

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
        """Read vectors of shape (n, numbers) of people who are all among the records."""
        places = np.searchsorted(ids_of(self.records), ids_of(keys))
        if not np.array_equal(self.records[places.clip(max=len(self.records) - 1)], np.array(keys)):
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
        Channels of a volume, or the one vector.
    volumes, vectors : Path
        The stores.
    pooling : int
        Volumes are averaged over cubes of so many voxels.
    numbers : bool
        Whether the vector is numbers of the main table, each in a unit of its own.
    kind : {"tangent", "correlation", "partial"}, optional
        What connectivity of time series is read as, whatever is said of all.
    makers : tuple of Maker
        What is to be done to vectors, in this order.
    steps : tuple of Step
        What of that was fitted; a maker that has nothing to do is not among them.
    kept : KeptVectors, optional
        Vectors to which all that was done already.
    """

    modalities: tuple[str, ...]
    volumes: Path
    vectors: Path
    pooling: int = 1
    makers: tuple[Maker, ...] = (Fill(),)
    numbers: bool = field(default=False, kw_only=True)
    kind: Kind | None = field(default=None, kw_only=True)
    steps: Mapping[str, Step] = field(default_factory=dict, compare=False, kw_only=True)
    kept: KeptVectors | None = field(default=None, compare=False, kw_only=True)

    @property
    def seen(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What models depend on, beside pooling; what has another one is fitted anew."""
        return self.modalities, tuple(map(repr, self.makers))

    @property
    def is_volume(self) -> bool:
        """Whether the group holds volumes rather than a vector, which the other store has."""
        return not open_store(self.vectors).has(self.modalities[0])

    def fitted(self, training: Sequence[Key]) -> GroupScans:
        """Fit all steps on records of training people who have the group; nothing in volumes."""
        if self.is_volume or not training or self.kept is not None:
            return self
        found = replace(self, steps={})
        for maker in self.makers:
            step = maker.fit(found, training)
            if step is not None:
                found = replace(found, steps={**found.steps, maker.name: step})
        return found if found.steps else self

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give what was fitted, to be kept in a model."""
        return {
            f"{name}.{key}": array
            for name, step in self.steps.items()
            for key, array in step.arrays().items()
        }

    def restored(self, arrays: Mapping[str, NDArray[np.generic]]) -> GroupScans:
        """Take what was fitted before."""
        found = replace(self, steps={})
        for maker in self.makers:
            prefix = f"{maker.name}."
            own = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
            step = maker.restore(found, own)
            if step is not None:
                found = replace(found, steps={**found.steps, maker.name: step})
        return found

    def read(self, keys: Sequence[Key]) -> NDArray[np.float32]:
        """Read scans of people who are all in the store; of at least one.

        Returns
        -------
        ndarray of shape (n, channels, x, y, z) or (n, numbers)
            Pooled volumes, or vectors as the steps leave them.
        """
        if self.kept is not None:
            return self.kept.read(keys)
        if self.is_volume:
            some = (keys[k : k + VOLUMES] for k in range(0, len(keys), VOLUMES))
            return np.concatenate([self._pooled(each) for each in some])
        values = open_store(self.vectors).read_many(self.modalities[0], keys).astype(np.float32)
        for step in self.steps.values():
            values = step.apply(values, keys)
        return values

    def _pooled(self, keys: Sequence[Key]) -> NDArray[np.float32]:
        store = open_store(self.volumes)
        _, shape = store.kind(self.modalities[0], keys[0])
        volumes = np.empty((len(keys), len(self.modalities), *shape), dtype=np.float32)
        for channel, modality in enumerate(self.modalities):
            store.read_many(modality, keys, volumes[:, channel])
        return pooled(torch.from_numpy(volumes), self.pooling).numpy()

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

    def read_as(
        self, pooling: int, settings: Modelling, people: People, *, tangent: bool = True
    ) -> Scans:
        """Pool volumes, and read vectors as settings say, for the people of one fold.

        Not ``tangent``: connectivity as it is, if so. Every strategy reads through this.
        """
        groups = {}
        for group, some in self.groups.items():
            kind = some.kind or settings.connectivity
            if kind == "tangent" and not tangent:
                kind = "correlation"
            first, last = (NormalScores(), Zeros()) if some.numbers else MAKERS[kind]
            # Before gaps are filled: what fills them would tell the site, moved with it.
            alike = settings.harmonise.by != "none"
            combat = Combat.of(people, group, settings.harmonise) if alike else None
            makers = tuple(maker for maker in (first, combat, last) if maker is not None)
            groups[group] = replace(some, pooling=pooling, makers=makers)
        return replace(self, groups=groups)


def gather_scans(
    volumes: RecordStore,
    vectors: RecordStore,
    quality: pd.DataFrame,
    grid: Grid,
    imaging: ImagingPreprocess | None = None,
) -> Scans:
    """Name the scans of every imaging group, whole and as they are.

    Modalities may say what kind of connectivity they are; without ``imaging`` none does.
    """
    kinds = {key: record.kind for key, record in imaging.modalities.items()} if imaging else {}
    # Whole paths: a job of a batch system may start in another folder.
    stores = (volumes.path.resolve(), vectors.path.resolve())
    measured = quality.dropna(subset=[NUMBERS_OF]) if NUMBERS_OF in quality else quality[:0]
    groups = {
        name: GroupScans(
            tuple(of),
            *stores,
            numbers={*of} <= {*measured["modality"]},
            kind=kinds.get(next(iter(of))),
        )
        for name, of in grid.imaging.items()
    }
    return Scans(groups, quality_fingerprint(quality))


def quality_fingerprint(quality: pd.DataFrame) -> str:
    """Tell one set of preprocessed scans from another, by what was measured of each."""
    rows = pd.util.hash_pandas_object(quality.astype(str), index=False).to_numpy()
    return fingerprint_of("quality", rows)
