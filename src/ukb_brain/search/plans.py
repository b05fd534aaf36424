"""What the two studies are: checked, blind to test people, and named by all that they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import distribution_to_json

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.ledger import fingerprint_of
from ukb_brain.ledger.artifact import read_card, read_model
from ukb_brain.search.encoders import EncoderTrial, judge_encoders
from ukb_brain.search.heads import HeadTrial, chosen_targets, judge_heads
from ukb_brain.search.settings import EncoderSearch, HeadSearch, Pruner, ends_of
from ukb_brain.search.space import Shapes, changed, check_networks, check_space, values_now
from ukb_brain.search.study import StudyPlan
from ukb_brain.search.trial import History, attempted
from ukb_brain.tables.splits import check_fitted_on
from ukb_brain.training import items
from ukb_brain.training.cells import TargetJob
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans, quality_fingerprint
from ukb_brain.training.settings import AMORTISED, HEADS, Modelling

# Raised whenever the same study would give other values.
ENGINE = 2
NOBODY = "left out"


def without_test(people: People) -> People:
    """Take from test people everything that a search might look at.

    They stay in their rows, are in no part, and have no target, trait or scan.
    """
    gone = ~np.isin(people.part, ["train", "validation"])
    return replace(
        people,
        part=np.where(gone, NOBODY, people.part),
        targets={name: np.where(gone, np.nan, y) for name, y in people.targets.items()},
        blocks={name: np.where(gone[:, None], 0.0, x) for name, x in people.blocks.items()},
        has={name: has & ~gone for name, has in people.has.items()},
    )


def plan_encoders(
    search: EncoderSearch,
    people: People,
    scans: Mapping[str, GroupScans],
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    seed: int,
    device: str,
) -> StudyPlan:
    """Plan the search of encoders, on people from `without_test`, after checks.

    Raises
    ------
    InputError
        If the space names what does not exist, or values that cannot be.
    """
    check_space("encoders", search.varied, modelling)
    check_networks(search.varied, modelling, lambda pooling: _shapes(people, scans, pooling))
    binary = {key: target.kind == "binary" for key, target in grid.targets.items()}
    parts = people.cross_fits(modelling.encoders.cross_fits)
    own = items.seed_of(seed, people.fold)

    def payload(values: dict[str, Any], history: History) -> EncoderTrial:
        settings = changed(modelling, values).encoders
        mine = {g: replace(s, pooling=settings.network.pooling) for g, s in scans.items()}
        job = EncoderJob(people, mine, binary, settings, own, device, parts, 0)
        return EncoderTrial(job, history)

    seen = quality[quality["eid"].isin(people.eid[people.part != NOBODY])]
    rests_on = (
        modelling.encoders.model_dump(mode="json", exclude={"seeds", "cache_gb"}),
        items.people_fingerprint(people),
        quality_fingerprint(seen),
        list(binary.values()),
    )
    lengths = search.space.get("encoders.loop.epochs")
    epochs = max([*ends_of(lengths), 1]) if lengths else modelling.encoders.loop.epochs
    judge, pruner = judge_encoders, search.pruner
    return _plan("encoders", search, modelling, rests_on, seed, pruner, epochs, judge, payload)


def _shapes(people: People, scans: Mapping[str, GroupScans], pooling: int) -> Shapes:
    shapes = {}
    for group, has in people.has.items():
        if has.any():
            one = np.flatnonzero(has)[0]
            key = (int(people.eid[one]), int(people.instance[one]))
            shapes[group] = replace(scans[group], pooling=pooling).read([key])[0].shape
    return shapes


def plan_heads(
    search: HeadSearch, people: People, folder: Path, grid: Grid, modelling: Modelling, seed: int
) -> StudyPlan:
    """Plan the search of the cells' regressions on models of a folder, after checks.

    People are those of `without_test`.

    Raises
    ------
    InputError
        If the space names what does not exist, or values that cannot be; if models are missing, or
        are of other people or settings.
    """
    check_space("heads", search.varied, modelling)
    if AMORTISED not in modelling.strategies:
        raise InputError(
            "The search of heads needs encoders, and modelling.strategies has no amortised: add "
            "it, or set search.heads.trials to 0."
        )
    encoders = [
        {
            part: folder / "encoders" / items.encoder_name(people.fold, member, part)
            for part in range(modelling.encoders.cross_fits)
        }
        for member in range(modelling.encoders.seeds)
    ]
    networks = [path for each in encoders for path in each.values()]
    _check_models(networks, people, modelling)
    groups, cells = tuple(grid.imaging), items.cells_by_target(grid)
    kinds = {t: grid.targets[t].kind for t in chosen_targets(grid, search.targets)}
    # What kernels give has learnt from those who judge a trial.
    judged = modelling.model_copy(update={"strategies": (AMORTISED,), "average": (HEADS,)})

    def payload(values: dict[str, Any], history: History) -> HeadTrial:
        settings = changed(judged, values)
        jobs = (
            TargetJob(t, kind, cells[t], groups, people, encoders, {}, settings)
            for t, kind in kinds.items()
        )
        return HeadTrial(tuple(jobs), search.parts)

    seen = people.part != NOBODY
    rests_on = (
        modelling.model_dump(mode="json", include={"cross_fits", "heads", "ladder"}),
        items.people_fingerprint(people),
        [(cell.target, cell.inputs.name) for cell in grid.cells],
        [read_model(path, ("outputs",)).arrays["outputs"][:, seen] for path in networks],
    )
    never = Pruner(kind="none")
    return _plan("heads", search, modelling, rests_on, seed, never, 0, judge_heads, payload)


def _plan(
    kind: str,
    search: EncoderSearch | HeadSearch,
    modelling: Modelling,
    rests_on: tuple,
    seed: int,
    pruner: Pruner,
    epochs: int,
    judge: Any,
    payload: Any,
) -> StudyPlan:
    asked = search.model_dump(mode="json", exclude={"trials", "space"})
    space = {path: distribution_to_json(parameter) for path, parameter in search.varied.items()}
    print_of = fingerprint_of(ENGINE, items.ENGINE, kind, asked, space, *rests_on, seed)
    start = values_now(modelling, search.varied)
    function = partial(attempted, judge)
    return StudyPlan(kind, print_of, search, start, seed, pruner, epochs, function, payload)


def _check_models(paths: list[Path], people: People, modelling: Modelling) -> None:
    cards = {path.name: read_card(path) or {"status": "missing"} for path in paths}
    absent = [name for name, card in cards.items() if card.get("status", "ok") != "ok"]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(cards)} models of encoders are missing or failed, and the "
            "search of heads needs them all: run `kedro run --pipelines modelling`, or set "
            "search.heads.trials to 0."
        )
    for name, card in cards.items():
        check_fitted_on(card["training_people"], people.fingerprint, name)
        items.check_settings(card, modelling.encoders, f"model {name}")
