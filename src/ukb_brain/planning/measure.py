"""Real items of every kind, done on invented people: ever more of them, as long as time allows."""

import math
import timeit
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from ukb_brain.ledger import WorkItem
from ukb_brain.ledger.artifact import Card
from ukb_brain.planning.case import Case, Parts
from ukb_brain.planning.invented import write_encodings, write_gram
from ukb_brain.planning.needs import store_bytes
from ukb_brain.planning.rehearsal import KINDS, NetworkJob, Rehearsal, Run, fitted_on
from ukb_brain.training.kernel_ridge import invert
from ukb_brain.training.settings import (
    AMORTISED,
    KERNELS,
    LINEAR,
    Encoders,
    Modelling,
    Pretrain,
    Refine,
)

Key = tuple[str, Hashable]
Runs = defaultdict[Key, list[Run]]
# People of the first items, where scans are read and where they are not; each round has twice as
# many, and may take so many times as long.
FIRST_READ, FIRST, GROWTH = 16, 200, 3
# Bytes of invented scans.
SCANS = 1e9
# Of networks: people of the first training, epochs of the last one, least people of a part, and
# voxels that the CPU is given at most.
FEWEST, LONGER, LEAST, VOXELS = 24, 3, 12, 32**3
# Of pairs and triples of people; and people of the inverse that is timed for them.
PRODUCTS, INVERTED = ("grams", "kernels"), 2_000


@dataclass(frozen=True)
class Found:
    """What items that are alike take.

    Attributes
    ----------
    seconds, flops, disk : ndarray
        Coefficients of `Kind.terms`; of a network operations are of one person and epoch. Disk is
        in bytes.
    last : Run
        With the most people.
    basis : {"measured", "scaled"}
        Whether items were as they are planned.
    grown : float
        How many times as many voxels are planned.
    at : str
        What was tried of networks, in words.
    """

    seconds: NDArray[np.float64]
    flops: NDArray[np.float64]
    disk: NDArray[np.float64]
    last: Run
    basis: str
    grown: float = 1.0
    at: str = ""


def with_strategy(case: Case, strategy: str) -> Case:
    """Plan a strategy, and what that rests on: amortised rests on kernels too."""
    s = case.modelling
    averaged = (LINEAR, KERNELS) if KERNELS in s.strategies else (LINEAR,)
    rests_on = {KERNELS: (LINEAR,), AMORTISED: averaged}.get(strategy, ())
    own = s.dedicated.model_copy(update={"cells": case.planning.dedicated_cells})
    changes = {"strategies": (*rests_on, strategy), "dedicated": own}
    return replace(case, modelling=s.model_copy(update=changes))


def law_of(terms: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """Find coefficients of terms by least squares; none is negative, and the largest count most."""
    X, y = np.array(terms, dtype=float), np.array(values, dtype=float)
    scale = X.max(axis=0)
    return nnls(X / scale, y)[0] / scale


def _found(kind: str, runs: Sequence[Run], most: int, speed: float = math.inf) -> Found:
    terms = np.array([KINDS[kind].terms(run.payload) for run in runs], dtype=float)
    took = np.array([run.card["seconds"] for run in runs])
    flops = law_of(terms, [_flops(run.card) for run in runs])
    if kind in PRODUCTS:
        # A few people do not show what grows fastest; operations do.
        top = flops[-1] / speed
        rest = np.maximum(took - top * terms[:, -1], 0)
        seconds = np.append(law_of(terms[:, :-1], rest), top)
    else:
        seconds = law_of(terms, took)
    return Found(
        seconds,
        flops,
        law_of(terms[:, : KINDS[kind].sizes], [run.disk for run in runs]),
        runs[-1],
        "measured" if len(runs[-1].payload.people.eid) == most else "scaled",
    )


def _speed(device: str) -> float:
    """Time what fits kernels: operations a second of an inverse."""
    kernel = torch.eye(INVERTED, dtype=torch.float64, device="cuda" if device == "cuda" else "cpu")

    def inverse() -> float:
        # The sum waits for the device.
        return float(cast(torch.Tensor, invert(kernel, 1.0)).sum())

    return INVERTED**3 / min(timeit.repeat(inverse, number=1, repeat=3))


def _flops(card: Card) -> float:
    rows: list[dict[str, Any]] = card.get("fits") or card.get("cells") or []
    return float(card["flops"] if "flops" in card else sum(row.get("flops", 0.0) for row in rows))


def _fewer(whole: Rehearsal, people: int) -> Rehearsal:
    """Take fewer people, who meet a share of the limits that all would meet."""
    asked, s = whole.case.parts, whole.case.modelling.kernels
    share = people / asked.people
    held, tested = max(1, round(share * asked.validation)), max(1, round(share * asked.test))
    exact = math.ceil(share * s.exact_people) + 2
    few = s.model_copy(update={"memory_gb": share * s.memory_gb, "exact_people": exact})
    settings = whole.case.modelling.model_copy(update={"kernels": few})
    parts = Parts(1, people - held - tested, held, tested)
    return replace(whole, case=replace(whole.case, parts=parts, modelling=settings))


def _doubling(
    items: Callable[[int], Iterator[tuple[str, WorkItem, Rehearsal]]],
    first: int,
    whole: Rehearsal,
    limit: float = math.inf,
) -> dict[Key, Found]:
    """Do items of ever more people, two rounds at least unless more than a limit would be there."""
    runs, most = Runs(list), whole.case.parts.people
    people, rounds = min(first, most), 0
    while True:
        longest, rounds = 0.0, rounds + 1
        for kind, item, few in items(people):
            run = few.do(kind, item)
            runs[kind, KINDS[kind].alike(item.payload)].append(run)
            longest = max(longest, run.card["seconds"])
        more, slow = min(2 * people, most), longest * GROWTH > whole.case.planning.seconds
        if people == most or more > limit or (slow and rounds > 1):
            speed = _speed(whole.device)
            return {key: _found(key[0], own, most, speed) for key, own in runs.items()}
        people = more


def measure_reading(whole: Rehearsal) -> dict[Key, Found]:
    """Read and multiply scans."""

    def items(people: int) -> Iterator[tuple[str, WorkItem, Rehearsal]]:
        few = _fewer(whole, people)
        few.write(few.case.grid.imaging)
        for kind in ("steps", "vectors", "grams"):
            yield from ((kind, item, few) for item in few.items(kind))

    each = store_bytes(whole.case) / whole.case.parts.people
    return _doubling(items, FIRST_READ, whole, max(2 * FIRST_READ, SCANS / each))


def measure_regressions(wholes: Sequence[Rehearsal]) -> dict[Key, Found]:
    """Fit kernels and cells on invented products of scans and encodings."""

    def items(people: int) -> Iterator[tuple[str, WorkItem, Rehearsal]]:
        for whole in wholes:
            few = replace(_fewer(whole, people), folder=whole.folder.with_name(str(people)))
            for item in few.items("grams"):
                write_gram(few.folder / "grams" / item.name, item.payload)
            for item in few.items("encoders"):
                write_encodings(few.folder / "encoders" / item.name, item.payload)
            # Cells rest on kernels of every set of imaging groups, and nothing rests on cells.
            yield from (("kernels", item, few) for item in few.items("kernels"))
            some = {KINDS["cells"].alike(item.payload): item for item in few.items("cells")}
            yield from (("cells", item, few) for item in some.values())

    return _doubling(items, FIRST, wholes[0])


def measure_networks(whole: Rehearsal, kind: str) -> dict[Key, Found]:
    """Train one network of each that are alike."""
    jobs: dict[Hashable, NetworkJob] = {}
    for item in whole.items(kind):
        jobs.setdefault(KINDS[kind].alike(item.payload), item.payload)
    return {(kind, alike): _trained(whole, kind, job) for alike, job in jobs.items()}


def _trained(whole: Rehearsal, kind: str, job: NetworkJob) -> Found:
    """Train with as many people as the time allows, with half of them, and for longer."""
    case, asked, most = whole.case, whole.case.parts, fitted_on(job)
    shrunk, small, pooling = 1, case, job.settings.network.pooling
    volumes = any(len(case.shapes()[group]) > 1 for group in job.scans)
    # The CPU is given a smaller grid: what a network does there is in proportion to voxels.
    while volumes and whole.device == "cpu" and math.prod(small.pooled(pooling)) > VOXELS:
        shrunk *= 2
        small = replace(case, voxels=case.pooled(shrunk))
    alike = KINDS[kind].alike
    here, there = small.pooled(pooling), case.pooled(pooling)
    grown = math.prod(there) / math.prod(here) if volumes else 1.0

    def run(fitted: int, epochs: int) -> Run:
        share = fitted / most
        held = max(LEAST, round(share * asked.validation))
        parts = Parts(1, round(share * asked.train), held, max(2, round(share * asked.test)))
        settings = _brief(case.modelling, kind, epochs, parts.people / asked.people / grown)
        folder = whole.folder.with_name(f"shrunk-{shrunk}")
        few = Rehearsal(replace(small, parts=parts, modelling=settings), whole.device, folder)
        few.write(job.scans)
        return few.do(kind, next(i for i in few.items(kind) if alike(i.payload) == alike(job)))

    longest = min(LONGER, job.settings.loop.epochs_for(most))
    # The first warms up.
    run(min(LEAST, most), 1)
    people = min(FEWEST, most)
    once = run(people, 1)
    while once.card["seconds"] * 2 * LONGER < case.planning.seconds and people < most:
        people = min(2 * people, most)
        once = run(people, 1)
    runs = [run(max(LEAST, people // 2), 1), once, run(people, longest)]
    found = _found(kind, runs, asked.people)
    as_planned = grown == 1 and people >= min(most, job.settings.loop.batch_size)
    grid = " × ".join(map(str, here)) + ", " if volumes else ""
    return replace(
        found,
        seconds=found.seconds * np.array([1.0, grown, grown]),
        # Of one person who passes once; a few people's validation people count for too much.
        flops=np.array([once.card["flops_per_sample"] * grown]),
        basis="measured" if as_planned else "scaled",
        grown=grown,
        at=f"{grid}{people:,} people and {longest} epochs",
    )


def _brief(settings: Modelling, kind: str, epochs: int, kept: float) -> Modelling:
    """Train for some epochs, and keep scans in memory where those of all would be kept."""
    s = getattr(settings, kind)
    loop = s.loop.model_copy(update={"epochs": epochs, "least_steps": 0, "patience": 0})
    # Files may be for the planned grid only.
    network = s.network.model_copy(update={"start": {}})
    less = {"loop": loop, "network": network, "cache_gb": s.cache_gb * kept, "seeds": 1}
    less |= {"pretrain": Pretrain(), "refine": Refine()} if isinstance(s, Encoders) else {}
    own = s.model_copy(update=less)
    return settings.model_copy(update={kind: own})
