"""The step benchmark: the study's network, a step in this project's loop against a plain one.

The same network, batch, optimiser and loss, by turns: plain PyTorch in float32 and the default
layout; this loop in float32 and that layout; and this loop as it runs by default (channels last,
and bf16 where the processor or card has it). Then the share of time that steps wait for data.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.record import WORK, Figure, kept, show
from benchmarks.skills import study_grid
from ukb_brain.cluster import pick_device, processors
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.planning.case import Parts
from ukb_brain.planning.invented import random_people, scans_in, write_scans
from ukb_brain.training.inputs import NetworkData
from ukb_brain.training.network import build_encoders
from ukb_brain.training.settings import Loop, Network
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import MASK, Rows, Tensors, Trainer, precision_of

EDGE = 64
BATCHES = {"cpu": 4, "cuda": 64, "mps": 16}
ROUNDS = 7
PEOPLE_TO_READ = 24
SETTINGS = {
    "this loop, float32, default layout": {"precision": "float32", "channels_last": False},
    "this loop, float32, channels last": {"precision": "float32", "channels_last": True},
    "this loop, by default": {"precision": "auto", "channels_last": True},
}
PLAIN = "plain PyTorch"
GOAL, AIM, MOST_WAIT = 1.0, 1.2, 0.05


def _network(edge: int) -> FusedNetwork:
    """All three modalities of volumes in one encoder, as the study has them."""
    torch.manual_seed(0)
    settings = Network(volume="study", head="study")
    encoders = build_encoders(settings, {"volumes": (3, edge, edge, edge)})
    return FusedNetwork(encoders, 1, "study")


def _loop(batch: int, **changes: object) -> Loop:
    return Loop(
        epochs=1,
        batch_size=batch,
        optimiser="adam",
        learning_rate=1e-4,
        schedule="constant",
        warm_up=0.0,
        balance="none",
        **changes,
    )


def _tasks(people: int, loop: Loop) -> Tasks:
    y = np.random.default_rng(0).normal(size=people)
    return Tasks({"age": y}, {"age": False}, np.ones(people, dtype=bool), loop)


class _Data:
    """Random volumes, copied from memory as in a training."""

    def __init__(self, edge: int, people: int) -> None:
        self.volumes = torch.randn(people, 3, edge, edge, edge).to(torch.float16)

    def read(self, rows: Rows, rng: np.random.Generator | None) -> Tensors:
        return {"volumes": self.volumes[rows], MASK: torch.ones(len(rows), 1)}


def _ours(edge: int, batch: int, device: torch.device, changes: dict) -> Callable[[], None]:
    loop = _loop(batch, **changes)
    trainer = Trainer(_network(edge), _Data(edge, batch), _tasks(batch, loop), loop, device, 0)
    return lambda: trainer.run_epoch(np.arange(batch), 0, 1000)


def _plain(edge: int, batch: int, device: torch.device) -> Callable[[], None]:
    """Write a loop as anybody would, on data that lie ready in single precision."""
    network = _network(edge).to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    data = _Data(edge, batch).read(np.arange(batch), None)
    volumes, used = data["volumes"].float(), data[MASK]
    y = torch.randn(batch, 1)

    def step() -> None:
        inputs, labels = {"volumes": volumes.to(device)}, y.to(device)
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(network(inputs, used.to(device)), labels)
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def side_by_side(edge: int, batch: int, device: torch.device, rounds: int) -> dict[str, float]:
    """Time a step of each kind, by turns, after one that warms up: median seconds."""
    steps = {PLAIN: _plain(edge, batch, device)}
    steps |= {name: _ours(edge, batch, device, changes) for name, changes in SETTINGS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in seconds.items()}


def wait_share(edge: int, batch: int, device: torch.device, people: int) -> float:
    """Share of an epoch in which steps wait for scans that are read anew from a store."""
    grid = study_grid()
    everybody = random_people(Parts(1, people, 0, 0), grid)
    folder = WORK / "step"
    groups = scans_in(folder, grid).groups.items()
    scans = {group: some for group, some in groups if some.modalities != ("rsfmri",)}
    for own in scans.values():
        write_scans(own, (len(own.modalities), edge, edge, edge), everybody)
    data = NetworkData(everybody, scans, (), np.ones(people, dtype=bool), 0.0, masked=False)
    loop = _loop(batch)
    torch.manual_seed(0)
    settings = Network(volume="study", head="study", together=True)
    network = FusedNetwork(build_encoders(settings, data.shapes), 1, "study")
    trainer = Trainer(network, data, _tasks(people, loop), loop, device, 0)
    trainer.run_epoch(np.arange(people), 0, 1000)
    return trainer.waited / trainer.worked


def measure() -> list[Figure]:
    """Measure at the study's 64³ on the best device that is there."""
    device = pick_device()
    batch = BATCHES[device.type]
    # As many threads as a training that has this machine for itself.
    torch.set_num_threads(processors())
    saved = WORK / "step/seconds.json"
    seconds = kept(saved, lambda: side_by_side(EDGE, batch, device, ROUNDS))
    wait = wait_share(EDGE, batch, device, max(PEOPLE_TO_READ, 3 * batch))
    precision = str(precision_of(_loop(batch), device)).removeprefix("torch.")
    about = {"device": device.type, "batch": batch, "default_precision": precision}
    figures, rows = [], [[PLAIN, f"{seconds[PLAIN]:.3f}", "1"]]
    for name in SETTINGS:
        speed = seconds[PLAIN] / seconds[name]
        rows.append([name, f"{seconds[name]:.3f}", f"{speed:.2f}"])
        # The goal is for the loop as it is used; the others say where the speed comes from.
        default = name == list(SETTINGS)[-1]
        goal, holds = (f"≥ {GOAL}, aim {AIM}", speed >= GOAL) if default else ("", None)
        figures.append(Figure(f"step: speed of {name}", speed, "×", goal, holds, about))
    title = f"A step of the study's network at {EDGE}³, {batch} people, {device.type}"
    show(title, ("", "seconds", "speed over plain PyTorch"), rows)
    print(f"Waiting for data: {wait:.1%} of the time.")
    shutil.rmtree(WORK / "step", ignore_errors=True)
    name = "step: share of time waited for data"
    return [*figures, Figure.at_most(name, wait, MOST_WAIT, more=about)]
