"""Run a study: rounds of trials, drawn by Optuna, done by the ledger, kept in SQLite.

A round is drawn from what earlier rounds have shown and from nothing else, and a trial is pruned by
comparison with those alone. So neither the number of workers, nor the order in which they end, nor
a kill changes what is tried. Only finished trials are stored, by the main process: a kill leaves
none half-told, and what its round had done already is in the ledger. SQLite never sees a worker.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from ukb_brain.cluster import Compute
from ukb_brain.ledger import WorkItem, fingerprint_of, run_ledger
from ukb_brain.ledger.artifact import Card, Model
from ukb_brain.ledger.attempts import one_line
from ukb_brain.search.settings import StudySettings, read
from ukb_brain.search.settings import stored as to_store
from ukb_brain.training.items import seed_of

logger = logging.getLogger(__name__)

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
# What Optuna stores of a trial, and the values of settings; both by path.
Drawn = tuple[dict[str, Any], dict[str, Any]]
# Finished trials of the rounds before.
Earlier = tuple[FrozenTrial, ...]
# Another process of this user's may be reading.
SECONDS_FOR_A_LOCK = 60


@dataclass(frozen=True)
class StudyPlan:
    """A study.

    Attributes
    ----------
    kind : {"encoders", "heads"}
    fingerprint : str
        Of the space, settings, people and whatever else a trial's value depends on: the study's
        name has it, so that a change of any is a study of its own.
    start : dict of str to object
        Settings as they are, by path: the first trial.
    judge : callable
        Takes what ``payload`` gives and a scratch folder, gives a card as `attempted` says.
    payload : callable
        Takes the values of a trial by path, and the finished trials of earlier rounds.
    """

    kind: str
    fingerprint: str
    search: StudySettings
    start: Mapping[str, Any]
    seed: int
    judge: Callable[[Any, Path], Card]
    payload: Callable[[dict[str, Any], Earlier], Any]

    @property
    def study(self) -> str:
        """Name of the study."""
        return f"{self.kind}-{self.fingerprint[:12]}"


def open_storage(path: Path) -> optuna.storages.RDBStorage:
    """Open the database of all studies; it is made where it is not there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.RDBStorage(
        f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": SECONDS_FOR_A_LOCK}}
    )


def run_study(
    plan: StudyPlan, storage: optuna.storages.BaseStorage, folder: Path, compute: Compute
) -> optuna.Study:
    """Go on with a study until it has as many trials as were asked for.

    The storage is of all studies and written by this process only; the folder is that of the ledger
    of this kind of trials, and holds those of the last round.

    Returns
    -------
    optuna.Study
        With finished trials only; a failed one has its reason.
    """
    study = optuna.create_study(
        study_name=plan.study, storage=storage, direction="minimize", load_if_exists=True
    )
    wanted, size = plan.search.trials, plan.search.round
    done = len(study.get_trials(deepcopy=False))
    if done >= wanted:
        logger.info("Search of %s: all of %d trials are done already.", plan.kind, wanted)
    for first in range(done - done % size, wanted, size):
        numbers = range(max(first, done), min(first + size, wanted))
        finished = tuple(study.get_trials()[:first])
        drawn = draw(plan, finished)[numbers.start - first :]
        items = [
            WorkItem(
                f"{plan.study}-{number}",
                fingerprint_of(plan.fingerprint, number, values),
                plan.payload(values, finished),
                {"restricted": True},
            )
            for number, (_, values) in zip(numbers, drawn, strict=False)
        ]
        label = f"Search of {plan.kind}, trials {numbers.start + 1} to {numbers.stop} of {wanted}"
        cards = run_ledger(partial(attempted, plan.judge), items, folder, compute, label)
        for own, card in zip(drawn, cards, strict=False):
            trial = _finished(plan, own, card)
            study.add_trial(trial)
            if trial.state == TrialState.FAIL:
                number, reason = len(study.trials) - 1, trial.user_attrs["reason"]
                logger.warning("Search of %s: trial %d failed: %s", plan.kind, number, reason)
    return study


def draw(plan: StudyPlan, finished: Sequence[FrozenTrial]) -> list[Drawn]:
    """Draw the next round, after all earlier rounds.

    The first trial of all has the settings as they are, of which Optuna is told those that lie in
    the space.

    Notes
    -----
    Tree-structured Parzen estimator (Bergstra et al. 2011); trials of the same round count as
    poor, so that they keep apart ("constant liar").
    """
    first, space = len(finished), plan.search.space
    own = seed_of(plan.seed, first)
    sampler = optuna.samplers.TPESampler(n_startup_trials=plan.search.at_random, seed=own)
    view = optuna.create_study(sampler=sampler)
    view.add_trials(finished)
    drawn: list[Drawn] = []
    for number in range(first, first + plan.search.round):
        outside: Mapping[str, Any] = {}
        if number:
            params = view.ask(space).params
        else:
            stored = {path: to_store(space[path], v) for path, v in plan.start.items()}
            params = {path: value for path, value in stored.items() if value is not None}
            mine, outside = {path: space[path] for path in params}, plan.start
            running = create_trial(state=TrialState.RUNNING, params=params, distributions=mine)
            view.add_trial(running)
        drawn.append((params, {**outside, **{p: read(space[p], v) for p, v in params.items()}}))
    return drawn


def attempted(judge: Callable[[Any, Path], Card], payload: Any, scratch: Path) -> Model:
    """Do a trial, and take whatever goes wrong in it for its result: the rest goes on.

    The card says ``state`` (complete|pruned|failed), ``value`` where there is one, and where they
    exist ``losses`` by target, ``curve`` by epoch, and ``why`` it failed.
    """
    try:
        card = judge(payload, scratch)
    except Exception as error:
        card = {"state": "failed", "why": one_line(error)}
    if card["state"] == "complete" and not math.isfinite(card["value"]):
        card = {**card, "state": "failed", "value": None, "why": "nobody is left to judge it by"}
    return Model({}, card)


def _finished(plan: StudyPlan, drawn: Drawn, card: Card) -> FrozenTrial:
    params, values = drawn
    if card["status"] != "ok":
        card = {"state": "failed", "why": card["reason"], "seconds": card.get("seconds", math.nan)}
    curve = card.get("curve", [])
    return create_trial(
        state=STATES[card["state"]],
        value=card.get("value"),
        params=params,
        distributions={path: plan.search.space[path] for path in params},
        user_attrs={
            "values": values,
            "losses": card.get("losses", {}),
            "reason": card.get("why", ""),
            "epochs": len(curve),
            "seconds": float(card["seconds"]),
        },
        intermediate_values=dict(enumerate(curve, start=1)),
    )
