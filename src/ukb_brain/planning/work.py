"""From what was measured to every work item of a strategy."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ukb_brain.grid import subsets
from ukb_brain.imaging.connectivity import nodes_of
from ukb_brain.planning.case import Case, Form
from ukb_brain.planning.kernels import MATRICES, gram_flops, learnt, set_flops
from ukb_brain.planning.measure import Rates
from ukb_brain.planning.memory import (
    is_kept,
    memory_of_cells,
    memory_of_training,
    width_of,
)
from ukb_brain.planning.steps import StepRate
from ukb_brain.training.dedicated import DEDICATED
from ukb_brain.training.kernels import KERNELS, LINEAR
from ukb_brain.training.tangents import BLOCK
from ukb_brain.training.target import AMORTISED

STRATEGIES = (LINEAR, KERNELS, AMORTISED, DEDICATED)
ENCODERS, CELLS, NETWORKS = "encoders", "cells", "networks"
TANGENTS, GRAMS, KERNEL_SETS = "tangents", "grams", "kernels"


@dataclass(frozen=True)
class Stage:
    """Work items that may run side by side; the next stage waits for all of them.

    Attributes
    ----------
    name : str
        What they are.
    seconds : tuple of float
        Of each item, in the order in which they start.
    trains : bool
        Whether they train networks, on a GPU where there is one.
    flops : float
        Of all items.
    basis : {"measured", "scaled", "assumed"}
        How seconds were found.
    process_bytes, device_bytes : float
        Most memory of one item, beside what a process has anyway.
    disk_bytes : float
        Of all models.
    """

    name: str
    seconds: tuple[float, ...]
    trains: bool
    flops: float
    basis: str
    process_bytes: float
    device_bytes: float = 0.0
    disk_bytes: float = 0.0


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Seconds until all items are done, each started by whichever worker is free first.

    Parameters
    ----------
    seconds : sequence of float
        Of each item, in the order in which they start.
    workers : int
        Items at a time. An item is never split: many workers do few items no faster than the
        longest of them.

    Returns
    -------
    float
    """
    free = [0.0] * min(workers, max(1, len(seconds)))
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


def stages_of(case: Case, rates: Rates) -> dict[str, list[Stage]]:
    """List the work of each strategy, whatever the run's own strategies are.

    Parameters
    ----------
    case : Case
        What is planned.
    rates : Rates
        What was measured.

    Returns
    -------
    dict of str to list of Stage
        Amortised holds what it is averaged with: kernels where the run has them, else linear.
    """
    read = [*_tangents(case, rates), _grams(case, rates)]
    of = {s: [*read, _kernels(case, rates, s == KERNELS)] for s in (LINEAR, KERNELS)}
    averaged = of[KERNELS if KERNELS in case.modelling.strategies else LINEAR]
    return {
        **of,
        AMORTISED: [*averaged, _encoders(case, rates), _cells(case, rates)],
        DEDICATED: [_dedicated(case, rates)],
    }


def _basis(found: Sequence[str]) -> str:
    return next((b for b in ("assumed", "scaled") if b in found), "measured")


def _tangents(case: Case, rates: Rates) -> list[Stage]:
    """Two decompositions of a training person's connectivity, and one of everybody else's."""
    parts = case.parts
    if not case.modelling.tangent or all(len(s) > 1 for s in case.shapes(1).values()):
        return []
    regions = nodes_of(case.planning.edges)
    # By the counts of LAPACK's manual, and three products of matrices.
    each = (9 + 3 * 2) * float(regions) ** 3
    wide = regions * (regions + 1) / 2
    sizes = [min(BLOCK, parts.people - k) for k in range(0, parts.people, BLOCK)]
    seconds = [parts.train * each / rates.inverses, *(n * each / rates.inverses for n in sizes)]
    return [
        Stage(
            TANGENTS,
            tuple(seconds) * parts.folds,
            False,
            (parts.train + parts.people) * each * parts.folds,
            "scaled",
            2 * 4.0 * max(sizes) * wide,
            0.0,
            4.0 * parts.people * wide * parts.folds,
        )
    ]


def _grams(case: Case, rates: Rates) -> Stage:
    s, parts, people = case.modelling.kernels, case.parts, learnt(case)
    flops = [gram_flops(case, group) for group in case.grid.imaging]
    # Training people once for their mean, everybody once, and more where they come in tiles.
    read = [(parts.train + parts.people) * rates.reading[s.pooling][g] for g in case.grid.imaging]
    seconds = [count / rates.inverses + each for count, each in zip(flops, read, strict=True)]
    matrix = 4.0 * parts.people * people
    return Stage(
        GRAMS,
        tuple(seconds) * parts.folds,
        False,
        sum(flops) * parts.folds,
        "scaled",
        s.memory_gb * 1e9 + matrix,
        0.0,
        len(flops) * matrix * parts.folds,
    )


def _kernels(case: Case, rates: Rates, nonlinear: bool) -> Stage:
    parts, people = case.parts, learnt(case)
    sets = list(dict.fromkeys(cell.inputs.groups for cell in case.grid.cells))
    flops = [set_flops(case, groups, nonlinear) for groups in sets]
    return Stage(
        KERNEL_SETS,
        tuple(count / rates.inverses for count in flops) * parts.folds,
        False,
        sum(flops) * parts.folds,
        "scaled",
        8.0 * MATRICES * parts.people * people,
        0.0,
        len(case.grid.cells) * (8.0 * parts.people + 4.0 * people) * parts.folds,
    )


def _cells(case: Case, rates: Rates) -> Stage:
    s, parts, grid = case.modelling, case.parts, case.grid
    seeds = s.encoders.seeds
    seconds, flops = [], 0.0
    for target in grid.targets.values():
        rate = rates.cells["base" if target.domain == grid.base_domain else "other"]
        seconds.append(seeds * rate.seconds(parts.train))
        flops += seeds * rate.flops
    # Those of linear and kernels are kept beside.
    members = 2 + seeds
    predictions = 8.0 * members * len(grid.cells) * (parts.validation + parts.test)
    coefficients = 8.0 * seeds * sum(1 + width_of(case, cell) for cell in grid.cells)
    return Stage(
        CELLS,
        tuple(seconds) * parts.folds,
        False,
        flops * parts.folds,
        "measured",
        memory_of_cells(case),
        0.0,
        (predictions + coefficients) * parts.folds,
    )


def _trained(case: Case, form: Form, rate: StepRate, fitted: int, reading: float) -> float:
    """Seconds of one training with its predictions."""
    loop, parts = form.loop, case.parts
    size = min(loop.batch_size, fitted)
    steps = max(1, fitted // size)
    compute = steps * (rate.fixed + rate.person * size) + parts.validation * rate.predict
    predicted = parts.people - fitted
    kept, read = is_kept(case, form), 0.0
    if kept:
        read = parts.people * reading
    else:
        anew = (steps * size + parts.validation) * reading
        # A GPU computes while the next batch is read; on the CPU both need the processors.
        compute = compute + anew if rate.device == "cpu" else max(compute, anew)
        read = predicted * reading
    return (
        rate.start
        + read
        + loop.epochs_for(fitted) * (compute + rate.epoch)
        + predicted * rate.predict
    )


def _encoders(case: Case, rates: Rates) -> Stage:
    s, parts, rate, form = case.modelling.encoders, case.parts, rates.encoders, case.encoders
    fitted = round(parts.train * (1 - 1 / s.cross_fits))
    reading = sum(rates.reading[s.network.pooling].values())
    items = parts.folds * s.seeds * s.cross_fits
    outputs = 4.0 * len(subsets(tuple(case.grid.imaging))[1:]) * parts.people * form.outputs
    return Stage(
        ENCODERS,
        (_trained(case, form, rate, fitted, reading),) * items,
        True,
        float(rate.cost.training_flops) * fitted * s.loop.epochs_for(fitted) * items,
        rate.basis,
        memory_of_training(case, form, rate),
        rate.device_bytes,
        items * (outputs + 4.0 * rate.cost.parameters),
    )


def _dedicated(case: Case, rates: Rates) -> Stage:
    s, parts = case.modelling.dedicated, case.parts
    single: dict[tuple[str, ...], float] = {}
    memory = []
    for groups, rate in rates.dedicated.items():
        form = case.dedicated(groups)
        reading = sum(rates.reading[s.network.pooling][g] for g in groups)
        single[groups] = _trained(case, form, rate, parts.train, reading)
        memory.append(memory_of_training(case, form, rate))
    cells = Counter(cell.inputs.groups for cell in case.cells)
    count = s.seeds * parts.folds
    seconds = [single[cell.inputs.groups] for cell in case.cells for _ in range(s.seeds)]
    flops = disk = 0.0
    for groups, number in cells.items():
        cost = rates.dedicated[groups].cost
        flops += (
            float(cost.training_flops)
            * parts.train
            * s.loop.epochs_for(parts.train)
            * number
            * count
        )
        predictions = 8.0 * (parts.validation + parts.test)
        disk += number * count * (4.0 * cost.parameters + predictions)
    return Stage(
        NETWORKS,
        tuple(seconds) * parts.folds,
        True,
        flops,
        _basis([rate.basis for rate in rates.dedicated.values()]),
        max(memory),
        max(rate.device_bytes for rate in rates.dedicated.values()),
        disk,
    )
