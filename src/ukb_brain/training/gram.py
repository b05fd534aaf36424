"""Products of all pairs of people's scans: what every linear reader of an imaging group needs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.cluster import pick_device
from ukb_brain.ledger.artifact import Model
from ukb_brain.training.people import Mask, People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Kernels

READ_BATCH = 256


@dataclass(frozen=True)
class GramJob:
    """What a worker needs for the products of one imaging group."""

    group: str
    scans: GroupScans
    people: People
    settings: Kernels
    device: str


def learnt_from(people: People) -> Mask:
    """Training and validation people, from whose labels kernels may learn.

    Each is scored by fits that left them out.
    """
    return people.train | (people.part == "validation")


def landmarks_of(people: People, has: Mask, settings: Kernels) -> NDArray[np.int64]:
    """Choose the people whom kernels of an imaging group are with.

    Returns
    -------
    ndarray of shape (m,)
        Rows of `People`: all who are learnt from; or as many of them as memory allows and no more
        than exact kernels would have, by a draw that is the same for every group.
    """
    learnt = np.flatnonzero(has & learnt_from(people))
    if len(learnt) <= settings.exact_people:
        return learnt
    number = int(settings.memory_gb * 1e9 / (8 * has.sum()))
    number = min(max(2, number), settings.exact_people)
    drawn = [hashlib.sha256(f"landmark:{people.eid[row]}".encode()).digest() for row in learnt]
    return np.sort(learnt[sorted(range(len(learnt)), key=drawn.__getitem__)[:number]])


def gram_of_group(job: GramJob, folder: Path) -> Model:
    """Multiply the scans of everybody with those of the people whom kernels are with.

    Returns
    -------
    Model
        ``gram`` of shape (n_has, m): rows are the people who have the group, columns those of
        `landmarks_of`, whose rows in `People` are ``columns``; both in its order. ``norms`` of
        shape (n_has,): each with itself. Scans are less the mean of training people, and as they
        are otherwise.
    """
    people, has = job.people, job.people.has[job.group]
    rows, training = np.flatnonzero(has), np.flatnonzero(has & people.train)
    columns = landmarks_of(people, has, job.settings)
    if len(training) < 3:
        columns = columns[:0]
    gram = np.zeros((len(rows), len(columns)), dtype=np.float32)
    norms = np.zeros(len(rows), dtype=np.float32)
    arrays: dict[str, NDArray[np.generic]] = {"gram": gram, "norms": norms, "columns": columns}
    if len(training) < 3:
        return Model(arrays, {})
    scans = job.scans.fitted(people.keys(training))
    features = scans.read(people.keys(training[:1])).size
    tile = max(1, int(job.settings.memory_gb * 1e9 / (2 * 4 * features)))
    device, lefts = pick_device(job.device), _tiles(rows, tile)

    def stored(some: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.concatenate(list(scans.batches(people.keys(some), READ_BATCH)))

    # Where everybody fits into one tile, it is read once.
    whole = stored(rows) if len(lefts) == 1 else None

    def read(some: NDArray[np.int64]) -> NDArray[np.float32]:
        return stored(some) if whole is None else whole[np.searchsorted(rows, some)]

    batches = _tiles(training, READ_BATCH)
    total = np.asarray(sum(read(some).sum(axis=0, dtype=np.float64) for some in batches))
    mean = (total / len(training)).astype(np.float32)
    for left in lefts:
        X, at = torch.from_numpy(read(left) - mean).to(device), np.searchsorted(rows, left)
        norms[at] = (X * X).sum(1).cpu().numpy()
        for right in _tiles(columns, tile):
            Y = torch.from_numpy(read(right) - mean).to(device)
            gram[np.ix_(at, np.searchsorted(columns, right))] = (X @ Y.T).cpu().numpy()
    flops = 2.0 * len(rows) * len(columns) * features
    return Model(arrays, {"features": features, "flops": flops})


def _tiles(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return np.array_split(rows, max(1, -(-len(rows) // size))) if len(rows) else []
