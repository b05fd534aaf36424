"""Stages 3 and 4: the whole amortised modelling of the cohort, and networks of single cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.on_gpu.cohort import Cohort, make_cohort, truth_of
from benchmarks.on_gpu.stages import SEED, Line, Setup, spread
from benchmarks.record import Figure
from benchmarks.skills import parameters, reachable, skill_draws, with_interval
from ukb_brain.cluster import Compute
from ukb_brain.grid import Grid
from ukb_brain.ledger import WorkItem, run_ledger
from ukb_brain.ledger.artifact import Model, ModelFolder
from ukb_brain.ledger.attempts import Attempts
from ukb_brain.training import items
from ukb_brain.training.dedicated import train_dedicated
from ukb_brain.training.encode import EncoderJob, train_encoders
from ukb_brain.training.gram import gram_of_group
from ukb_brain.training.items import ON_DEVICE, Work
from ukb_brain.training.kernels import fit_kernels
from ukb_brain.training.results import prediction_tables
from ukb_brain.training.settings import (
    AMORTISED,
    DEDICATED,
    KERNELS,
    LINEAR,
    Encoders,
    Modelling,
)
from ukb_brain.training.target import fit_cells_of_target
from ukb_brain.training.vectors import steps_of_group, vectors_of_block

PRESET = "study64"
COMPARED = (AMORTISED, KERNELS, LINEAR)
# Of the average of heads and kernels.
MAP = AMORTISED
# What an oracle reads beyond the best linear reader, from which on a cell is a deep one.
LEAST_MARGIN = 0.05
Function = Callable[[Any, Path], Model]


def settings_of(setup: Setup) -> Modelling:
    """Take the preset study64 but for encoders, and for trainings as short as the time asks for."""
    preset, base = parameters("presets")["presets"][PRESET], parameters("modelling")["modelling"]
    loop = {"batch_size": setup.batch, "augment": preset["encoders"]["loop"]["augment"]}
    shared, own = ({"epochs": epochs, "learning_rate": 1e-3} | loop for epochs in setup.epochs)
    encoders = {
        "cross_fits": setup.cross_fits,
        "network": {"volume": setup.encoder, "dropout": 0.3},
        "loop": shared | {"ema": 0.98},
    }
    dedicated = {"network": preset["dedicated"]["network"], "loop": own}
    chosen = {"strategies": [LINEAR, KERNELS, AMORTISED, DEDICATED], "encoders": encoders}
    kernels = preset["kernels"] | {"pooling": setup.pooling_of_kernels}
    return Modelling(**base | chosen | {"kernels": kernels, "dedicated": dedicated})


def work_of(setup: Setup, cohort: Cohort) -> Work:
    """Plan all work items, as the pipeline does."""
    compute = Compute(workers=1, device=setup.device.type, retries=0)
    given = (cohort.people, cohort.scans, cohort.grid, settings_of(setup), compute, SEED)
    return Work((setup.out / "models").resolve(), *given)


def encoders_of(setup: Setup, cohort: Cohort, settings: Encoders) -> EncoderJob:
    """Plan one network of shared encoders, that learns from all parts but the first."""
    people = cohort.people[0]
    scans = cohort.scans.read_as(settings.network.pooling, settings_of(setup), people).groups
    binary = {key: target.kind == "binary" for key, target in cohort.grid.targets.items()}
    parts = people.cross_fits(settings.cross_fits)
    return EncoderJob(people, scans, binary, settings, SEED, setup.device.type, parts, 0)


def steps_of(work: Work) -> Iterator[tuple[str, Function, Callable[..., Iterator[WorkItem]]]]:
    """Name the kinds of work in their order, what does each, and what lists its items."""
    folder = {kind: ModelFolder(work.folder / kind) for kind in (*ON_DEVICE, "steps", "vectors")}
    yield "steps", steps_of_group, lambda: items.step_items(work)
    yield "vectors", vectors_of_block, lambda: items.vector_items(work, folder["steps"])
    yield "encoders", train_encoders, lambda: items.encoder_items(work, folder["vectors"])
    yield "grams", gram_of_group, lambda: items.gram_items(work, folder["vectors"])
    yield "kernels", fit_kernels, lambda: items.kernel_items(work, folder["grams"])
    both = (folder["encoders"], folder["kernels"])
    yield "cells", fit_cells_of_target, lambda: items.cell_items(work, *both)


def done(
    function: Function, todo: Iterable[WorkItem], folder: Path, compute: Compute, processes: int = 1
) -> list[dict[str, Any]]:
    """Do work items that are not done, in this process or in several, and give their cards."""
    todo = list(todo)
    if processes > 1:
        attempts = Attempts(function, folder, compute.device, compute.retries + 1, "gpu")
        for _ in spread(attempts, todo, processes):
            pass
    return run_ledger(function, todo, folder, compute, folder.name)


def amortised(setup: Setup, found: Line) -> None:
    """Model the cohort, and hold its map against the truth."""
    cohort = make_cohort(setup)
    work, started = work_of(setup, cohort), time.perf_counter()
    seconds, failed = found.setdefault("seconds_of_items", {}), found.setdefault("failed", {})
    for kind, function, todo in steps_of(work):
        processes = 1 if kind in ON_DEVICE else setup.processes
        cards = done(function, todo(), work.folder / kind, work.compute, processes)
        seconds[kind] = sum(card.get("seconds", 0.0) for card in cards)
        reasons = {card["reason"] or card.get("diverged", "") for card in cards}
        if any(reasons):
            failed[kind] = sorted(reasons - {""})
    found["seconds_of_modelling"] = time.perf_counter() - started
    on_card = sum(each for kind, each in seconds.items() if kind in ON_DEVICE)
    found["gpu_hours"] = on_card / 3600
    found["cells"], found["precision"] = len(cohort.grid.cells), _precision(work)
    tables = predictions(ModelFolder(work.folder / "cells"), work)
    families, grid = cohort.families, cohort.grid
    skill = {s: skill_draws(of(tables, s), families, grid, 1)[0] for s in COMPARED}
    found["mean_skill"] = {strategy: float(each.mean()) for strategy, each in skill.items()}
    truth = truth_of(setup)
    known = reachable(truth)
    found["reachable"] = float(known.loc[skill[MAP].index].mean())
    found["rank_correlation"] = float(skill[MAP].corr(known, method="spearman"))
    found["age"] = {s: float(each[_fullest(grid, "age")]) for s, each in skill.items()}
    found["margins"] = {s: margins(of(tables, s), families, truth, grid) for s in COMPARED}


def _precision(work: Work) -> str:
    cards = ModelFolder(work.folder / "encoders").cards().values()
    return next((card["precision"] for card in cards if "precision" in card), "")


def _fullest(grid: Grid, target: str) -> tuple[str, str]:
    return target, grid.imaging_alone(target).name


def predictions(models: ModelFolder, work: Work) -> pd.DataFrame:
    """Gather predictions of test people."""
    people = work.people[0]
    each = (prediction_tables(models.read(name), people, SEED) for name in models.names())
    tables = [table for of in each for table in of]
    every = pd.concat(tables, ignore_index=True)
    return every[every["split"] == "test"]


def of(predicted: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Take those of one strategy."""
    return predicted[predicted["strategy"] == strategy]


def margins(
    predicted: pd.DataFrame, families: pd.Series, truth: pd.DataFrame, grid: Grid
) -> dict[str, dict[str, float]]:
    """Say how much was read of what no linear reader reaches, from all images.

    Parameters
    ----------
    predicted : pandas.DataFrame
        Of test people by one strategy.
    truth : pandas.DataFrame
        With ``reachable_linear`` if the truth has depth; there are no margins otherwise.

    Returns
    -------
    dict
        By target with a margin of `LEAST_MARGIN` and more: the ``margin``, and of it the ``share``
        with a 95 % interval over families, ``low`` and ``high``.
    """
    if "reachable_linear" not in truth:
        return {}
    most, least = reachable(truth), reachable(truth.assign(reachable=truth["reachable_linear"]))
    cells = [_fullest(grid, target) for target in grid.targets]
    deep = [cell for cell in cells if cell in most and most[cell] - least[cell] >= LEAST_MARGIN]
    shares = {}
    for target, inputs in deep:
        mine = predicted[(predicted["target"] == target) & (predicted["inputs"] == inputs)]
        if len(mine):
            drawn, cell = skill_draws(mine, families, grid).iloc[0], (target, inputs)
            margin = float(most[cell] - least[cell])
            share, interval = with_interval((drawn - least[cell]) / margin)
            shares[target] = {"margin": margin, "share": share} | interval
    return shares


def dedicated_items(setup: Setup, work: Work) -> dict[str, WorkItem]:
    """List the networks of single cells that are trained, all images of a target each."""
    wanted = {_fullest(work.grid, target): target for target in setup.dedicated}
    every = ((item, item.card["cell"]) for item in items.dedicated_items(work))
    mine = {(cell["target"], cell["inputs"]): item for item, cell in every}
    return {target: mine[cell] for cell, target in wanted.items()}


def dedicated(setup: Setup, found: Line) -> None:
    """Train the study's network on some cells, and hold skill and cost beside the map's."""
    cohort, cells = make_cohort(setup), found.setdefault("cells", {})
    work, whole = work_of(setup, cohort), setup.line("3")
    for target, item in dedicated_items(setup, work).items():
        folder = work.folder / DEDICATED / target
        (card,) = done(train_dedicated, [item], folder, work.compute)
        row = cells[target] = {
            "inputs": item.card["cell"]["inputs"],
            "seconds": card.get("seconds"),
        }
        reason = card["reason"] or card["cells"][0]["status"]
        if reason != "ok":
            row["reason"] = reason
            continue
        row |= {key: card[key] for key in ("precision", "n_fitted", "best_epoch", "wait_share")}
        own = skill_draws(predictions(ModelFolder(folder), work), cohort.families, cohort.grid)
        row["skill"] = float(own.iloc[0, 0])
        if "mean_skill" in whole:
            shared = of(predictions(ModelFolder(work.folder / "cells"), work), MAP)
            same = shared[(shared["target"] == target) & (shared["inputs"] == row["inputs"])]
            theirs = skill_draws(same, cohort.families, cohort.grid)
            change, interval = with_interval((theirs - own).iloc[0])
            row["skill_of_map"] = float(theirs.iloc[0, 0])
            row["map_minus_dedicated"] = {"value": change} | interval
            row["seconds_of_map"] = sum(whole["seconds_of_items"].values()) / whole["cells"]


def figures_of_map(line: Line) -> list[Figure]:
    """Cost of the whole grid, and how its map compares with the truth."""
    if "gpu_hours" not in line:
        return []
    about = {"seconds": line["seconds_of_items"], "cells": line["cells"]}
    name = "gpu, 3: amortised modelling of the cohort"
    found = [
        Figure(name, line["gpu_hours"], "GPU hours", more=about | {"failed": line["failed"]}),
        Figure(f"{name}, all together", line["seconds_of_modelling"], "s"),
    ]
    if "rank_correlation" in line:
        more = line["mean_skill"] | {"reachable": line["reachable"], "age": line["age"]}
        found += [
            Figure("gpu, 3: mean skill of the map", line["mean_skill"][MAP], more=more),
            Figure("gpu, 3: rank correlation with the truth", line["rank_correlation"]),
        ]
    for strategy, targets in line.get("margins", {}).items():
        found += [
            Figure(
                f"gpu, 3: {strategy}, share of the deep margin of {target}", row["share"], more=row
            )
            for target, row in targets.items()
        ]
    return found


def figures_of_cells(line: Line) -> list[Figure]:
    """Skill and cost of networks of single cells."""
    found = []
    for target, row in line.get("cells", {}).items():
        if "skill" in row:
            name = f"gpu, 4: {target}, {row['inputs']}, the study's network"
            found.append(Figure(name, row["skill"], "skill", more=row))
    return found
