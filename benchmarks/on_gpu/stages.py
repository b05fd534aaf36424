"""Stages that have a limit, save their line as soon as they end, and are not done again."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch

from benchmarks.record import Figure, machine
from benchmarks.skills import parameters
from ukb_brain.atomic import atomic_path
from ukb_brain.cluster import pick_device, processors
from ukb_brain.cluster.start import worker_environment
from ukb_brain.grid import Grid
from ukb_brain.ledger.attempts import one_line
from ukb_brain.networks.registry import names

DONE, STOPPED, FAILED = "done", "stopped", "failed"
# What every line has beside what the stage found.
ABOUT = ("state", "why", "seconds", "machine", "toy")
SEED = 20_240
# Of the study's box: 128³ voxels of 1 mm, after a scaling by .7.
BOX_MM = 128 / 0.7
# What a stage found so far: whatever it holds when its time is over is kept.
Line = dict[str, Any]


class OutOfTime(BaseException):
    """A stage's time is over; no error, so that nothing tries the work again."""


@dataclass(frozen=True)
class Setup:
    """How large everything is, and where.

    Attributes
    ----------
    out : Path
        Everything is written there.
    edge, large : int
        Edges of volumes in voxels: of the cohort, and a larger one for throughput.
    batches : (int, int)
        People of a step, at both.
    compared : tuple of str
        Networks of volumes whose training is compared between devices, and fed from the store.
    encoder : str
        Network of volumes of the amortised strategy; the dedicated one has the study's.
    epochs : (int, int)
        Of shared encoders, and of networks of single cells.
    reference_people : int
        People who are drawn to learn what linear readers see.
    only : tuple of str
        Targets of the grid; all where there are none.
    dedicated : tuple of str
        Targets that get a network of their own, from all images.
    planner : float
        Seconds for which the planner tries work items that are alike.
    """

    out: Path
    device: torch.device
    toy: bool = False
    processes: int = field(default_factory=processors)
    people: int = 2_000
    reference_people: int = 3_200
    depth: bool = True
    edge: int = 64
    large: int = 128
    batches: tuple[int, int] = (64, 16)
    compared: tuple[str, ...] = field(default_factory=lambda: names("volume"))
    encoder: str = "sfcn"
    cross_fits: int = 4
    batch: int = 32
    epochs: tuple[int, int] = (20, 8)
    pooling_of_kernels: int = 3
    only: tuple[str, ...] = ()
    dedicated: tuple[str, ...] = ("age", "weight", "hypertension")
    planner: float = 1.0

    @classmethod
    def small(cls, out: Path) -> Setup:
        """All stages on the processor, by the same code, in a minute."""
        return cls(
            out,
            torch.device("cpu"),
            toy=True,
            processes=1,
            people=120,
            reference_people=200,
            edge=20,
            large=24,
            batches=(2, 2),
            compared=("light",),
            encoder="light",
            cross_fits=2,
            batch=16,
            epochs=(1, 1),
            pooling_of_kernels=4,
            only=("age", "hypertension"),
            dedicated=("age", "hypertension"),
            planner=0.01,
        )

    @classmethod
    def here(cls, out: Path) -> Setup:
        """Everything at its size, on the best device that is there."""
        return cls(out, pick_device())

    @property
    def voxel_mm(self) -> float:
        """Edge of the cohort's voxels."""
        return BOX_MM / self.edge

    @property
    def grid(self) -> Grid:
        """The study's grid, or a part of it."""
        return Grid(**parameters("grid")["grid"] | {"only": self.only})

    def line(self, name: str) -> Line:
        """Read what a stage found; nothing where it was not begun."""
        path = self.out / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else {}


class Stage(NamedTuple):
    """A stage: its share of the time in seconds, what it does, and its figures."""

    name: str
    share: float
    do: Callable[[Setup, Line], None]
    figures: Callable[[Line], list[Figure]]


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` within, in the main thread, after so many seconds."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_stages(stages: Sequence[Stage], setup: Setup, wanted: Iterable[str]) -> list[Figure]:
    """Do what is wanted and not done; what earlier stages leave of their time passes on.

    What failed or was stopped is tried again by the next run, which goes on with what is there.
    """
    started, until, figures = time.monotonic(), 0.0, []
    chosen = set(wanted)
    for stage in stages:
        until += stage.share
        if stage.name not in chosen:
            continue
        if setup.line(stage.name).get("state") != DONE:
            _run(stage, setup, until - (time.monotonic() - started))
        line = setup.line(stage.name)
        why = f": {line['why']}" if line["why"] else ""
        print(f"Stage {stage.name}: {line['state']}{why}, {line['seconds']:.0f} s", flush=True)
        figures += stage.figures(line)
    return figures


def _run(stage: Stage, setup: Setup, seconds: float) -> None:
    started, state, why = time.monotonic(), DONE, ""
    # What was found before it was stopped.
    found = {k: v for k, v in setup.line(stage.name).items() if k not in ABOUT}
    try:
        with limited(seconds):
            stage.do(setup, found)
    except OutOfTime:
        state, why = STOPPED, f"its {seconds:.0f} s were over"
    except Exception as error:
        # What is told of the end of the time may come out of a library as an error of its own.
        late = time.monotonic() - started >= seconds
        state, why = STOPPED if late else FAILED, one_line(error)
    passed = time.monotonic() - started
    about = dict(zip(ABOUT, (state, why, passed, machine(), setup.toy), strict=True))
    with atomic_path(setup.out / f"{stage.name}.json") as part:
        part.write_text(json.dumps(found | about, indent=1) + "\n")


def spread(function: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> Iterator[Any]:
    """Apply a function to jobs, in this process or in several that are started by spawn."""
    if processes == 1 or len(jobs) < 2:
        yield from map(function, jobs)
        return
    context, number = multiprocessing.get_context("spawn"), min(processes, len(jobs))
    with one_thread_each():
        pool = context.Pool(number, torch.set_num_threads, (1,))
    # Left in whatever way, a pool ends its processes.
    with pool:
        yield from pool.imap_unordered(function, jobs)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Within, processes are started whose libraries take one thread."""
    wanted = worker_environment(1)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
