"""Volumes on their way from the store to a network.

They travel as the store has them, in 8 bits with scale and offset, through pinned memory where
there is a CUDA card, and become numbers on the device.

Shapes: N people, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ukb_brain.imaging.store import open_store

# Networks are fed numbers in half precision; one absurd value must not become infinite in it.
LARGEST_HALF = torch.finfo(torch.float16).max


def in_half(values: Tensor) -> Tensor:
    """Round to half precision."""
    return values.clamp(-LARGEST_HALF, LARGEST_HALF).half()


def pooled(volumes: Tensor, edge: int) -> Tensor:
    """Average volumes over cubes of so many voxels; those at the upper ends are cut."""
    if edge == 1:
        return volumes
    return torch.nn.functional.avg_pool3d(volumes, edge, ceil_mode=True)


@dataclass(frozen=True)
class CodedVolumes:
    """Volumes of some people as the store has them.

    Attributes
    ----------
    numbers : Tensor of shape (N, C, X, Y, Z)
        uint8 or float16.
    codes : Tensor of shape (N, C, 2)
        Scale and offset; both 0 for people who have none.
    pooling : int
        Volumes are to be averaged over cubes of so many voxels.
    """

    numbers: Tensor
    codes: Tensor
    pooling: int

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, start: int, stop: int) -> CodedVolumes:
        """Take some of the people, without copying: pinned memory stays pinned."""
        return replace(self, numbers=self.numbers[start:stop], codes=self.codes[start:stop])

    def pin_memory(self) -> CodedVolumes:
        """Pin both, as torch's loader asks for."""
        return replace(self, numbers=self.numbers.pin_memory(), codes=self.codes.pin_memory())

    def values(self, device: torch.device) -> Tensor:
        """Decode and pool on the device: (N, C, x, y, z) in half precision."""
        numbers = self.numbers.to(device, non_blocking=True).float()
        codes = self.codes.to(device, non_blocking=True)[..., None, None, None]
        values = numbers.mul_(codes[:, :, 0]).add_(codes[:, :, 1])
        return in_half(pooled(values, self.pooling))


class StoredVolumes(Dataset[CodedVolumes]):
    """Volumes of one imaging group in a store: random access, a batch in one copy.

    A batch is asked for by its rows. torch's loader gives them so with
    ``DataLoader(volumes, sampler=BatchSampler(…), batch_size=None)``; processes that it starts by
    spawn map the store's files again, and share the system's memory of them.

    Parameters
    ----------
    store : Path
    modalities : tuple of str
        The channels.
    keys : ndarray of shape (n, 2)
        eid and instance, by row.
    has : ndarray of shape (n,)
        Who has all modalities; the others' volumes are zero. At least one has.
    pooling : int
        Volumes are to be averaged over cubes of so many voxels.
    pinned : bool
        Whether batches lie in pinned memory.
    """

    def __init__(
        self,
        store: Path,
        modalities: tuple[str, ...],
        keys: NDArray[np.int64],
        has: NDArray[np.bool_],
        pooling: int = 1,
        pinned: bool = False,
    ) -> None:
        self.store, self.modalities, self.keys, self.has = store, modalities, keys, has
        self.pooling, self.pinned = pooling, pinned
        eid, instance = keys[np.argmax(has)].tolist()
        self.kind, shape = open_store(store).kind(modalities[0], (eid, instance))
        self.dtype = torch.from_numpy(np.empty(0, self.kind)).dtype
        self.shape = (len(modalities), *shape)

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        """Channels and voxels of one person's volumes when they are pooled."""
        return self.shape[0], *(-(-size // self.pooling) for size in self.shape[1:])

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: Sequence[int] | NDArray[np.int64]) -> CodedVolumes:
        rows, store = np.asarray(rows), open_store(self.store)
        there = np.flatnonzero(self.has[rows])
        size = (len(rows), *self.shape)
        if self.pinned:
            numbers = torch.empty(size, dtype=self.dtype, pin_memory=True)
        else:
            # NumPy asks for large pages, without which a batch takes several times as long.
            numbers = torch.from_numpy(np.empty(size, self.kind))
        codes = torch.zeros(*size[:2], 2, pin_memory=self.pinned)
        if len(there) < len(rows):
            numbers[~torch.from_numpy(self.has[rows])] = 0
        if len(there):
            keys = list(map(tuple, self.keys[rows[there]].tolist()))
            for channel, modality in enumerate(self.modalities):
                out = numbers.numpy()[:, channel]
                own = store.read_coded(modality, keys, out, there)
                codes[there, channel] = torch.from_numpy(own)
        return CodedVolumes(numbers, codes, self.pooling)
