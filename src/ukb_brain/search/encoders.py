"""A trial of the shared encoders: one network without one part, judged by people it has not seen.

They are training people of the part that was left out, and validation people. T is targets.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import optuna
import torch

from ukb_brain.ledger.artifact import Card
from ukb_brain.search.settings import Pruner
from ukb_brain.search.study import Earlier
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.network import fit_network
from ukb_brain.training.people import Mask
from ukb_brain.training.trainer import Rows, Trainer


@dataclass(frozen=True)
class EncoderTrial:
    """A trial: its job has the trial's settings, and people without test people."""

    job: EncoderJob
    pruner: Pruner
    earlier: Earlier

    @property
    def judged(self) -> Mask:
        """People by whom the network is judged, of whom its training saw nothing."""
        people = self.job.people
        return (self.job.parts == self.job.part) | (people.part == "validation")


def judge_encoders(trial: EncoderTrial, scratch: Path) -> Card:
    """Train a network and judge it; a training that was killed goes on from its scratch folder.

    Returns
    -------
    dict
        As `attempted` takes it. ``losses`` of each target are relative to naming the mean of the
        people in training, and ``value`` is their mean.
    """
    job = trial.job
    judged = np.flatnonzero(trial.judged & job.usable)
    if (job.fitted & job.usable).sum() < 2 or not len(judged):
        return {"state": "failed", "why": "fewer than two people to train on, or none to judge by"}
    begun, curve = trial.pruner.begin(trial.earlier), list[float]()

    def watch(epoch: int, curves: dict[str, list[float]]) -> None:
        """Tell the pruner of every epoch, once and in order, also of those before a kill."""
        for loss in curves["validation"][len(curve) : epoch]:
            curve.append(loss)
            begun.report(loss, len(curve))
            if begun.should_prune():
                raise optuna.TrialPruned

    try:
        found = fit_network(job, scratch, validated=judged, report=watch, trainer=RelativeTrainer)
        curves = found.trained.curves
        watch(len(curves["validation"]), curves)
    except optuna.TrialPruned:
        return {"curve": curve, "state": "pruned", "value": curve[-1]}
    if found.trained.reason:
        return {"curve": curve, "state": "failed", "why": found.trained.reason}
    relative = cast(RelativeTrainer, found.trainer).relative(judged)
    losses = {
        target: float(loss)
        for target, loss in zip(job.binary, relative.tolist(), strict=True)
        if np.isfinite(loss)
    }
    value = float(np.mean(list(losses.values()))) if losses else float("nan")
    return {"curve": curve, "state": "complete", "value": value, "losses": losses}


class RelativeTrainer(Trainer):
    """A trainer whose validation loss is relative to naming the mean: targets count alike."""

    @cached_property
    def constant(self) -> torch.Tensor:
        """What names the mean of each target (T,)."""
        # Standardised targets have mean 0; where classes weigh the same, so has the logit.
        share = torch.from_numpy(np.clip(self.tasks.mean, 1e-6, 1 - 1e-6)).float()
        plain = torch.from_numpy(self.tasks.kinds) & (self.settings.balance != "weights")
        return torch.where(plain, torch.logit(share), 0.0).to(self.device)

    def evaluate(self, rows: Rows) -> float:
        """Mean over targets of the relative loss; NaN where nobody has any target."""
        relative = self.relative(rows)
        known = torch.isfinite(relative)
        return float(relative[known].mean()) if known.any() else float("nan")

    @torch.no_grad()
    def relative(self, rows: Rows) -> torch.Tensor:
        """Loss of each target (T,), relative to that of naming the mean of the people in training.

        NaN where none of the people, whom the network is not trained on, has the target, or it did
        not vary in training.
        """
        self.network.eval()
        ours = theirs = torch.zeros(len(self.constant), device=self.device)
        for inputs, some in self.batches(rows):
            used, where = self.seen(inputs), self.placed(some)
            constant = self.constant.expand(len(some), -1)
            ours = ours + self.tasks.errors(self.predict(inputs), where, used)[0]
            theirs = theirs + self.tasks.errors(constant, where, used)[0]
        return torch.where(theirs > 0, ours / theirs, torch.nan).cpu()
