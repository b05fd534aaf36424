"""How long a step of a network takes here: measured as large as fits, and scaled by operations."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ukb_brain.networks.cost import NetworkCost, network_cost
from ukb_brain.planning.case import Form
from ukb_brain.planning.invented import RandomData
from ukb_brain.planning.settings import Planning
from ukb_brain.training.checkpoint import save_state
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import Trainer, precision_of

SMALLEST_EDGE, SMALLEST_BATCH, REPEATS = 16, 4, 3
# Gradients of activations and the working space of convolutions come on top of what is saved.
ROOM = 1.5


@dataclass(frozen=True)
class StepRate:
    """What training a network costs on a device.

    Attributes
    ----------
    fixed, person : float
        Seconds of a step whatever its batch, and more for each person.
    predict : float
        Seconds to predict a person.
    epoch : float
        Seconds of keeping the state after an epoch.
    start : float
        Seconds of building and counting the network.
    cost : NetworkCost
        Of the network that is asked for.
    device_bytes : float
        Of the configured batch in training.
    device : str
        Where.
    basis : {"measured", "scaled", "assumed"}
        Whether the configured batch and grid were measured, or smaller ones, or only counted.
    at : str
        What was measured, in words.
    """

    fixed: float
    person: float
    predict: float
    epoch: float
    start: float
    cost: NetworkCost
    device_bytes: float
    device: str
    basis: str
    at: str


def free_bytes(device: torch.device) -> float:
    """Memory that a measurement may take unless it is told: half of what is free.

    Parameters
    ----------
    device : torch.device
        Where it runs.

    Returns
    -------
    float
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 2
    info = Path("/proc/meminfo")
    if info.exists():
        lines = dict(line.split(":") for line in info.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024 / 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 4


def assumed_rate(form: Form, tflops: float) -> StepRate:
    """Count a network for a card that is not here.

    Parameters
    ----------
    form : Form
        The network.
    tflops : float
        Operations (10¹²) that the card sustains each second.

    Returns
    -------
    StepRate
    """
    cost = network_cost(form.build(), form.shapes)
    train, predict = cost.training_flops / tflops / 1e12, cost.forward_flops / tflops / 1e12
    size = _bytes(cost, form.loop.batch_size, half=True)
    words = f"counted, at {tflops:g} TFLOP/s"
    return StepRate(0.0, train, predict, 0.0, 0.0, cost, size, "card", "assumed", words)


def measure_steps(form: Form, planning: Planning, device: torch.device) -> StepRate:
    """Measure a few steps at two batches.

    Parameters
    ----------
    form : Form
        The network, its grid and its batch.
    planning : Planning
        Seconds and memory that may be spent. Within them the largest grid, then the largest batch
        is measured; what is larger is scaled by the network's operations.
    device : torch.device
        Where.

    Returns
    -------
    StepRate
    """
    if planning.card_tflops is not None:
        return assumed_rate(form, planning.card_tflops)
    # What is loaded once for all is not counted: the second time tells.
    for _ in range(2):
        started = time.perf_counter()
        cost = network_cost(form.build(), form.shapes)
        start = time.perf_counter() - started
    sizes = _sizes(form)
    costs = {k: cost if k == 1 else network_cost(form.build(k), form.smaller(k)) for k, _ in sizes}
    shrunk, batch = _largest(form, sizes, costs, planning, device)
    if device.type == "cuda":
        # Otherwise the peak is that of the largest network this process has measured.
        torch.cuda.reset_peak_memory_stats(device)
    probe = _Probe(form, shrunk, batch, device)
    whole, predict, epoch = probe.step(batch), probe.predict(), probe.epoch()
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    half = probe.step(batch // 2) if batch >= 4 else None
    person = whole / batch if half is None else (whole - half) / (batch - batch // 2)
    # Noise may hide the difference, but a step goes forward and at least as far back.
    person = min(max(person, 2 * predict), whole / batch)
    fixed, there = whole - person * batch, costs[shrunk]
    grown, wider = cost.training_flops / there.training_flops, cost.parameters / there.parameters
    halved = precision_of(form.loop, device) != torch.float32
    counted = _bytes(cost, form.loop.batch_size, halved)
    more = peak / _bytes(there, batch, halved) if peak is not None else 1.0
    same = (shrunk, batch) == (1, form.loop.batch_size)
    return StepRate(
        fixed * wider,
        person * grown,
        predict * cost.forward_flops / there.forward_flops,
        epoch * wider,
        start,
        cost,
        counted * more,
        device.type,
        "measured" if same else "scaled",
        _in_words(form, shrunk, batch),
    )


def _bytes(cost: NetworkCost, batch: int, half: bool) -> float:
    return cost.state_bytes + batch * cost.activation_bytes * (0.5 if half else 1.0)


def _sizes(form: Form) -> list[tuple[int, int]]:
    """Divisors of the grid and batches, the best to measure first."""
    shrinks = [1]
    while form.edge // (2 * shrinks[-1]) >= SMALLEST_EDGE:
        shrinks.append(2 * shrinks[-1])
    batches = [form.loop.batch_size]
    while batches[-1] // 2 >= SMALLEST_BATCH:
        batches.append(batches[-1] // 2)
    return [(shrunk, batch) for shrunk in shrinks for batch in batches]


def _largest(
    form: Form,
    sizes: list[tuple[int, int]],
    costs: Mapping[int, NetworkCost],
    planning: Planning,
    device: torch.device,
) -> tuple[int, int]:
    """Go up from the smallest size as far as seconds and memory allow."""
    given = planning.memory_gb
    most = free_bytes(device) if given is None else given * 1e9
    # A batch and its half, each once to warm up and then timed.
    seconds = planning.seconds / (1.5 * (1 + REPEATS))
    work = {size: costs[size[0]].training_flops * size[1] for size in sizes}
    fits = [s for s in sizes if ROOM * _bytes(costs[s[0]], s[1], half=False) <= most]
    chosen = sizes[-1]
    while True:
        took = _Probe(form, *chosen, device).step(chosen[1], repeats=1)
        better = (s for s in fits if took * work[s] / max(work[chosen], 1) <= seconds)
        best = next(better, chosen)
        if sizes.index(best) >= sizes.index(chosen):
            return chosen
        chosen = best


class _Probe:
    """A network at one size, and what it takes."""

    def __init__(self, form: Form, shrunk: int, batch: int, device: torch.device) -> None:
        self.form, self.device = form, device
        # Nothing drawn away, so that the number of steps is known.
        loop = {"batch_size": batch, "balance": "weights"}
        self.settings = form.loop.model_copy(update=loop)
        self.people = 2 * batch
        self.data = RandomData(form.smaller(shrunk), self.people)
        torch.manual_seed(0)
        self.network = form.build(shrunk)
        self.trainer = self._trainer()

    def _trainer(self) -> Trainer:
        rng = np.random.default_rng(0)
        names = [str(k) for k in range(self.form.outputs)]
        targets = {name: rng.normal(size=self.people) for name in names}
        everybody = np.ones(self.people, dtype=bool)
        tasks = Tasks(targets, dict.fromkeys(names, False), everybody, self.settings)
        return Trainer(self.network, self.data, tasks, self.settings, self.device, 0)

    def _timed(self, function: Callable[[], object], repeats: int) -> float:
        seconds = []
        for _ in range(1 + repeats):
            started = time.perf_counter()
            function()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            seconds.append(time.perf_counter() - started)
        # The first warms up.
        return statistics.median(seconds[1:])

    def step(self, batch: int, repeats: int = REPEATS) -> float:
        """Seconds of a step."""
        self.trainer.settings = self.settings.model_copy(update={"batch_size": batch})
        rows = np.arange(batch)
        once = self._timed(lambda: self.trainer.run_epoch(rows, 0, 100), 1)
        # Short steps are measured some at a time.
        steps = int(np.clip(0.1 / once, 1, 50))
        rows = np.tile(rows, steps)
        return self._timed(lambda: self.trainer.run_epoch(rows, 0, 1000), repeats) / steps

    def predict(self) -> float:
        """Seconds to predict a person, in full batches."""
        self.trainer.settings = self.settings
        rows = np.arange(self.people)
        return self._timed(lambda: self.trainer.evaluate(rows), REPEATS) / self.people

    def epoch(self) -> float:
        """Seconds of what comes after the steps of an epoch, but for validation."""

        def keep(folder: Path) -> None:
            with self.trainer.averaged():
                pass
            best = {k: v.clone() for k, v in self.trainer.average.items()}
            save_state(folder, {**self.trainer.tensors(), "best": best}, {})

        with tempfile.TemporaryDirectory() as folder:
            return self._timed(lambda: keep(Path(folder)), REPEATS)


def _in_words(form: Form, shrunk: int, batch: int) -> str:
    volume = next((s for s in form.smaller(shrunk).values() if len(s) == 4), None)
    grid = " × ".join(map(str, volume[1:])) + ", " if volume else ""
    return f"{grid}batches of {batch} and {max(2, batch // 2)}"
