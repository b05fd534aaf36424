"""People and scans of random numbers, on which work is timed: nothing of anybody is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ukb_brain.grid import Grid
from ukb_brain.imaging.store import Key, open_store
from ukb_brain.planning.case import Parts, Shape
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.trainer import MASK, Rows, Tensors

FIRST_EID, INSTANCE = 9_000_001, 2


def random_people(parts: Parts, grid: Grid, seed: int = 0) -> People:
    """Invent the people of a fold; they have everything, and are families of one.

    Parameters
    ----------
    parts : Parts
        How many of each part.
    grid : Grid
        Targets, domains, imaging groups.
    seed : int
        Of the numbers.

    Returns
    -------
    People
    """
    rng, n = np.random.default_rng(seed), parts.people
    names = ("train", "validation", "test")
    part = np.repeat(names, [parts.train, parts.validation, parts.test])
    return People(
        fold=0,
        eid=FIRST_EID + np.arange(n),
        instance=np.full(n, INSTANCE),
        family=np.arange(n),
        part=part,
        targets={
            key: rng.integers(0, 2, n).astype(float)
            if target.kind == "binary"
            else rng.normal(size=n)
            for key, target in grid.targets.items()
        },
        blocks={
            domain: rng.normal(size=(n, 2 * len(grid.targets_of(domain))))
            for domain in grid.domains
        },
        has={group: np.ones(n, dtype=bool) for group in grid.imaging},
    )


def write_scans(scans: GroupScans, shape: Shape, keys: Sequence[Key], seed: int = 0) -> None:
    """Write random scans of an imaging group.

    Parameters
    ----------
    scans : GroupScans
        The group, and its stores.
    shape : tuple of int
        Of one person's scans before pooling: modalities and voxels, or edges.
    keys : sequence of (int, int)
        eid and instance.
    seed : int
        Of the numbers. Like a brain, a half of each volume is empty.
    """
    rng = np.random.default_rng(seed)
    for key in keys:
        for modality in scans.modalities:
            if len(shape) > 1:
                volume = rng.normal(size=shape[1:]).astype(np.float16)
                volume[: shape[1] // 2] = 0
                open_store(scans.volumes).write(modality, key, volume, {})
            else:
                vector = rng.normal(size=shape).astype(np.float32)
                open_store(scans.connectivity).write(modality, key, vector, {})


def scans_in(folder: Path, grid: Grid, pooling: int) -> dict[str, GroupScans]:
    """Name the stores of a folder.

    Parameters
    ----------
    folder : Path
        That holds both stores.
    grid : Grid
        Imaging groups.
    pooling : int
        Of volumes.

    Returns
    -------
    dict of str to GroupScans
        By imaging group.
    """
    stores = (folder / "volumes.zarr", folder / "connectivity.zarr")
    return {
        group: GroupScans(tuple(modalities), *stores, pooling)
        for group, modalities in grid.imaging.items()
    }


class RandomData:
    """Random inputs of a few people, who stand for everybody.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        Of one person's inputs.
    people : int
        How many are held.
    """

    def __init__(self, shapes: Mapping[str, Shape], people: int) -> None:
        self.people = people
        self.held = {
            name: torch.randn(people, *shape).to(
                torch.float16 if len(shape) == 4 else torch.float32
            )
            for name, shape in shapes.items()
        }

    def read(self, rows: Rows, rng: np.random.Generator | None) -> Tensors:
        """Copy inputs, as they are copied from memory in a training.

        Parameters
        ----------
        rows : ndarray of shape (n,)
            People.
        rng : numpy.random.Generator, optional
            Not used: nothing is hidden.

        Returns
        -------
        dict of str to torch.Tensor
        """
        inputs = {name: tensor[rows % self.people] for name, tensor in self.held.items()}
        return inputs | {MASK: torch.ones(len(rows), len(self.held))}
