"""Fit any network: shared encoders, those of single cells, those that a search tries."""

from __future__ import annotations

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
from ukb_brain.training.inputs import NetworkData
from ukb_brain.training.loop import Report, Trained, train
from ukb_brain.training.settings import Loop
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import Rows, Trainer, precision_of

Shapes = Mapping[str, tuple[int, ...]]


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
        and ``memory_per_sample`` in bytes, and in all ``parameters`` and ``flops``.
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
    data: NetworkData,
    build: Callable[[Shapes], nn.Module],
    tasks: Tasks,
    settings: Loop,
    fitted: Rows,
    validated: Rows,
    folder: Path,
    *,
    seed: int,
    device: str,
    what: str = "",
    report: Report | None = None,
    trainer: type[Trainer] = Trainer,
) -> FittedNetwork:
    """Build a network by its seed and train it, or go on where a killed process left it.

    Parameters
    ----------
    data, tasks, settings
        Inputs, labels, and how they are learnt.
    build : callable
        Makes the network from the shapes of one person's inputs.
    fitted, validated : ndarray of shape (n,)
        People it is trained on; people who say when to stop, and which epoch to keep.
    folder : Path
        Of its state.
    what : str
        In words, where the log tells of it.
    report : callable, optional
        Told every epoch in place of the log.
    trainer : type
        By which losses people are judged.
    """
    torch.manual_seed(seed)
    network = build(data.shapes)
    cost = network_cost(network, data.shapes)
    mine = trainer(network, data, tasks, settings, pick_device(device), seed)
    tell = report or told_by_epoch(what, settings.epochs_for(len(fitted)))
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
        "flops": float(cost.training_flops) * len(fitted) * epochs,
        "n_fitted": len(fitted),
        "parameters": cost.parameters,
        "flops_per_sample": cost.training_flops,
        "memory_per_sample": cost.activation_bytes,
    }
    return FittedNetwork(mine, trained, card)
