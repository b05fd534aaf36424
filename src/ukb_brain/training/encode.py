"""Train the joint network on all targets at once, and predict people it has not seen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ukb_brain import grid
from ukb_brain.cluster import pick_device
from ukb_brain.networks.encoders import JointNetwork, VectorEncoder, VolumeEncoder
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Encoders

HIDDEN = 128
LARGEST_GRADIENT = 1.0
# A network whose loss is no longer finite starts again with a lower rate, so often.
ATTEMPTS = 2
LOWER_RATE = 0.3
# Scans are held in half precision; one absurd connectivity must not become infinite in it.
LARGEST_HALF = torch.finfo(torch.float16).max


def subsets(groups: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """List all non-empty sets of imaging groups.

    Parameters
    ----------
    groups : tuple of str
        In the order of the grid.

    Returns
    -------
    tuple of tuple of str
        Small sets first.
    """
    return tuple(grid.subsets(groups)[1:])


@dataclass(frozen=True)
class EncoderJob:
    """What a worker needs to train one network.

    Attributes
    ----------
    part : int
        Part of training families that is left out.
    parts : ndarray of shape (n,)
        Part of each training person; -1 for everybody else.
    people : People
        Of the fold.
    scans : dict of str to GroupScans
        By imaging group.
    binary : dict of str to bool
        Whether each target is binary; its keys are the outputs.
    settings : Encoders
        Network and training.
    seed : int
        Of this network.
    device : str
        Where it is trained.
    """

    part: int
    parts: NDArray[np.int64]
    people: People
    scans: Mapping[str, GroupScans]
    binary: Mapping[str, bool]
    settings: Encoders
    seed: int
    device: str

    @property
    def groups(self) -> tuple[str, ...]:
        """Imaging groups of the network: those that anybody it is trained on has."""
        return tuple(g for g in self.scans if (self.people.has[g] & self.fitted).any())

    @property
    def fitted(self) -> Mask:
        """People that the network is trained on."""
        return (self.parts >= 0) & (self.parts != self.part)


@dataclass(frozen=True)
class Encoded:
    """A trained network's predictions of people it has not seen.

    Attributes
    ----------
    part : int
        Part that was left out of its training.
    outputs : ndarray of shape (subsets, n, targets)
        By set of imaging groups, in the order of `subsets`; NaN for people it was trained on, for
        people who lack a group, and everywhere if training diverged.
    weights : dict of str to ndarray
        Of the network.
    losses : list of float
        Mean loss of each epoch.
    seconds : float
        Of reading, training and predicting.
    """

    part: int
    outputs: NDArray[np.float32]
    weights: dict[str, NDArray[np.generic]]
    losses: list[float]
    seconds: float


class _Reader:
    """Scans by row, kept in memory if they take no more than the settings allow."""

    def __init__(self, job: EncoderJob) -> None:
        self.job = job
        n = len(job.people.eid)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for group in job.groups:
            self.shapes[group] = self._one(group, int(np.argmax(job.people.has[group]))).shape
        sizes = [n * int(np.prod(shape)) * 2 for shape in self.shapes.values()]
        self.kept: dict[str, torch.Tensor] = {}
        if sum(sizes) <= job.settings.cache_gb * 1e9:
            self.kept = {g: self._read(g, np.arange(n)).half() for g in job.groups}

    def _one(self, group: str, row: int) -> NDArray[np.float32]:
        key = (int(self.job.people.eid[row]), int(self.job.people.instance[row]))
        return self.job.scans[group].read([key])[0]

    def _read(self, group: str, rows: NDArray[np.int64]) -> torch.Tensor:
        held = torch.zeros(len(rows), *self.shapes[group], dtype=torch.float16)
        for k, row in enumerate(rows):
            if self.job.people.has[group][row]:
                scan = torch.from_numpy(self._one(group, int(row)))
                held[k] = scan.clamp(-LARGEST_HALF, LARGEST_HALF)
        return held

    def read(self, rows: NDArray[np.int64], device: torch.device) -> dict[str, torch.Tensor]:
        """Read some people's scans; zeros for a group that a person lacks."""
        if self.kept:
            return {g: held[rows].to(device).float() for g, held in self.kept.items()}
        return {g: self._read(g, rows).to(device).float() for g in self.job.groups}


class _Tasks:
    """All targets as one masked loss, each standardised and its classes weighted equally."""

    def __init__(self, job: EncoderJob, device: torch.device) -> None:
        raw = np.stack([job.people.targets[t] for t in job.binary], axis=1)
        binary = np.array(list(job.binary.values()))
        fitted = np.where(job.fitted[:, None], raw, np.nan)
        known = np.isfinite(fitted).sum(0) > 1
        mean = np.array([np.nanmean(c) if k else 0.0 for c, k in zip(fitted.T, known, strict=True)])
        sd = np.array([np.nanstd(c) if k else 0.0 for c, k in zip(fitted.T, known, strict=True)])
        usable = known & (sd > 0)
        scaled = np.where(binary, raw, (raw - mean) / np.where(sd > 0, sd, 1))
        share = np.clip(mean, 1e-6, 1 - 1e-6)
        by_class = np.where(raw > 0, 0.5 / share, 0.5 / (1 - share))
        weights = np.where(binary, by_class, 1.0) * (np.isfinite(raw) & usable)
        self.y = torch.from_numpy(np.nan_to_num(scaled)).float().to(device)
        self.weights = torch.from_numpy(weights).float().to(device)
        self.binary = torch.from_numpy(binary).to(device)

    def loss(
        self, predicted: torch.Tensor, rows: torch.Tensor, any_scan: torch.Tensor
    ) -> torch.Tensor:
        y, weights = self.y[rows], self.weights[rows] * any_scan[:, None]
        # Twice the cross-entropy is about the squared error's size at chance.
        crossed = 2 * binary_cross_entropy_with_logits(
            predicted, torch.where(self.binary, y, 0.5), reduction="none"
        )
        each = torch.where(self.binary, crossed, (predicted - y) ** 2)
        return (each * weights).sum() / weights.sum().clamp(min=1)


def build_network(job: EncoderJob, shapes: Mapping[str, tuple[int, ...]]) -> JointNetwork:
    """Build the network.

    Parameters
    ----------
    job : EncoderJob
        Groups, targets and settings.
    shapes : dict of str to tuple of int
        Of one person's scans, by imaging group.

    Returns
    -------
    JointNetwork
        With random weights.
    """
    s = job.settings
    encoders: dict[str, nn.Module] = {}
    for group in job.groups:
        if job.scans[group].is_volume:
            channels, x, y, z = shapes[group]
            encoders[group] = VolumeEncoder(
                channels, (x, y, z), s.stem, s.width, s.embedding, s.dropout
            )
        else:
            encoders[group] = VectorEncoder(shapes[group][0], s.embedding, HIDDEN, s.dropout)
    return JointNetwork(encoders, s.embedding, len(job.binary), s.dropout)


def train_encoders(job: EncoderJob) -> Encoded:
    """Train one network without one part, and predict everybody who was not in its training.

    Parameters
    ----------
    job : EncoderJob
        People, scans, targets, settings.

    Returns
    -------
    Encoded
        Outputs are NaN throughout if the loss stayed non-finite.
    """
    started = time.perf_counter()
    device = pick_device(job.device)
    fitted = np.flatnonzero(job.fitted & np.any([job.people.has[g] for g in job.scans], axis=0))
    unseen = np.flatnonzero(~job.fitted)
    sets = subsets(tuple(job.scans))
    outputs = np.full((len(sets), len(job.people.eid), len(job.binary)), np.nan, dtype=np.float32)
    if len(fitted) < 2:
        return Encoded(job.part, outputs, {}, [], time.perf_counter() - started)
    reader = _Reader(job)
    tasks = _Tasks(job, device)
    network: JointNetwork | None = None
    losses: list[float] = []
    for attempt in range(ATTEMPTS):
        torch.manual_seed(job.seed)
        candidate = build_network(job, reader.shapes).to(device)
        rate = job.settings.learning_rate * LOWER_RATE**attempt
        losses = list(_epochs(candidate, job, reader, tasks, fitted, device, rate))
        if len(losses) == job.settings.epochs and np.isfinite(losses[-1]):
            network = candidate
            break
    if network is not None:
        _predict(network, job, reader, unseen, device, outputs)
    state = network.state_dict() if network is not None else {}
    weights = {name: value.cpu().numpy().copy() for name, value in state.items()}
    return Encoded(job.part, outputs, weights, losses, time.perf_counter() - started)


def _epochs(
    network: JointNetwork,
    job: EncoderJob,
    reader: _Reader,
    tasks: _Tasks,
    fitted: NDArray[np.int64],
    device: torch.device,
    rate: float,
) -> Iterator[float]:
    """Mean loss of each epoch; ends early where it is not finite."""
    s = job.settings
    rng = np.random.default_rng([job.seed, job.part])
    size = min(s.batch_size, len(fitted))
    steps = len(fitted) // size
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=s.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=max(2, s.epochs * steps), pct_start=s.warm_up
    )
    present = np.stack([job.people.has[g] for g in job.groups], axis=1)
    choices = np.array([[g in some for g in job.groups] for some in subsets(job.groups)])
    for _ in range(s.epochs):
        network.train()
        order = rng.permutation(fitted)
        total = 0.0
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            used = present[rows] & choices[rng.integers(0, len(choices), len(rows))]
            mask = torch.from_numpy(used).float().to(device)
            predicted = network.predict(network.embed(reader.read(rows, device)), mask)
            loss = tasks.loss(predicted, torch.from_numpy(rows).to(device), mask.amax(1))
            if not torch.isfinite(loss):
                return
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        yield total / steps


@torch.no_grad()
def _predict(
    network: JointNetwork,
    job: EncoderJob,
    reader: _Reader,
    rows: NDArray[np.int64],
    device: torch.device,
    outputs: NDArray[np.float32],
) -> None:
    network.eval()
    sets = subsets(tuple(job.scans))
    for start in range(0, len(rows), job.settings.batch_size):
        some = rows[start : start + job.settings.batch_size]
        embeddings = network.embed(reader.read(some, device))
        for k, chosen in enumerate(sets):
            if not set(chosen) <= set(job.groups):
                continue
            used = torch.tensor([g in chosen for g in job.groups], device=device).float()
            predicted = network.predict(embeddings, used.expand(len(some), -1)).cpu().numpy()
            has = job.people.having(chosen)[some]
            outputs[k, some[has]] = predicted[has]


def combine(encoded: list[Encoded], people: People, parts: NDArray[np.int64]) -> Floats:
    """Line up the predictions of all networks.

    Parameters
    ----------
    encoded : list of Encoded
        One a part.
    people : People
        Of the fold.
    parts : ndarray of shape (n,)
        Part of each training person.

    Returns
    -------
    ndarray of shape (subsets, n, targets)
        Of training people by the network that left them out, of everybody else the mean of all
        networks.
    """
    in_order = sorted(encoded, key=lambda e: e.part)
    outputs = np.stack([e.outputs for e in in_order]).astype(np.float64).mean(axis=0)
    for each in in_order:
        mine = parts == each.part
        outputs[:, mine] = each.outputs[:, mine]
    return outputs
