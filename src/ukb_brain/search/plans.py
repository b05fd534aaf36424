"""What the two studies are: checked, blind to test people, and named by all that they rest on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import distribution_to_json

from ukb_brain.errors import InputError
from ukb_brain.ledger import fingerprint_of
from ukb_brain.ledger.artifact import ModelFolder, read_model
from ukb_brain.search.encoders import EncoderTrial, judge_encoders
from ukb_brain.search.heads import HeadTrial, chosen_targets, judge_heads
from ukb_brain.search.settings import EncoderSearch, HeadSearch
from ukb_brain.search.space import Shapes, changed, check_networks, check_space, values_now
from ukb_brain.search.study import Earlier, StudyPlan
from ukb_brain.training import items
from ukb_brain.training.cells import TargetJob
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.items import Work
from ukb_brain.training.people import People
from ukb_brain.training.scans import quality_fingerprint
from ukb_brain.training.settings import AMORTISED, HEADS

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


def plan_encoders(search: EncoderSearch, work: Work, quality: pd.DataFrame) -> StudyPlan:
    """Plan the search of encoders, on the people of one fold from `without_test`, after checks.

    Raises
    ------
    InputError
        If the space names what does not exist, or values that cannot be.
    """
    modelling, (people,) = work.settings, work.people.values()
    scans = work.scans.read_as(modelling.encoders.network.pooling, modelling, people).groups
    check_space("encoders", search.space, modelling)
    items.check_origins(work.people, modelling.encoders.network, "modelling.encoders")

    def shapes(pooling: int) -> Shapes:
        keys = {g: people.keys(np.flatnonzero(has)[:1]) for g, has in people.has.items()}
        pooled = {g: replace(scans[g], pooling=pooling) for g, key in keys.items() if key}
        return {g: some.read(keys[g]).shape[1:] for g, some in pooled.items()}

    check_networks(search.space, modelling, shapes)
    binary = work.binary
    parts = people.cross_fits(modelling.encoders.cross_fits)
    own = items.seed_of(work.seed, people.fold)

    def payload(values: dict[str, Any], earlier: Earlier) -> EncoderTrial:
        settings = changed(modelling, values).encoders
        mine = {g: replace(s, pooling=settings.network.pooling) for g, s in scans.items()}
        job = EncoderJob(people, mine, binary, settings, own, work.compute.device, parts, 0)
        return EncoderTrial(job, search.pruner, earlier)

    seen = quality[quality["eid"].isin(people.eid[people.part != NOBODY])]
    rests_on = (
        items.known_by(modelling.encoders, {"seeds", "cache_gb"}),
        items.people_fingerprint(people),
        quality_fingerprint(seen),
        list(binary.values()),
    )
    return _plan("encoders", search, work, rests_on, judge_encoders, payload)


def plan_heads(search: HeadSearch, work: Work) -> StudyPlan:
    """Plan the search of the cells' regressions on models that are there, after checks.

    People are those of one fold, from `without_test`.

    Raises
    ------
    InputError
        If the space names what does not exist, or values that cannot be; if models are missing, or
        are of other people or settings.
    """
    grid, modelling, (people,) = work.grid, work.settings, work.people.values()
    check_space("heads", search.space, modelling)
    if AMORTISED not in modelling.strategies:
        raise InputError(
            "The search of heads needs encoders, and modelling.strategies has no amortised: add "
            "it, or set search.heads.trials to 0."
        )
    there = ModelFolder(work.folder / "encoders")
    encoders = [
        {
            part: there.path / items.encoder_name(people.fold, member, part)
            for part in range(modelling.encoders.cross_fits)
        }
        for member in range(modelling.encoders.seeds)
    ]
    networks = [path for each in encoders for path in each.values()]
    absent = {path.name for path in networks} - {*there.names()}
    if absent:
        raise InputError(
            f"{len(absent)} of {len(networks)} models of encoders are missing or failed, and the "
            "search of heads needs them all: run `kedro run --pipelines modelling`, or set "
            "search.heads.trials to 0."
        )
    items.checked(there, work.people, modelling.encoders)
    groups, cells = tuple(grid.imaging), items.cells_by_target(grid)
    kinds = {t: grid.targets[t].kind for t in chosen_targets(grid, search.targets)}
    # What kernels give has learnt from those who judge a trial.
    judged = modelling.model_copy(update={"strategies": (AMORTISED,), "average": (HEADS,)})

    def payload(values: dict[str, Any], _: Earlier) -> HeadTrial:
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
    return _plan("heads", search, work, rests_on, judge_heads, payload)


def _plan(
    kind: str,
    search: EncoderSearch | HeadSearch,
    work: Work,
    rests_on: tuple,
    judge: Callable,
    payload: Callable,
) -> StudyPlan:
    asked = search.model_dump(mode="json", exclude={"trials", "space"})
    space = {path: distribution_to_json(parameter) for path, parameter in search.space.items()}
    print_of = fingerprint_of(ENGINE, items.ENGINE, kind, asked, space, *rests_on, work.seed)
    start = {path: v for path, v in values_now(work.settings).items() if path in search.space}
    return StudyPlan(kind, print_of, search, start, work.seed, judge, payload)
