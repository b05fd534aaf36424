"""Train the joint network on all targets at once, and predict people it has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.cluster import pick_device
from ukb_brain.cluster.progress import told_by_epoch
from ukb_brain.ledger.artifact import Model, read_model
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.training.inputs import NetworkData, subsets
from ukb_brain.training.network import NetworkJob, fit_network
from ukb_brain.training.people import Floats, Mask
from ukb_brain.training.pretrain import pretrain
from ukb_brain.training.refine import refine
from ukb_brain.training.settings import Encoders
from ukb_brain.training.trainer import Rows, Trainer


@dataclass(frozen=True)
class EncoderJob(NetworkJob):
    """What a worker needs to train encoders of some imaging groups on all targets.

    Attributes
    ----------
    parts : ndarray of shape (n,)
        Part of each training person; -1 for everybody else.
    part : int
        Part of training families that is left out.
    domains : dict of str to sequence of str
        Targets of each domain.
    """

    settings: Encoders
    parts: NDArray[np.int64]
    part: int
    domains: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        """Imaging groups of the network: those that anybody it is trained on has."""
        return tuple(g for g in self.scans if (self.people.has[g] & self.fitted).any())

    @property
    def fitted(self) -> Mask:
        """People of all parts but one, as far as they have a scan."""
        return (self.parts >= 0) & (self.parts != self.part)

    @property
    def usable(self) -> Mask:
        """People who have any imaging group."""
        return np.any([self.people.has[g] for g in self.scans], axis=0)

    @property
    def data(self) -> NetworkData:
        """Scans; in training a random set of each person's groups is hidden."""
        scans = {group: self.scans[group] for group in self.groups}
        gb = self.settings.cache_gb
        given = (self.people, scans, (), self.usable, gb)
        return NetworkData(*given, masked=True, device=pick_device(self.device))

    def pretrained(
        self, network: FusedNetwork, data: NetworkData, folder: Path, what: str
    ) -> dict[str, Any]:
        """Let encoders of volumes fill in what was hidden of the people they are trained on."""
        s = self.settings
        if not s.pretrain.epochs:
            return {}
        fitted, held = (
            some & self.usable for some in (self.fitted, self.people.part == "validation")
        )
        tell = told_by_epoch(f"{what}, filling in", s.pretrain.epochs) if what else None
        device = pick_device(self.device)
        return pretrain(network.encoders, data, fitted, held, s, device, self.seed, folder, tell)


def train_encoders(job: EncoderJob, folder: Path) -> Model:
    """Train one network without one part, and predict everybody who was not in its training.

    A training that was killed goes on from the state in ``folder``.

    Returns
    -------
    Model
        ``outputs`` of shape (subsets, n, targets), in the order of `subsets`: NaN for people it was
        trained on and for people who lack a group, and throughout if training failed, whose reason
        is then in the card. Its weights by name; those in which the network of a domain differs,
        where that is better, under ``refined``.
    """
    sets = subsets(tuple(job.scans))
    outputs = np.full((len(sets), len(job.people.eid), len(job.binary)), np.nan, dtype=np.float32)
    if (job.fitted & job.usable).sum() < 2:
        why = {"diverged": "fewer than two people to train on", "curves": {}}
        return Model({"outputs": outputs}, why)
    what = f"Encoders of fold {job.people.fold} without part {job.part}"
    found = fit_network(job, folder, what=what)
    if found.trained.reason:
        return Model({"outputs": outputs, **found.weights}, found.card)
    unseen = np.flatnonzero(~job.fitted & job.usable)
    predict_unseen(found.trainer, job, unseen, outputs)
    refined = refine_domains(found.trainer, job, folder, what, unseen, outputs)
    arrays = {"outputs": outputs, **found.weights, **refined.arrays}
    flops = sum(one["flops"] for one in refined.card.values())
    about = {"refined": refined.card, "flops": found.card["flops"] + flops} if refined.card else {}
    return Model(arrays, found.card | about)


def refine_domains(
    shared: Trainer,
    job: EncoderJob,
    folder: Path,
    what: str,
    rows: Rows,
    outputs: NDArray[np.float32],
) -> Model:
    """Let domains have networks of their own, where that is asked for and better.

    Of ``rows``, people never trained on, their targets in ``outputs`` are changed in place.

    Returns
    -------
    Model
        Weights in which the networks of domains differ from the shared one, and a card for each.
    """
    s, arrays, cards = job.settings, dict[str, NDArray[np.generic]](), dict[str, Any]()
    if not s.refine.rank:
        return Model(arrays, cards)
    places = {target: k for k, target in enumerate(job.binary)}
    for one in refine(shared, job, job.domains, s, folder, what):
        cards[one.domain] = one.card
        if one.trainer is None:
            continue
        own = np.full_like(outputs, np.nan)
        predict_unseen(one.trainer, job, rows, own)
        mine = [places[target] for target in job.domains[one.domain]]
        outputs[..., mine] = own[..., mine]
        weights = one.state.items()
        arrays |= {f"refined/{one.domain}/{k}": w.cpu().numpy().copy() for k, w in weights}
    return Model(arrays, cards)


@torch.no_grad()
def predict_unseen(
    trainer: Trainer, job: EncoderJob, rows: Rows, outputs: NDArray[np.float32]
) -> None:
    """Predict all targets of people never trained on from every set of groups that they have.

    In their rows, ``outputs`` of shape (subsets, n, targets) are changed in place.
    """
    network = cast(FusedNetwork, trainer.network.eval())
    for inputs, some in trainer.batches(rows):
        embeddings = network.embed(trainer.moved(inputs))
        for k, chosen in enumerate(subsets(tuple(job.scans))):
            if not set(chosen) <= set(job.groups):
                continue
            used = torch.tensor([g in chosen for g in job.groups], device=trainer.device).float()
            given = network.predict(embeddings, used.expand(len(some), -1)).float()
            has = job.people.having(chosen)[some]
            outputs[k, some[has]] = trainer.tasks.read(given).cpu().numpy()[has]


def read_outputs(paths: Mapping[int, Path]) -> dict[int, NDArray[np.float32]]:
    """Read what networks predict, by the part that each left out."""
    return {
        part: read_model(path, keys=("outputs",)).arrays["outputs"].astype(np.float32)
        for part, path in paths.items()
    }


def cross_fitted(outputs: Mapping[int, NDArray[np.float32]], parts: NDArray[np.int64]) -> Floats:
    """Line up the predictions of all networks of a seed, by the part that each left out.

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
    every = [outputs[part] for part in sorted(outputs)]
    combined: Floats = np.asarray(np.sum(every, axis=0, dtype=np.float64)) / len(every)
    for part, own in outputs.items():
        mine = parts == part
        combined[:, mine] = own[:, mine]
    return combined
