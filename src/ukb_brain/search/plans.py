"""What the two studies are: checked, blind to test people, and named by all that they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.ledger import fingerprint_of
from ukb_brain.ledger.artifact import read_card, read_model
from ukb_brain.search.encoders import EncoderTrial, try_encoders
from ukb_brain.search.heads import HeadTrial, chosen_targets, try_heads
from ukb_brain.search.settings import (
    EncoderSearch,
    HeadSearch,
    Pruner,
    StudySettings,
)
from ukb_brain.search.space import (
    Shapes,
    changed,
    check_networks,
    check_space,
    value_now,
)
from ukb_brain.search.study import Plan
from ukb_brain.search.trial import History
from ukb_brain.tables.splits import check_fitted_on
from ukb_brain.training import items
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans, quality_fingerprint
from ukb_brain.training.settings import Modelling
from ukb_brain.training.target import AMORTISED, HEADS, CellsJob

# Raised whenever the same study would give other values.
ENGINE = 2
NOBODY = "left out"


def without_test(people: People) -> People:
    """Take from test people everything that a search might look at.

    Parameters
    ----------
    people : People
        Of a fold.

    Returns
    -------
    People
        In the same rows. Test people are in no part, and have no target, trait or scan.
    """
    gone = ~np.isin(people.part, ["train", "validation"])
    return replace(
        people,
        part=np.where(gone, NOBODY, people.part),
        targets={name: np.where(gone, np.nan, y) for name, y in people.targets.items()},
        blocks={name: np.where(gone[:, None], 0.0, x) for name, x in people.blocks.items()},
        has={name: has & ~gone for name, has in people.has.items()},
    )


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def plan_encoders(
    search: EncoderSearch,
    people: People,
    scans: Mapping[str, GroupScans],
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    seed: int,
    device: str,
) -> Plan:
    """Plan the search of encoders, after checks.

    Parameters
    ----------
    search : EncoderSearch
        What is tried.
    people : People
        Of the fold, from `without_test`.
    scans : dict of str to GroupScans
        By imaging group.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Targets.
    modelling : Modelling
        Settings as they are.
    seed : int
        Of the run.
    device : str
        Where networks are trained.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If the space names what does not exist, or values that cannot be.
    """
    space = search.varied
    check_space("encoders", space, modelling)
    check_networks(space, modelling, lambda pooling: _shapes(people, scans, pooling))
    binary = {key: target.kind == "binary" for key, target in grid.targets.items()}
    parts = people.cross_fits(modelling.encoders.cross_fits)
    own = _seed(seed, people.fold)

    def payload(values: dict[str, Any], history: History) -> EncoderTrial:
        settings = changed(modelling, values).encoders
        mine = {g: replace(s, pooling=settings.network.pooling) for g, s in scans.items()}
        job = EncoderJob(0, parts, people, mine, binary, settings, own, device)
        return EncoderTrial(job, history)

    seen = quality[quality["eid"].isin(people.eid[people.part != NOBODY])]
    fingerprint = fingerprint_of(
        ENGINE,
        items.ENGINE,
        "encoders",
        search.model_dump(mode="json", exclude={"trials"}),
        modelling.encoders.model_dump(mode="json", exclude={"seeds", "cache_gb"}),
        items.people_fingerprint(people),
        quality_fingerprint(seen),
        list(binary.values()),
        seed,
    )
    lengths = search.space.get("encoders.loop.epochs")
    epochs = max([*lengths.ends, 1]) if lengths else modelling.encoders.loop.epochs
    return _plan(
        "encoders", search, modelling, fingerprint, seed, search.pruner, epochs,
        try_encoders, payload,
    )  # fmt: skip


def _shapes(people: People, scans: Mapping[str, GroupScans], pooling: int) -> Shapes:
    shapes = {}
    for group, has in people.has.items():
        rows = np.flatnonzero(has)[:1]
        if len(rows):
            key = (int(people.eid[rows[0]]), int(people.instance[rows[0]]))
            shapes[group] = replace(scans[group], pooling=pooling).read([key])[0].shape
    return shapes


def plan_heads(
    search: HeadSearch, people: People, folder: Path, grid: Grid, modelling: Modelling, seed: int
) -> Plan:
    """Plan the search of the cells' regressions, on models that are there, after checks.

    Parameters
    ----------
    search : HeadSearch
        What is tried.
    people : People
        Of the fold, from `without_test`.
    folder : Path
        Of all models.
    grid : Grid
        Cells.
    modelling : Modelling
        Settings as they are.
    seed : int
        Of the run.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If the space names what does not exist, or values that cannot be; if models are missing, or
        are of other people or settings.
    """
    space = search.varied
    check_space("heads", space, modelling)
    groups, s = tuple(grid.imaging), modelling.encoders
    if AMORTISED not in modelling.strategies:
        raise InputError(
            "The search of heads needs encoders, and modelling.strategies has no amortised: add "
            "it, or set search.heads.trials to 0."
        )
    encoders = [
        {
            part: folder / "encoders" / items.encoder_name(people.fold, member, part)
            for part in range(s.cross_fits)
        }
        for member in range(s.seeds)
    ]
    networks = [path for each in encoders for path in each.values()]
    _check_models(networks, people, modelling, "encoders")
    cells = items.cells_by_target(grid)
    targets = chosen_targets(grid, search.targets)

    # What kernels give has learnt from those who judge a trial.
    judged = modelling.model_copy(update={"strategies": (AMORTISED,), "average": (HEADS,)})

    def payload(values: dict[str, Any], history: History) -> HeadTrial:
        settings = changed(judged, values)
        jobs = [
            CellsJob(
                t,
                grid.targets[t].kind,
                cells[t],
                groups,
                people,
                encoders,
                {},
                settings,
            )
            for t in targets
        ]
        return HeadTrial(tuple(jobs), search.parts)

    seen = people.part != NOBODY
    features = [read_model(path, ("outputs",)).arrays["outputs"][:, seen] for path in networks]
    names = {"cross_fits", "heads", "ladder"}
    fingerprint = fingerprint_of(
        ENGINE,
        items.ENGINE,
        "heads",
        search.model_dump(mode="json", exclude={"trials"}),
        modelling.model_dump(mode="json", include=names),
        items.people_fingerprint(people),
        [(cell.target, cell.inputs.name) for cell in grid.cells],
        features,
        seed,
    )
    pruner = Pruner(kind="none")
    return _plan("heads", search, modelling, fingerprint, seed, pruner, 0, try_heads, payload)


def _plan(
    kind: str,
    search: StudySettings,
    modelling: Modelling,
    fingerprint: str,
    seed: int,
    pruner: Pruner,
    epochs: int,
    function: Any,
    payload: Any,
) -> Plan:
    now = {path: value_now(modelling, path) for path in search.varied}
    return Plan(
        kind=kind,
        fingerprint=fingerprint,
        space=search.varied,
        start={path: value for path, (known, value) in now.items() if known},
        trials=search.trials,
        round=search.round,
        at_random=search.at_random,
        seed=seed,
        pruner=pruner,
        epochs=epochs,
        function=function,
        payload=payload,
    )


def _check_models(paths: list[Path], people: People, modelling: Modelling, kind: str) -> None:
    cards = {path.name: read_card(path) or {"status": "missing"} for path in paths}
    absent = [name for name, card in cards.items() if card.get("status", "ok") != "ok"]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(cards)} models of {kind} are missing or failed, and the search "
            "of heads needs them all: run `kedro run --pipelines modelling`, or set "
            "search.heads.trials to 0."
        )
    for name, card in cards.items():
        check_fitted_on(card["training_people"], people.fingerprint, name)
        items.check_settings(card, getattr(modelling, kind), f"model {name}")
