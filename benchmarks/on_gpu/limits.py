"""Stage 6: a batch that does not fit, fp16 with scaling, and two processes on one card."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import numpy as np
import torch

from benchmarks.on_gpu.stages import Line, Setup
from benchmarks.on_gpu.throughput import trainer_of, wait_for
from benchmarks.record import Figure
from ukb_brain.training.trainer import Inputs, Rows, Trainer

NETWORK = "study"
# Of what a whole batch needs, what is left of the memory.
LEFT = 0.6
FP16_WITHIN = 0.05
STEPS, TOY_STEPS = 30, 2
# Seconds after which a process gives the other one up.
PATIENCE = 60


class Small(Trainer):
    """Runs out of memory with more than half a batch, where no card tells how much there is."""

    def _piece(self, inputs: Inputs, rows: Rows, start: int, stop: int) -> float:
        if stop - start > self.settings.batch_size // 2:
            raise torch.OutOfMemoryError("more than half a batch")
        return super()._piece(inputs, rows, start, stop)


def halved(setup: Setup) -> Line:
    """Train a step with enough memory, and one without: a batch is then divided."""
    device, batch = setup.device, max(4, setup.batches[0])
    on_card = device.type == "cuda"
    given = (NETWORK, setup.edge, batch, device)
    if on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    whole = trainer_of(*given, precision="bf16")[0]
    loss = whole.run_epoch(np.arange(batch), 0, 100)
    found: Line = {"batch": batch, "pieces": whole.pieces, "loss": loss}
    del whole
    try:
        if on_card:
            peak = torch.cuda.max_memory_allocated()
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(LEFT * peak / total)
            found["bytes_needed"] = peak
        short = trainer_of(*given, Trainer if on_card else Small, precision="bf16")[0]
        found["loss_in_pieces"] = short.run_epoch(np.arange(batch), 0, 100)
        found["pieces_where_short"] = short.pieces
    finally:
        if on_card:
            torch.cuda.set_per_process_memory_fraction(1.0)
    return found


def in_fp16(setup: Setup) -> Line:
    """Train some steps in fp16, whose losses are scaled, and in float32."""
    batch = setup.batches[0]
    steps = TOY_STEPS if setup.toy else STEPS
    given, rows = (NETWORK, setup.edge, batch, setup.device), np.arange(steps * batch)
    half = trainer_of(*given, precision="fp16")[0]
    found: Line = {"steps": steps, "scale_before": half.scaler.get_scale()}
    found["loss"] = half.run_epoch(rows, 0, 100)
    found["scale_after"] = half.scaler.get_scale()
    found["loss_in_float32"] = trainer_of(*given, precision="float32")[0].run_epoch(rows, 0, 100)
    found["apart"] = abs(found["loss"] / found["loss_in_float32"] - 1)
    return found


def _side_by_side(number: int, setup: Setup, together: Barrier, told: Queue) -> None:
    """Train alone, if this is the first process, and then at the same time as the other."""
    batch, steps = setup.batches[0], TOY_STEPS if setup.toy else STEPS
    torch.set_num_threads(1)
    trainer = trainer_of(NETWORK, setup.edge, batch, setup.device)[0]
    rows, seconds = np.arange(steps * batch), []
    trainer.run_epoch(rows[:batch], 0, 100)
    for is_alone in (True, False):
        together.wait(PATIENCE)
        if is_alone and number:
            continue
        wait_for(setup.device)
        started = time.perf_counter()
        loss = trainer.run_epoch(rows, 1, 100)
        wait_for(setup.device)
        seconds.append(time.perf_counter() - started)
    told.put((number, seconds, bool(np.isfinite(loss))))


def two_at_once(setup: Setup) -> Line:
    """Train in two processes on one card; both must end."""
    context = multiprocessing.get_context("spawn")
    together, told = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_side_by_side, args=(k, setup, together, told), daemon=True)
        for k in range(2)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()
    codes = [process.exitcode for process in processes]
    if any(codes):
        raise RuntimeError(f"two processes on one card ended with {codes}")
    answers = sorted(told.get() for _ in processes)
    (alone, one), (two,) = answers[0][1], answers[1][1]
    return {"alone": alone, "together": [one, two], "finite": all(a[2] for a in answers)}


def stage(setup: Setup, found: Line) -> None:
    """Exercise all three."""
    found["halving"] = halved(setup)
    found["fp16"] = in_fp16(setup)
    found["two"] = two_at_once(setup)


def figures(line: Line) -> list[Figure]:
    """Pieces of a batch, how far fp16 departs, and how much slower two are than one."""
    found = []
    if "halving" in line:
        row = line["halving"]
        name = "gpu, 6: pieces of a batch that does not fit"
        found.append(Figure.at_least(name, row["pieces_where_short"], 2, more=row))
    if "fp16" in line:
        row = line["fp16"]
        name = "gpu, 6: loss in fp16 against float32"
        found.append(Figure.at_most(name, row["apart"], FP16_WITHIN, more=row))
    if "two" in line:
        row = line["two"]
        ratio = max(row["together"]) / row["alone"]
        found.append(Figure("gpu, 6: two processes on one card over one", ratio, "×", more=row))
    return found
