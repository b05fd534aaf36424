"""Stage 1: the same tiny training on the card and on the processor, in bf16, and after a kill.

Float32 without TF32. Two trainings that run free part company where a network magnifies rounding:
Adam's first steps have the sign of a gradient, however small, and batch norm divides by the spread
of a few numbers. So each network is also compared step by step from the processor's weights; and
how far the processor alone departs from itself when it adds in another order is the yardstick of
those that run free.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.on_gpu.stages import Line, Setup
from benchmarks.record import Figure
from benchmarks.skills import parameters
from ukb_brain.grid import Grid
from ukb_brain.planning.case import Parts
from ukb_brain.planning.invented import random_people, scans_in, write_scans
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.network import FittedNetwork, fit_network
from ukb_brain.training.settings import Augment, Encoders, Loop, Network
from ukb_brain.training.trainer import Inputs, Rows, Tensors, Trainer

# Four steps an epoch.
EPOCHS, BATCH, KILLED_AFTER = 5, 8, 2
PARTS = Parts(1, 32, 12, 12)
EDGE, EDGES = 20, 45
# Relative differences of losses.
WITHIN, BF16_WITHIN = 1e-4, 0.05
# Of what another order of sums makes.
TIMES = 3
# What changes volumes on the device; noise is drawn there, and differs.
AUGMENT = Augment(shift=1, rotation=2, scaling=0.01, elastic=0.5, bias=0.05, intensity=0.05)
NOT_DETERMINISTIC = re.compile(r"^(\S+) does not have a deterministic implementation")


class Step(NamedTuple):
    """A step of a training: weights before it, its loss, and the gradient of all weights."""

    state: Tensors
    loss: float
    gradient: torch.Tensor


class Still(Trainer):
    """Without dropout, which each device draws otherwise; puts every step into ``steps``.

    Each step starts from the weights of a ``guide``'s, where there is one.
    """

    def __init__(self, *given: Any, steps: list[Step], guide: list[Step] | None = None) -> None:
        super().__init__(*given)
        self.guide, self.steps = guide, steps
        for module in self.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0

    def _backward(self, inputs: Inputs, rows: Rows) -> float:
        if self.guide is not None:
            self.network.load_state_dict(self.guide[len(self.steps)].state)
        state = {k: v.cpu().clone() for k, v in self.network.state_dict().items()}
        loss = super()._backward(inputs, rows)
        each = [p.grad.flatten().cpu() for p in self.network.parameters() if p.grad is not None]
        self.steps.append(Step(state, loss, torch.cat(each)))
        return loss


class KilledError(Exception):
    """Ends a training between two epochs."""


@contextmanager
def exact(threads: int) -> Iterator[set[str]]:
    """Within, nothing is rounded to TF32, and kernels are deterministic where they can be.

    Gives the names of those that are not, which is filled at the end.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before, had = [backend.allow_tf32 for backend in backends], torch.get_num_threads()
    found: set[str] = set()
    for backend in backends:
        backend.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            yield found
        matches = (NOT_DETERMINISTIC.match(str(one.message)) for one in told)
        found |= {match[1] for match in matches if match}
    finally:
        torch.set_num_threads(had)
        torch.use_deterministic_algorithms(False)
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def tiny_job(name: str, folder: Path, setup: Setup) -> EncoderJob:
    """Two targets, volumes and vectors of a few invented people."""
    part = {"only": ("age", "sex", "structural", "functional")}
    grid = Grid(**parameters("grid")["grid"] | part)
    people, scans = random_people(PARTS, grid), scans_in(folder, grid).groups
    shapes = {"structural": (2, EDGE, EDGE, EDGE), "functional": (EDGES,)}
    for group, shape in shapes.items():
        write_scans(scans[group], shape, people)
    narrow = {"width": 8} if setup.toy and name == "light" else {}
    settings = Encoders(
        network=Network(volume=name, embedding=16, options={"volume": narrow}),
        loop=Loop(
            epochs=EPOCHS,
            batch_size=BATCH,
            learning_rate=1e-5,
            precision="float32",
            augment=AUGMENT,
        ),
    )
    binary = {key: target.kind == "binary" for key, target in grid.targets.items()}
    parts = np.where(people.train, 0, -1)
    return EncoderJob(people, scans, binary, settings, 1, setup.device.type, parts, 1)


def steps_of(job: EncoderJob, folder: Path, guide: list[Step] | None = None) -> list[Step]:
    """Keep all steps of a training, and nothing else of it."""
    shutil.rmtree(folder, ignore_errors=True)
    steps: list[Step] = []
    fit_network(job, folder, report=_nothing, trainer=partial(Still, steps=steps, guide=guide))
    shutil.rmtree(folder)
    return steps


def _nothing(epoch: int, curves: dict[str, list[float]]) -> None:
    pass


def _kill(epoch: int, curves: dict[str, list[float]]) -> None:
    if epoch == KILLED_AFTER:
        raise KilledError


def resumed(job: EncoderJob, folder: Path) -> tuple[FittedNetwork, FittedNetwork, FittedNetwork]:
    """Train twice from the beginning, and once with a kill after some epochs."""
    shutil.rmtree(folder, ignore_errors=True)
    first, second = (fit_network(job, folder / k, report=_nothing) for k in ("first", "second"))
    try:
        fit_network(job, folder / "killed", report=_kill)
    except KilledError:
        third = fit_network(job, folder / "killed", report=_nothing)
    shutil.rmtree(folder)
    return first, second, third


def _same(one: FittedNetwork, other: FittedNetwork) -> bool:
    """Whether curves and weights are equal bit for bit."""
    a, b = one.trained, other.trained
    return a.curves == b.curves and all(torch.equal(a.state[k], b.state[k]) for k in a.state)


def _apart(one: list[Step], other: list[Step]) -> float:
    """Largest relative difference of a loss."""
    return max(abs(b.loss - a.loss) / abs(a.loss) for a, b in zip(one, other, strict=True))


def _gradients_apart(one: list[Step], other: list[Step]) -> float:
    """Largest length of a difference of gradients, over the length of the gradient."""
    pairs = [(a.gradient, b.gradient) for a, b in zip(one, other, strict=True)]
    return max(float((b - a).norm() / a.norm()) for a, b in pairs)


def _with(job: EncoderJob, **loop: object) -> EncoderJob:
    changed = job.settings.loop.model_copy(update=loop)
    return replace(job, settings=job.settings.model_copy(update={"loop": changed}))


def stage(setup: Setup, found: Line) -> None:
    """Compare trainings of every network; a toy compares numbers of threads."""
    networks, folder = found.setdefault("networks", {}), setup.out / "alike"
    found["against"] = "two threads and one" if setup.toy else "card and processor"
    threads = torch.get_num_threads()
    for name in setup.compared:
        if name in networks:
            continue
        job, home = tiny_job(name, folder, setup), folder / "training"
        on_processor = replace(job, device="cpu")
        with exact(1 if setup.toy else threads):
            plain = steps_of(on_processor, home)
            turned = steps_of(_with(on_processor, channels_last=False), home)
        with exact(2 if setup.toy else threads) as not_deterministic:
            free, led = steps_of(job, home), steps_of(job, home, plain)
        with exact(threads) as more:
            once, again, killed = resumed(job, folder / "resumed")
        half = _with(job, precision="bf16")
        curves = [one.trained.curves["train"] for one in (once, killed)]
        networks[name] = {
            "steps": len(plain),
            "free": _apart(plain, free),
            "another_order": _apart(plain, turned),
            "led": _apart(plain, led),
            "gradients": _gradients_apart(plain, led),
            "bf16_free": _apart(plain, steps_of(half, home)),
            "bf16": _apart(plain, steps_of(half, home, plain)),
            "resumed": max(abs(b - a) / abs(a) for a, b in zip(*curves, strict=True)),
            "twice_bit_for_bit": _same(once, again),
            "resumed_bit_for_bit": _same(once, killed),
            "not_deterministic": sorted(not_deterministic | more),
        }


def figures(line: Line) -> list[Figure]:
    """Differences of losses, by network."""
    found = []
    for name, one in line.get("networks", {}).items():
        what, bound = f"gpu, 1: {name}", max(WITHIN, TIMES * one["another_order"])
        about = {"steps": one["steps"], "between": line["against"]}
        orders = f"≤ {WITHIN:g}, or {TIMES} × what another order of sums makes on the processor"
        exactly = ("twice_bit_for_bit", "resumed_bit_for_bit", "not_deterministic")
        found += [
            Figure.at_most(
                f"{what}, losses in float32, step by step",
                one["led"],
                WITHIN,
                more=about | {"gradients": one["gradients"]},
            ),
            Figure(
                f"{what}, losses in float32, running free",
                one["free"],
                goal=orders,
                holds=one["free"] <= bound,
                more=about | {"another_order": one["another_order"]},
            ),
            Figure.at_most(
                f"{what}, losses in bf16, step by step",
                one["bf16"],
                BF16_WITHIN,
                more=about | {"running_free": one["bf16_free"]},
            ),
            Figure.at_most(
                f"{what}, losses after a kill",
                one["resumed"],
                WITHIN,
                more={key: one[key] for key in exactly},
            ),
        ]
    return found
