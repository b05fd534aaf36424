"""Stage 2: steps of each network of volumes against what the card can do.

Shapes: N people, C channels.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from benchmarks.on_gpu.cohort import make_cohort
from benchmarks.on_gpu.stages import Line, Setup
from benchmarks.on_gpu.whole import encoders_of, settings_of
from benchmarks.record import Figure
from ukb_brain.ledger.attempts import one_line
from ukb_brain.networks.cost import NetworkCost, network_cost
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.networks.registry import build_encoder, names
from ukb_brain.training.feed import CodedVolumes
from ukb_brain.training.network import fit_network
from ukb_brain.training.settings import Loop
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import MASK, Inputs, Rows, Trainer

CHANNELS, TARGETS, EMBEDDING = 3, 25, 64
VOLUMES = "volumes"
# Seconds for which steps are repeated, and how many there are at most and at least.
LASTING, MOST_STEPS, FEWEST_STEPS = 1.0, 60, 5
# Sizes of what ceilings are measured with: edge of a matrix, bytes, repetitions.
MATRIX, COPIED, TIMES = 8192, 2**31, 20
TOY_MATRIX, TOY_COPIED = 256, 2**22
# Of what a parameter needs in a step of Adam: itself, gradient and two moments are read, and all
# but the gradient written, in float32.
BYTES_OF_PARAMETER = 28
BETWEEN_LOOKS = 0.1
# Batches of the real loop.
FED = 16


def options_of(name: str, edge: int) -> dict[str, float | int]:
    """Choose options as docs/gpu.md has them: the light network's stem grows with the grid."""
    return {"stem": max(2, edge // 16), "width": 64} if name == "light" else {}


class Fed:
    """The same volumes again and again, in 8 bits, where the copy to the card starts."""

    def __init__(self, edge: int, batch: int, pinned: bool) -> None:
        shape = (batch, CHANNELS, edge, edge, edge)
        numbers = torch.randint(0, 256, shape, dtype=torch.uint8)
        codes = torch.tensor([1 / 64, -2.0]).expand(batch, CHANNELS, 2).contiguous()
        held = CodedVolumes(numbers, codes, 1)
        self.held = held.pin_memory() if pinned else held

    def read(self, rows: Rows, rng: np.random.Generator | None) -> Inputs:
        """Give them to as many people as a batch has, or to fewer."""
        return {VOLUMES: self.held.part(0, len(rows)), MASK: torch.ones(len(rows), 1)}


def trainer_of(
    name: str,
    edge: int,
    batch: int,
    device: torch.device,
    kind: type[Trainer] = Trainer,
    **loop: Any,
) -> tuple[Trainer, NetworkCost]:
    """Make a network of three channels ready to be trained on all targets, and count its cost."""
    torch.manual_seed(0)
    shape, given = (CHANNELS, edge, edge, edge), options_of(name, edge)
    encoder = build_encoder("volume", name, shape, EMBEDDING, 0.3, given)
    network = FusedNetwork({VOLUMES: encoder}, TARGETS, "light", EMBEDDING, 0.3)
    cost = network_cost(network, {VOLUMES: shape})
    # People are only their labels.
    people, rng = MOST_STEPS * batch, np.random.default_rng(0)
    targets = {f"target {k}": rng.normal(size=people) for k in range(TARGETS)}
    settings = Loop(epochs=1, batch_size=batch, **loop)
    tasks = Tasks(targets, dict.fromkeys(targets, False), np.ones(people, dtype=bool), settings)
    data = Fed(edge, batch, device.type == "cuda")
    return kind(network, data, tasks, settings, device, 0), cost


def wait_for(device: torch.device) -> None:
    """Wait until the card has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(do: Callable[[], object], times: int, device: torch.device) -> float:
    """Time something, several times in a row after once, in seconds for one."""
    do()
    wait_for(device)
    started = time.perf_counter()
    for _ in range(times):
        do()
    wait_for(device)
    return (time.perf_counter() - started) / times


def ceilings(setup: Setup) -> dict[str, float]:
    """Measure a large product of matrices in bf16 and a large copy: FLOP/s and bytes a second."""
    n, size = (TOY_MATRIX, TOY_COPIED) if setup.toy else (MATRIX, COPIED)
    a, b = (torch.randn(n, n, device=setup.device).bfloat16() for _ in range(2))
    source = torch.ones(size, dtype=torch.uint8, device=setup.device)
    target = torch.empty_like(source)
    return {
        "flops": 2.0 * n**3 / seconds_of(lambda: a @ b, TIMES, setup.device),
        # Read and written.
        "bytes": 2.0 * size / seconds_of(lambda: target.copy_(source), TIMES, setup.device),
    }


@cache
def _nvidia_smi() -> str | None:
    return shutil.which("nvidia-smi")


def utilisation(device: torch.device) -> float | None:
    """Ask how much of the time just past the card was at work, from 0 to 1; None if none tells."""
    if device.type != "cuda":
        return None
    try:
        return torch.cuda.utilization(device) / 100
    except (ImportError, RuntimeError):
        # Without pynvml, or a driver that it can ask.
        pass
    if _nvidia_smi() is None:
        return None
    asked = [_nvidia_smi(), "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=5)
    first = done.stdout.split("\n")[0].strip()
    return float(first) / 100 if first.isdigit() else None


@contextmanager
def watched(device: torch.device) -> Iterator[list[float]]:
    """Within, look now and then how much the card is at work."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(BETWEEN_LOOKS):
            now = utilisation(device)
            if now is None:
                return
            seen.append(now)

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield seen
    finally:
        over.set()
        watch.join(10)


def step_of(
    name: str, edge: int, batch: int, compiled: bool, setup: Setup, ceiling: dict[str, float]
) -> Line:
    """Time steps of a network as the loop does them, in bf16 and channels last."""
    device = setup.device
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    # Else another grid is taken for one whose size changes, and compiled for all sizes.
    torch.compiler.reset()
    trainer, cost = trainer_of(name, edge, batch, device, precision="bf16", compile=compiled)

    def steps(number: int) -> None:
        trainer.run_epoch(np.arange(number * batch), 0, 1000)

    started = time.perf_counter()
    steps(1)
    first = time.perf_counter() - started
    number = 1
    if not setup.toy:
        once = seconds_of(lambda: steps(1), 2, device)
        number = int(np.clip(LASTING / once, FEWEST_STEPS, MOST_STEPS))
    with watched(device) as seen:
        seconds = seconds_of(lambda: steps(number), 1, device) / number
    # What the way back needs is written and read once, in bf16.
    moved = batch * cost.activation_bytes + BYTES_OF_PARAMETER * cost.parameters
    on_card = torch.cuda.max_memory_allocated() if device.type == "cuda" else math.nan
    return {
        "ms": 1e3 * seconds,
        "first_step_seconds": first,
        "people_per_second": batch / seconds,
        "of_matrix_ceiling": batch * cost.training_flops / seconds / ceiling["flops"],
        "of_memory_ceiling": moved / seconds / ceiling["bytes"],
        "utilisation": float(np.mean(seen)) if seen else None,
        "card_gb": None if math.isnan(on_card) else on_card / 1e9,
        "pieces": trainer.pieces,
    }


def wait_share(name: str, setup: Setup) -> Line:
    """Train on the cohort's scans from the store, and say how long steps waited for them."""
    cohort = make_cohort(setup)
    settings = settings_of(setup).encoders
    network = settings.network.model_copy(
        update={"volume": name, "options": {"volume": options_of(name, setup.edge)}}
    )
    loop = settings.loop.model_copy(update={"epochs": 2})
    settings = settings.model_copy(update={"network": network, "loop": loop})
    job = encoders_of(setup, cohort, settings)
    some = np.flatnonzero(job.fitted)[: FED * settings.loop.batch_size]
    few = replace(job, parts=np.where(np.isin(np.arange(len(job.parts)), some), job.parts, -1))
    with watched(setup.device) as seen:
        found = fit_network(few, setup.out / "waiting", report=_nothing)
    shutil.rmtree(setup.out / "waiting")
    return {
        "wait_share": found.trained.wait_share,
        "utilisation": float(np.mean(seen)) if seen else None,
    }


def _nothing(epoch: int, curves: dict[str, list[float]]) -> None:
    pass


def stage(setup: Setup, found: Line) -> None:
    """Measure ceilings, then every network; compiled ones last, for they take minutes to begin."""
    # A toy calls a compiled network as it is: to compile it would take a minute.
    torch._dynamo.config.disable = setup.toy
    found["ceilings"] = ceiling = ceilings(setup)
    rows, waits = found.setdefault("steps", []), found.setdefault("waiting", {})
    sizes = list(zip((setup.edge, setup.large), setup.batches, strict=True))

    def measured(compiled: bool, edge: int, batch: int) -> None:
        for name in names("volume"):
            about = {"network": name, "edge": edge, "batch": batch, "compiled": compiled}
            if any(about.items() <= row.items() for row in rows):
                continue
            try:
                rows.append(about | step_of(name, edge, batch, compiled, setup, ceiling))
            except Exception as error:
                rows.append(about | {"error": one_line(error)})

    for size in sizes:
        measured(False, *size)
    for name in setup.compared:
        if name not in waits:
            waits[name] = wait_share(name, setup)
    for size in sizes:
        measured(True, *size)


def figures(line: Line) -> list[Figure]:
    """Milliseconds of a step with what they come to, and shares of waiting."""
    found = []
    for row in line.get("steps", []):
        if "error" in row:
            continue
        how = "compiled" if row["compiled"] else "not compiled"
        name = f"gpu, 2: {row['network']}, {row['edge']}³, {row['batch']} people, bf16, {how}"
        kept = {
            k: v for k, v in row.items() if k not in ("network", "edge", "batch", "compiled", "ms")
        }
        found.append(Figure(name, row["ms"], "ms a step", more=kept))
    for name, row in line.get("waiting", {}).items():
        about = {"utilisation": row["utilisation"]}
        what = f"gpu, 2: {name}, share of time waited for scans"
        found.append(Figure.at_most(what, row["wait_share"], 0.05, more=about))
    return found
