"""Products of all pairs of people's scans: what every linear reader of an imaging group needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.cluster import pick_device
from ukb_brain.networks.artifact import Model
from ukb_brain.training.people import Mask, People
from ukb_brain.training.scans import GroupScans

READ_BATCH = 256


@dataclass(frozen=True)
class GramJob:
    """What a worker needs for the products of one imaging group.

    Attributes
    ----------
    group : str
        Its name.
    scans : GroupScans
        Of the group.
    people : People
        Of the fold.
    memory_gb : float
        Scans are read in tiles of people that take no more than this.
    device : str
        Where products are made.
    """

    group: str
    scans: GroupScans
    people: People
    memory_gb: float
    device: str


def learnt_from(people: People) -> Mask:
    """People whose labels kernels may learn from: all but those tested.

    Parameters
    ----------
    people : People
        Of the fold.

    Returns
    -------
    ndarray of shape (n,)
        Training and validation people. Each is scored by fits that left them out.
    """
    return people.train | (people.part == "validation")


def gram_of_group(job: GramJob, folder: Path) -> Model:
    """Multiply the scans of everybody with those of the people that kernels learn from.

    Parameters
    ----------
    job : GramJob
        Group and people.
    folder : Path
        Not used: there is no state to keep.

    Returns
    -------
    Model
        ``gram`` of shape (n_has, n_learnt): rows are the people who have the group, columns those
        of them whom kernels learn from, both in the order of `People`. ``norms`` of shape (n_has,):
        each with itself. Scans are less the mean of training people, and as they are otherwise.
    """
    has = job.people.has[job.group]
    training = job.people.keys(has & job.people.train)
    rows, columns = np.flatnonzero(has), np.flatnonzero(has & learnt_from(job.people))
    if len(training) < 3:
        nothing = np.zeros((len(rows), 0), dtype=np.float32)
        return Model({"gram": nothing, "norms": np.zeros(len(rows), dtype=np.float32)}, {})
    scans = job.scans.fitted(training)
    total, read = 0.0, 0
    for batch in scans.batches(training, READ_BATCH):
        total, read = total + batch.sum(axis=0, dtype=np.float64), read + len(batch)
    mean = (np.asarray(total) / read).astype(np.float32)
    tile = max(1, int(job.memory_gb * 1e9 / (2 * 4 * len(mean))))
    device = pick_device(job.device)
    gram = np.empty((len(rows), len(columns)), dtype=np.float32)
    norms = np.empty(len(rows), dtype=np.float32)
    for left in _tiles(rows, tile):
        X = _centred(scans, job.people, left, mean, device)
        at = np.searchsorted(rows, left)
        norms[at] = (X * X).sum(1).cpu().numpy()
        for right in _tiles(columns, tile):
            # Where everybody fits into one tile, those learnt from are among them.
            inside = np.isin(right, left).all()
            Y = X[np.searchsorted(left, right)] if inside else None
            Y = _centred(scans, job.people, right, mean, device) if Y is None else Y
            gram[np.ix_(at, np.searchsorted(columns, right))] = (X @ Y.T).cpu().numpy()
    flops = 2.0 * len(rows) * len(columns) * len(mean)
    return Model({"gram": gram, "norms": norms}, {"features": len(mean), "flops": flops})


def _tiles(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return np.array_split(rows, max(1, -(-len(rows) // size))) if len(rows) else []


def _centred(
    scans: GroupScans,
    people: People,
    rows: NDArray[np.int64],
    mean: NDArray[np.float32],
    device: torch.device,
) -> torch.Tensor:
    wanted = np.zeros(len(people.eid), dtype=bool)
    wanted[rows] = True
    out = torch.empty(len(rows), len(mean), device=device)
    start = 0
    for batch in scans.batches(people.keys(wanted), READ_BATCH):
        out[start : start + len(batch)] = torch.from_numpy(batch - mean).to(device)
        start += len(batch)
    return out
