"""The workers benchmark: two workers against one, on single-threaded items.

Each item trains a small network on volumes of its own, a fixed number of steps, in one thread. Two
workers are started for it, once a run; their start is timed by itself, and the ratio is given with
it and without. The number of items is even. One worker is this process, which need not start.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from benchmarks.record import Figure, show
from ukb_brain.cluster import Compute, run_items

ITEMS = 16
# About eight seconds on one core of the machine of results.json.
STEPS = 3500
GOAL = 1.8
LABEL = "Small networks"


def train(item: tuple[int, int]) -> tuple[int, float]:
    """Train a small network on random volumes, by seed and steps; give seed and last loss."""
    seed, steps = item
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            *(nn.Conv3d(1, 16, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv3d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(32, 1)),
        )
    optimiser = torch.optim.AdamW(network.parameters())
    volumes = torch.randn(8, 1, 16, 16, 16, generator=draw)
    answers = torch.randn(8, 1, generator=draw)
    loss = torch.zeros(())
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(network(volumes), answers)
        loss.backward()
        optimiser.step()
    return seed, float(loss.detach())


def _timed(workers: int, items: list[tuple[int, int]]) -> tuple[float, dict[int, float]]:
    started = time.monotonic()
    compute = Compute(workers=workers, threads_per_item=1, device="cpu")
    losses = dict(run_items(train, items, compute, LABEL))
    return time.monotonic() - started, losses


def measure() -> list[Figure]:
    """Do the same items with one worker and with two, whose results must be the same."""
    work = [(seed, STEPS) for seed in range(ITEMS)]
    _timed(1, [(0, 1)])
    start = _timed(2, [(0, 1), (1, 1)])[0]
    seconds, losses = {}, {}
    for workers in (1, 2):
        seconds[workers], losses[workers] = _timed(workers, work)
    if losses[1] != losses[2]:
        raise RuntimeError("two workers give other results than one")
    ratio, on_items = seconds[1] / seconds[2], seconds[1] / (seconds[2] - start)
    rows = [
        ["1", f"{seconds[1]:.1f}", "1"],
        ["2, on the items", f"{seconds[2] - start:.1f}", f"{on_items:.2f}"],
        ["2, their start included", f"{seconds[2]:.1f}", f"{ratio:.2f}"],
    ]
    each = seconds[1] / ITEMS
    show(f"{ITEMS} single-threaded items of {each:.1f} s", ("workers", "seconds", "faster"), rows)
    more = {"items": ITEMS, "seconds of an item": round(each, 2)}
    name = "workers, two against one"
    return [
        Figure.at_least(f"{name}, on the items", on_items, GOAL, "times", more),
        Figure(f"{name}, their start included", ratio, "times", more=more),
        Figure("workers, start of two", start, "s"),
    ]
