"""Run a study: rounds of trials, drawn by Optuna, done by the ledger, kept in SQLite.

A round is drawn from what earlier rounds have shown and from nothing else, and a trial is pruned by
comparison with those alone. So neither the number of workers, nor the order in which they end, nor
a kill changes what is tried. Only finished trials are stored, by the main process: a kill leaves
none half-told, and what its round had done already is in the ledger. SQLite never sees a worker.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from ukb_brain.cluster import Compute
from ukb_brain.ledger import WorkItem, fingerprint_of, run_ledger
from ukb_brain.ledger.artifact import Card, Model
from ukb_brain.search.settings import Pruner, Space
from ukb_brain.search.trial import History

logger = logging.getLogger(__name__)

STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
# Another process of this user's may be reading.
SECONDS_FOR_A_LOCK = 60


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes
    ----------
    kind : {"encoders", "heads"}
        Which one.
    fingerprint : str
        Of the space, settings, people and whatever else a trial's value depends on: the study's
        name has it, so that a change of any is a study of its own.
    space : dict of str to Parameter
        By dotted path.
    start : dict of str to object
        Settings as they are, by path: the first trial.
    trials, round, at_random : int
        As `StudySettings` has them.
    seed : int
        Of drawing.
    pruner : Pruner
        When a trial is cut short.
    epochs : int
        Most that any trial can have.
    function : callable
        Takes what ``payload`` gives and a scratch folder, gives a model whose card says how the
        trial ended; see `attempted`.
    payload : callable
        Takes the values of a trial by path, and its `History`.
    """

    kind: str
    fingerprint: str
    space: Space
    start: Mapping[str, Any]
    trials: int
    round: int
    at_random: int
    seed: int
    pruner: Pruner
    epochs: int
    function: Callable[[Any, Path], Model]
    payload: Callable[[dict[str, Any], History], Any]

    @property
    def study(self) -> str:
        """Name of the study."""
        return f"{self.kind}-{self.fingerprint[:12]}"


def open_storage(path: Path) -> optuna.storages.RDBStorage:
    """Open the database of all studies.

    Parameters
    ----------
    path : Path
        Made where it is not there.

    Returns
    -------
    optuna.storages.RDBStorage
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.RDBStorage(
        f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": SECONDS_FOR_A_LOCK}}
    )


def run_study(
    plan: Plan, storage: optuna.storages.BaseStorage, folder: Path, compute: Compute
) -> optuna.Study:
    """Go on with a study until it has as many trials as were asked for.

    Parameters
    ----------
    plan : Plan
        What is tried.
    storage : optuna.storages.BaseStorage
        Of all studies; written by this process only.
    folder : Path
        Of the ledger of this kind of trials; holds those of the last round.
    compute : Compute
        Workers.

    Returns
    -------
    optuna.Study
        With finished trials only; a failed one has its reason.
    """
    study = optuna.create_study(
        study_name=plan.study, storage=storage, direction="minimize", load_if_exists=True
    )
    done = len(study.get_trials(deepcopy=False))
    if done >= plan.trials:
        logger.info("Search of %s: all of %d trials are done already.", plan.kind, plan.trials)
    for first in range(0, plan.trials, plan.round):
        last = min(first + plan.round, plan.trials)
        numbers = range(max(first, done), last)
        if not numbers:
            continue
        finished = tuple(study.get_trials()[:first])
        drawn = draw(plan, finished)
        items = [_item(plan, number, drawn[number - first], finished) for number in numbers]
        label = f"Search of {plan.kind}, trials {numbers[0] + 1} to {last} of {plan.trials}"
        cards = run_ledger(plan.function, items, folder, compute, label)
        for number, card in zip(numbers, cards, strict=True):
            params, values = drawn[number - first]
            trial = _finished(plan, params, values, card)
            study.add_trial(trial)
            if trial.state == TrialState.FAIL:
                reason = trial.user_attrs["reason"]
                logger.warning("Search of %s: trial %d failed: %s", plan.kind, number, reason)
    return study


def draw(
    plan: Plan, finished: Sequence[FrozenTrial]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Draw the next round.

    Parameters
    ----------
    plan : Plan
        Space, seed, size of a round.
    finished : sequence of FrozenTrial
        Of all earlier rounds.

    Returns
    -------
    list of (dict, dict)
        What Optuna stores, and the settings' values, both by path. The first of all has the
        settings as they are, of which Optuna is told those that lie in the space.

    Notes
    -----
    Tree-structured Parzen estimator (Bergstra et al. 2011); trials of the same round count as
    poor, so that they keep apart ("constant liar").
    """
    first = len(finished)
    seed = int(np.random.SeedSequence([plan.seed, first]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(n_startup_trials=plan.at_random, seed=seed)
    view = optuna.create_study(
        study_name=plan.study, sampler=sampler, pruner=plan.pruner.of(plan.epochs)
    )
    view.add_trials(finished)
    distributions = {path: parameter.distribution for path, parameter in plan.space.items()}
    drawn: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for number in range(first, first + plan.round):
        if number == 0:
            stored = {path: plan.space[path].stored(value) for path, value in plan.start.items()}
            params = {path: value for path, value in stored.items() if value is not None}
            mine = {path: distributions[path] for path in params}
            view.add_trial(
                create_trial(state=TrialState.RUNNING, params=params, distributions=mine)
            )
            inside = {path: plan.space[path].read(value) for path, value in params.items()}
            drawn.append((params, {**plan.start, **inside}))
            continue
        params = view.ask(distributions).params
        drawn.append((params, {path: plan.space[path].read(v) for path, v in params.items()}))
    return drawn


def _item(
    plan: Plan,
    number: int,
    drawn: tuple[dict[str, Any], dict[str, Any]],
    finished: tuple[FrozenTrial, ...],
) -> WorkItem:
    history = History(plan.study, plan.pruner, plan.epochs, finished, number - len(finished))
    print_of = fingerprint_of(plan.fingerprint, number, drawn[1])
    payload = plan.payload(drawn[1], history)
    return WorkItem(f"{plan.study}-{number}", print_of, payload, {"restricted": True})


def _finished(
    plan: Plan, params: dict[str, Any], values: dict[str, Any], card: Card
) -> FrozenTrial:
    lost = card["status"] != "ok"
    state = STATES["failed" if lost else card["state"]]
    curve = [] if lost else card.get("curve", [])
    attributes = {
        "values": values,
        "losses": {} if lost else card.get("losses", {}),
        "reason": card["reason"] if lost else card.get("why", ""),
        "epochs": len(curve),
        "seconds": float(card.get("seconds", math.nan)),
    }
    return create_trial(
        state=state,
        value=None if lost else card.get("value"),
        params=params,
        distributions={path: plan.space[path].distribution for path in params},
        user_attrs=attributes,
        # Where successive halving keeps what it needs.
        system_attrs={} if lost else card.get("rungs", {}),
        intermediate_values=dict(enumerate(curve, start=1)),
    )
