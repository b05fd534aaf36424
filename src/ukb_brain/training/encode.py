"""Train the joint network on all targets at once, and predict people it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ukb_brain.cluster import pick_device
from ukb_brain.cluster.progress import told_by_epoch, told_of_failure
from ukb_brain.ledger.artifact import Model
from ukb_brain.networks.cost import network_cost
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.networks.registry import build_encoder, load_extensions
from ukb_brain.training.inputs import TRAITS, Inputs, subsets
from ukb_brain.training.loop import Trained, train
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Encoders, Network
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import Rows, Trainer, precision_of


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


def build_encoders(
    settings: Network, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, nn.Module]:
    """Build the encoder of each input.

    Parameters
    ----------
    settings : Network
        Names them.
    shapes : dict of str to tuple of int
        Of one person's inputs: volumes, connectivity vectors, and ``traits``; volumes first.

    Returns
    -------
    dict of str to Module
        With random weights.
    """
    load_extensions(settings.extensions)
    volumes = [name for name, shape in shapes.items() if len(shape) == 4]
    if settings.together and len(volumes) > 1:
        channels = sum(shapes[name][0] for name in volumes)
        joined = {"+".join(volumes): (channels, *shapes[volumes[0]][1:])}
        shapes = joined | {n: shape for n, shape in shapes.items() if n not in volumes}
    encoders = {}
    for name, shape in shapes.items():
        kind = "volume" if len(shape) == 4 else "table" if name == TRAITS else "vector"
        named = {"volume": settings.volume, "vector": settings.vector, "table": settings.table}
        encoders[name] = build_encoder(
            kind,
            named[kind],
            shape,
            settings.embedding,
            settings.dropout,
            settings.options.get(kind, {}),
        )
    return encoders


def build_network(job: EncoderJob, shapes: Mapping[str, tuple[int, ...]]) -> FusedNetwork:
    """Build the network.

    Parameters
    ----------
    job : EncoderJob
        Targets and settings.
    shapes : dict of str to tuple of int
        Of one person's scans, by imaging group.

    Returns
    -------
    FusedNetwork
        With random weights.
    """
    s = job.settings.network
    encoders = build_encoders(s, shapes)
    return FusedNetwork(encoders, len(job.binary), "light", s.embedding, s.dropout)


def train_encoders(job: EncoderJob, folder: Path) -> Model:
    """Train one network without one part, and predict everybody who was not in its training.

    Parameters
    ----------
    job : EncoderJob
        People, scans, targets, settings.
    folder : Path
        Of its state; a training that was killed goes on from there.

    Returns
    -------
    Model
        ``outputs`` of shape (subsets, n, targets), in the order of `subsets`: NaN for people it was
        trained on and for people who lack a group, and throughout if training failed, whose reason
        is then in the card. Its weights by name.
    """
    device = pick_device(job.device)
    anything = np.any([job.people.has[g] for g in job.scans], axis=0)
    fitted = np.flatnonzero(job.fitted & anything)
    validated = np.flatnonzero((job.people.part == "validation") & anything)
    sets = subsets(tuple(job.scans))
    outputs = np.full((len(sets), len(job.people.eid), len(job.binary)), np.nan, dtype=np.float32)
    arrays: dict[str, NDArray[np.generic]] = {"outputs": outputs}
    if len(fitted) < 2:
        return Model(arrays, {"diverged": "fewer than two people to train on", "curves": {}})
    scans = {g: job.scans[g] for g in job.groups}
    data = Inputs(job.people, scans, (), anything, job.settings.cache_gb, masked=True)
    torch.manual_seed(job.seed)
    network = build_network(job, data.shapes)
    tasks = Tasks(job.people.targets, job.binary, job.fitted, job.settings.loop)
    cost = cost_card(network, data.shapes)
    trainer = Trainer(network, data, tasks, job.settings.loop, device, job.seed)
    what = f"Encoders of fold {job.people.fold} without part {job.part}"
    tell = told_by_epoch(what, job.settings.loop.epochs_for(len(fitted)))
    trained = train(trainer, fitted, validated, folder, tell)
    if not trained.reason:
        network.load_state_dict(trained.state)
        predict_unseen(trainer, network, job, np.flatnonzero(~job.fitted & anything), outputs)
        arrays |= {f"weights/{k}": v.cpu().numpy().copy() for k, v in trained.state.items()}
    else:
        told_of_failure(what, trained.reason)
    return Model(arrays, training_card(trained, trainer, cost, len(fitted)))


def cost_card(network: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Count what a network costs, for its card.

    Parameters
    ----------
    network : Module
        On the CPU.
    shapes : dict of str to tuple of int
        Of one person's inputs.

    Returns
    -------
    dict
        ``parameters``, ``flops_per_sample`` of a training step, ``memory_per_sample`` in bytes.
    """
    cost = network_cost(network, shapes)
    return {
        "parameters": cost.parameters,
        "flops_per_sample": cost.training_flops,
        "memory_per_sample": cost.activation_bytes,
    }


def training_card(
    trained: Trained, trainer: Trainer, cost: dict[str, Any], n: int
) -> dict[str, Any]:
    """Say in a model's card how training went.

    Parameters
    ----------
    trained : Trained
        From the loop.
    trainer : Trainer
        Which ran it.
    cost : dict
        From `cost_card`.
    n : int
        People that the network was trained on.

    Returns
    -------
    dict
    """
    epochs = len(trained.curves.get("train", []))
    return {
        "diverged": trained.reason,
        "curves": trained.curves,
        "best_epoch": trained.best_epoch,
        "wait_share": trained.wait_share,
        "precision": str(precision_of(trainer.settings, trainer.device)).removeprefix("torch."),
        "flops": float(cost["flops_per_sample"]) * n * epochs,
        "n_fitted": n,
        **cost,
    }


@torch.no_grad()
def predict_unseen(
    trainer: Trainer,
    network: FusedNetwork,
    job: EncoderJob,
    rows: Rows,
    outputs: NDArray[np.float32],
) -> None:
    """Predict all targets of some people from every set of imaging groups that they have.

    Parameters
    ----------
    trainer : Trainer
        Of the network.
    network : FusedNetwork
        With the weights that were kept.
    job : EncoderJob
        What it was trained for.
    rows : ndarray of shape (m,)
        People it was not trained on.
    outputs : ndarray of shape (subsets, n, targets)
        Changed in place, in their rows.
    """
    network.eval()
    for start in range(0, len(rows), job.settings.loop.batch_size):
        some = rows[start : start + job.settings.loop.batch_size]
        inputs = trainer.data.read(some, None)
        embeddings = network.embed(trainer.moved(inputs))
        for k, chosen in enumerate(subsets(tuple(job.scans))):
            if not set(chosen) <= set(job.groups):
                continue
            used = torch.tensor([g in chosen for g in job.groups], device=trainer.device).float()
            predicted = network.predict(embeddings, used.expand(len(some), -1)).float().cpu()
            has = job.people.having(chosen)[some]
            outputs[k, some[has]] = predicted.numpy()[has]


def combine(outputs: Mapping[int, NDArray[np.float32]], parts: NDArray[np.int64]) -> Floats:
    """Line up the predictions of all networks of a seed.

    Parameters
    ----------
    outputs : dict of int to ndarray of shape (subsets, n, targets)
        By the part that was left out.
    parts : ndarray of shape (n,)
        Part of each training person.

    Returns
    -------
    ndarray of shape (subsets, n, targets)
        Of training people by the network that left them out, of everybody else the mean of all
        networks.
    """
    first, *others = sorted(outputs)
    combined = outputs[first].astype(np.float64)
    for part in others:
        combined += outputs[part]
    combined /= len(outputs)
    for part, own in outputs.items():
        mine = parts == part
        combined[:, mine] = own[:, mine]
    return combined
