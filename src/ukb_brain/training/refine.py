"""Each domain's version of the shared network: low-rank changes of its encoders, and its own head.

Weights W of linear layers and convolutions stay as they are and become W + up · down, of a small
rank, where up begins with zeros (Hu et al., LoRA, ICLR 2022). It is trained on the domain's targets
alone, and stands in place of what is shared only where validation people are read better by it.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ukb_brain.cluster.progress import told_by_epoch
from ukb_brain.errors import InputError
from ukb_brain.networks.cost import network_cost
from ukb_brain.training.loop import train
from ukb_brain.training.network import NetworkJob
from ukb_brain.training.people import Floats
from ukb_brain.training.settings import Encoders
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import Tensors, Trainer

# Refining all domains may take so many times the epochs of what they share.
MOST = 5
# Where the state of each is, within the folder of the work item.
FOLDER = "refining-{}"


def require_affordable(settings: Encoders, domains: int) -> None:
    """Refuse to refine for longer than `MOST` times what the shared training takes.

    An epoch of either costs about the same.

    Raises
    ------
    InputError
        With the number of epochs that there may be.
    """
    own, shared = settings.refine, settings.loop.epochs
    if own.rank and own.epochs * domains > MOST * shared:
        raise InputError(
            f"modelling.encoders.refine.epochs is {own.epochs} for each of {domains} domains, more "
            f"than {MOST} times the {shared} epochs that they share (modelling.encoders.loop."
            f"epochs): expected at most {MOST * shared // domains}, or a rank of 0 to refine none."
        )


class LowRank(nn.Module):
    """What is added to the weights of a layer, of its outputs first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.flatten(1).shape
        rank = min(rank, outputs, inputs)
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        # Drawn on the CPU, so that every device gives the same.
        down = nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=5**0.5)
        self.down = nn.Parameter(down.to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Change weights of any shape."""
        return weight + (self.up @ self.down).view(weight.shape)


def adapted(network: nn.Module, rank: int) -> nn.Module:
    """Copy a network, of whose ``encoders`` no more than low-rank changes can be trained."""
    own = copy.deepcopy(network)
    encoders = own.get_submodule("encoders").requires_grad_(False)
    layers = [m for m in encoders.modules() if isinstance(m, nn.Linear | nn.Conv3d)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return own


@dataclass(frozen=True)
class Refined:
    """What became of a domain.

    Attributes
    ----------
    trainer : Trainer, optional
        With the refined network; None where what is shared stands.
    state : dict of str to Tensor
        Weights of the refined network that are not those of the shared one.
    card : dict
        ``kept`` or not; mean loss of the domain's targets on validation people, ``shared`` and
        ``refined``; ``best_epoch``, ``curves``, ``reason`` where it failed, ``parameters`` that
        were trained, ``flops``.
    """

    domain: str
    trainer: Trainer | None
    state: Tensors
    card: dict[str, Any]


def refine(
    shared: Trainer,
    job: NetworkJob,
    domains: Mapping[str, Sequence[str]],
    settings: Encoders,
    folder: Path,
    what: str,
) -> Iterator[Refined]:
    """Refine a network that was trained on all targets, domain by domain.

    A run that was killed goes on from the state of each domain.

    Parameters
    ----------
    shared : Trainer
        With the network as it was kept; it stays as it is.
    job : NetworkJob
        Of the shared training, whose people are trained on again; its validation people say when
        to stop, and whether it is worth it.
    domains : dict of str to sequence of str
        Their targets.
    folder : Path
        Of the work item.
    what : str
        In words, where the log tells of it.
    """
    people, own = job.people, settings.refine
    fitted = np.flatnonzero(job.fitted & job.usable)
    validated = np.flatnonzero((people.part == "validation") & job.usable)
    rate = own.learning_rate or settings.loop.learning_rate
    changes = {"epochs": own.epochs, "patience": own.patience, "least_steps": 0}
    loop = settings.loop.model_copy(update=changes | {"learning_rate": rate})
    for number, (domain, mine) in enumerate(domains.items()):
        known = {
            t: people.targets[t] if t in mine else nobodys(people.targets[t]) for t in job.binary
        }
        tasks = Tasks(known, job.binary, job.fitted, loop)
        seed = int(np.random.SeedSequence([shared.seed, number]).generate_state(1)[0])
        torch.manual_seed(seed)
        network = adapted(shared.network, own.rank)
        frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
        size = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
        cost = network_cost(network, shared.data.shapes)
        trainer = Trainer(network, shared.data, tasks, loop, shared.device, seed)
        # Nothing is added yet: it is the shared one.
        before = trainer.evaluate(validated)
        card: dict[str, Any] = {"kept": False, "shared": before, "parameters": size, "flops": 0.0}
        if not np.isfinite(before):
            card["reason"] = "its targets are not known of validation people, or do not vary"
            yield Refined(domain, None, {}, card)
            continue
        state = folder / FOLDER.format(domain)
        state.mkdir(exist_ok=True)
        tell = told_by_epoch(f"{what}, refined for {domain}", own.epochs)
        found = train(trainer, fitted, validated, state, tell)
        curve = found.curves["validation"]
        after = curve[found.best_epoch - 1] if found.best_epoch else np.nan
        card |= {
            "kept": bool(after < before),
            "refined": after,
            "best_epoch": found.best_epoch,
            "curves": found.curves,
            "reason": found.reason,
            "flops": float(cost.training_flops) * len(fitted) * len(curve),
        }
        if not card["kept"]:
            yield Refined(domain, None, {}, card)
            continue
        trainer.network.load_state_dict(found.state)
        changed = {name: tensor for name, tensor in found.state.items() if name not in frozen}
        yield Refined(domain, trainer, changed, card)


def nobodys(target: Floats) -> Floats:
    """Give a target of which nothing is known."""
    return np.full_like(target, np.nan)
