"""Fit any network: shared encoders, those of single cells, those that a search tries."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ukb_brain.cluster import pick_device
from ukb_brain.cluster.progress import told_by_epoch, told_of_failure
from ukb_brain.networks.cost import network_cost
from ukb_brain.networks.fusion import TOGETHER, FusedNetwork
from ukb_brain.networks.registry import build_encoder, load_extensions
from ukb_brain.training.inputs import TRAITS, NetworkData
from ukb_brain.training.loop import Report, Trained, train
from ukb_brain.training.people import Mask, People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Network, Networks
from ukb_brain.training.soft_bins import outputs_for
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import Rows, Trainer, precision_of
from ukb_brain.training.weights import agreeing, check_finite, read_header, start_encoders

Shapes = Mapping[str, tuple[int, ...]]
# Stands for a vector whose length is not known.
UNKNOWN = (2,)


@dataclass(frozen=True)
class NetworkJob(ABC):
    """What a worker needs to train one network.

    Attributes
    ----------
    scans : dict of str to GroupScans
        By imaging group, in the order of the grid; those of no other reach the network.
    binary : dict of str to bool
        Whether each target is binary.
    """

    people: People
    scans: Mapping[str, GroupScans]
    binary: Mapping[str, bool]
    settings: Networks
    seed: int
    device: str

    @property
    @abstractmethod
    def fitted(self) -> Mask:
        """People that the network is trained on, as far as they are `usable`."""

    @property
    @abstractmethod
    def usable(self) -> Mask:
        """People of whom the network may see something."""

    @property
    @abstractmethod
    def data(self) -> NetworkData:
        """What the network is fed."""

    @property
    def head(self) -> str:
        """Name of its head."""
        return "light"

    def pretrained(
        self, network: FusedNetwork, data: NetworkData, folder: Path, what: str
    ) -> dict[str, Any]:
        """Train encoders before any target is shown, in place, and give what the card is to say."""
        return {}

    def network(self, shapes: Shapes) -> FusedNetwork:
        """Build the network, with random weights, from the shapes of one person's inputs."""
        s = self.settings.network
        encoders = build_encoders(s, shapes)
        outputs = outputs_for(self.binary.values(), self.settings.loop.bins)
        return FusedNetwork(encoders, outputs, self.head, s.embedding, s.dropout)


def build_encoders(settings: Network, shapes: Shapes) -> dict[str, nn.Module]:
    """Build the encoder of each input, with random weights.

    Parameters
    ----------
    settings : Network
        Names them.
    shapes : dict of str to tuple of int
        Of one person's inputs: volumes, connectivity vectors, and ``traits``; volumes first.
    """
    load_extensions(settings.extensions)
    volumes = [name for name, shape in shapes.items() if len(shape) == 4]
    if settings.together and len(volumes) > 1:
        channels = sum(shapes[name][0] for name in volumes)
        joined = {TOGETHER.join(volumes): (channels, *shapes[volumes[0]][1:])}
        shapes = joined | {n: shape for n, shape in shapes.items() if n not in volumes}
    named = {"volume": settings.volume, "vector": settings.vector, "table": settings.table}
    own, encoders = (settings.embedding, settings.dropout), {}
    for name, shape in shapes.items():
        kind = "volume" if len(shape) == 4 else "table" if name == TRAITS else "vector"
        options = settings.options.get(kind, {})
        encoders[name] = build_encoder(kind, named[kind], shape, *own, options)
    return encoders


def check_start(settings: Network, name: str, shape: tuple[int, ...] | None, setting: str) -> None:
    """Refuse a file from which an encoder cannot start, before there are scans.

    Parameters
    ----------
    name : str
        Of the encoder.
    shape : tuple of int, optional
        Of one person's input; where it is not known yet, names alone are compared.
    setting : str
        That names the file.

    Raises
    ------
    InputError
        If nothing in the file agrees with the encoder, or it cannot be read.
    """
    header = read_header(settings.start[name], setting)
    with torch.device("meta"):
        encoder = build_encoders(settings, {name: shape or UNKNOWN})[name]
    taken = agreeing(encoder, header, name, setting, by_shape=shape is not None)
    check_finite(header, taken, name, setting)


@dataclass(frozen=True)
class FittedNetwork:
    """A network that was trained, or the reason why there is none.

    Attributes
    ----------
    trainer : Trainer
        Whose network has the weights that were kept.
    trained : Trained
        From the loop.
    card : dict
        How training went and what it cost: per person the ``flops_per_sample`` of a training step
        and ``memory_per_sample`` in bytes, and in all ``parameters`` and ``flops``. ``origin`` by
        encoder, of those that started from a file; ``pretraining`` where there was one, which is
        among the ``flops``.
    """

    trainer: Trainer
    trained: Trained
    card: dict[str, Any]

    @property
    def weights(self) -> dict[str, NDArray[np.generic]]:
        """Weights as arrays of a model; none if training failed."""
        state = self.trained.state.items()
        return {f"weights/{name}": tensor.cpu().numpy().copy() for name, tensor in state}


def fit_network(
    job: NetworkJob,
    folder: Path,
    *,
    validated: Rows | None = None,
    what: str = "",
    report: Report | None = None,
    trainer: Callable[..., Trainer] = Trainer,
) -> FittedNetwork:
    """Build a job's network by its seed and train it, or go on where a killed process left it.

    Parameters
    ----------
    folder : Path
        Of its state.
    validated : ndarray of shape (n,), optional
        People who say when to stop, and which epoch to keep; else all of validation.
    what : str
        In words, where the log tells of it.
    report : callable, optional
        Told every epoch in place of the log.
    trainer : callable
        By which losses people are judged.
    """
    people, settings, data = job.people, job.settings.loop, job.data
    fitted = np.flatnonzero(job.fitted & job.usable)
    if validated is None:
        validated = np.flatnonzero((people.part == "validation") & job.usable)
    torch.manual_seed(job.seed)
    network = job.network(data.shapes)
    origin = start_encoders(network.encoders, job.settings.network.start)
    cost = network_cost(network, data.shapes)
    before = job.pretrained(network, data, folder, what)
    tasks = Tasks(people.targets, job.binary, job.fitted, settings)
    mine = trainer(network, data, tasks, settings, pick_device(job.device), job.seed)
    tell = report or told_by_epoch(what, settings.epochs_for(len(fitted)))
    if before.get("reason"):
        trained = Trained(
            {}, {"train": [], "validation": []}, 0, f"in pretraining {before['reason']}"
        )
    else:
        trained = train(mine, fitted, validated, folder, tell)
    if not trained.reason:
        mine.network.load_state_dict(trained.state)
    elif what:
        told_of_failure(what, trained.reason)
    epochs = len(trained.curves["train"])
    card = {
        "diverged": trained.reason,
        "curves": trained.curves,
        "best_epoch": trained.best_epoch,
        "wait_share": trained.wait_share,
        "precision": str(precision_of(settings, mine.device)).removeprefix("torch."),
        "flops": float(cost.training_flops) * len(fitted) * epochs + before.get("flops", 0.0),
        "n_fitted": len(fitted),
        "parameters": cost.parameters,
        "flops_per_sample": cost.training_flops,
        "memory_per_sample": cost.activation_bytes,
        **({"origin": origin} if origin else {}),
        **({"pretraining": before} if before else {}),
    }
    return FittedNetwork(mine, trained, card)
