"""What a trial is compared with while it runs, and how it says that it ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from ukb_brain.ledger.artifact import Card, Model
from ukb_brain.ledger.attempts import one_line
from ukb_brain.search.settings import Pruner


@dataclass(frozen=True)
class History:
    """What a trial may be compared with, and where it stands among the others.

    Attributes
    ----------
    study : str
        Its name, of which the hyperband pruner makes its brackets.
    pruner : Pruner
        When a trial is cut short.
    epochs : int
        Most that any trial can have; 0 where there are none.
    finished : tuple of FrozenTrial
        Of earlier rounds.
    peers : int
        Trials of this round that come before.
    """

    study: str
    pruner: Pruner
    epochs: int
    finished: tuple[FrozenTrial, ...]
    peers: int

    def begin(self) -> optuna.Trial:
        """Make this trial, to which epochs are reported, of a study in memory."""
        view = optuna.create_study(
            study_name=self.study,
            sampler=optuna.samplers.RandomSampler(0),
            pruner=self.pruner.of(self.epochs),
        )
        view.add_trials(self.finished)
        for _ in range(self.peers):
            view.ask()
        return view.ask()


def attempted(function: Callable[[Any, Path], Card], payload: Any, scratch: Path) -> Model:
    """Do a trial, and take whatever goes wrong in it for its result: the rest goes on.

    The card says ``state`` (complete|pruned|failed), ``value`` where there is one, and where they
    exist ``losses`` by target, ``curve`` by epoch, ``rungs`` of the pruner, and ``why`` it failed.
    """
    try:
        card = function(payload, scratch)
    except Exception as error:
        card = {"state": "failed", "why": one_line(error)}
    if card["state"] == "complete" and not math.isfinite(card["value"]):
        card = {**card, "state": "failed", "value": None, "why": "nobody is left to judge it by"}
    return Model({}, card)
