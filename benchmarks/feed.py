"""The feeding benchmark: an epoch of people in random order, from disk to what a network takes.

Three modalities of 64³ voxels, batches as the study's, by turns on a warm disk, one thread. "Bytes"
are batches as they lie; "numbers" are decoded on the device. Beside a plain memory map of 8 bits
stand torch's loader with processes over the same store, and MONAI's PersistentDataset, where it is
installed, over gzipped NIfTI, which is how the study reads: its first pass, and those after it from
its cache.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from benchmarks.record import WORK, Figure, show
from benchmarks.store import EDGE, FIRST, MODALITIES, VISIT, _volume
from ukb_brain.cluster import pick_device, processors
from ukb_brain.imaging.intensity import Code
from ukb_brain.imaging.store import open_store
from ukb_brain.training.feed import CodedVolumes, StoredVolumes, in_half

PEOPLE, BATCH, ROUNDS = 512, 64, 9
# Of those whose epochs take long.
FEW_BATCHES, FEW_ROUNDS = 1, 2
# Different volumes; what is in them is nothing to reading.
DRAWN = 16
GOAL = 1.2
SCALE, OFFSET = 1 / 40, -3.2
PLAIN, OURS = "plain memory map", "this project"
LOADER = f"torch's loader, {processors()} processes, over this project's"
MONAI, MONAI_AGAIN = "MONAI PersistentDataset, first pass", "MONAI PersistentDataset, its cache"
Order = NDArray[np.int64]
# From the people of an epoch, batch by batch, to what each batch is.
Epoch = Callable[[Order], Iterator[object]]


def _write(home: Path) -> None:
    """Write everybody as a plain map, in a store, each with a code of its own, and as NIfTI."""
    shape = (PEOPLE, len(MODALITIES), EDGE, EDGE, EDGE)
    held, store = np.memmap(home / "plain", np.uint8, "w+", shape=shape), open_store(home / "ours")
    drawn = [[_volume(row, c) for c in range(len(MODALITIES))] for row in range(DRAWN)]
    for row in range(PEOPLE):
        code = Code(SCALE * (1 + row / PEOPLE), OFFSET)
        for channel, modality in enumerate(MODALITIES):
            volume = drawn[row % DRAWN][channel]
            held[row, channel] = volume
            about = {"fingerprint": "0" * 16}
            store.write(modality, (FIRST + row, VISIT), volume, about, code)
            if row < FEW_BATCHES * BATCH:
                values = code.decode(volume)
                nib.save(nib.Nifti1Image(values, np.eye(4)), home / f"{row}_{channel}.nii.gz")


def _plain(home: Path) -> Callable[[Order], Tensor]:
    shape = (PEOPLE, len(MODALITIES), EDGE, EDGE, EDGE)
    held = np.memmap(home / "plain", np.uint8, "r", shape=shape)
    return lambda rows: torch.from_numpy(np.asarray(held[rows]))


def _decoded(numbers: Tensor, device: torch.device) -> Tensor:
    """Decode by one code for all."""
    return in_half(numbers.to(device).float().mul_(SCALE).add_(OFFSET))


def _ours(home: Path, device: torch.device) -> StoredVolumes:
    keys = np.array([(FIRST + row, VISIT) for row in range(PEOPLE)])
    everybody = np.ones(PEOPLE, dtype=bool)
    return StoredVolumes(home / "ours", MODALITIES, keys, everybody, pinned=device.type == "cuda")


def _monai(home: Path, cache: str) -> Epoch:
    from monai.data import PersistentDataset
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage

    transform = Compose([LoadImage(image_only=True), EnsureChannelFirst()])
    rows = range(FEW_BATCHES * BATCH)
    paths = [str(home / f"{row}_{c}.nii.gz") for row in rows for c in range(len(MODALITIES))]
    held = PersistentDataset(paths, transform, home / cache)

    def person(row: int) -> Tensor:
        first = row * len(MODALITIES)
        return torch.cat([held[k] for k in range(first, first + len(MODALITIES))])

    def epoch(order: Order) -> Iterator[object]:
        some = order[order < FEW_BATCHES * BATCH].reshape(-1, BATCH)
        return (torch.stack([person(row) for row in rows]) for rows in some.tolist())

    return epoch


def _keep_memory() -> None:
    """Hand freed memory back as late as this project's workers do (`worker_environment`)."""
    if platform.libc_ver()[0] == "glibc":
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            ctypes.CDLL(None).mallopt(option, 1 << 30)


def _timed(epochs: dict[str, Epoch], rounds: int, people: int) -> dict[str, list[float]]:
    """Microseconds a person, round by round, all ways by turns."""
    took: dict[str, list[float]] = {way: [] for way in epochs}
    for turn in range(rounds + 1):
        order = np.random.default_rng(turn).permutation(PEOPLE)
        for way, epoch in epochs.items():
            started = time.perf_counter()
            for _ in epoch(order):
                pass
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                took[way].append((time.perf_counter() - started) / people * 1e6)
    return took


def _ways(home: Path, device: torch.device) -> tuple[dict[str, Epoch], dict[str, Epoch]]:
    """List ways to bytes and to numbers."""
    plain, ours = _plain(home), _ours(home, device)

    def each(read: Callable[[Order], object]) -> Epoch:
        return lambda order: map(read, order.reshape(-1, BATCH))

    def loader(order: Order) -> Iterator[object]:
        batches = BatchSampler(order.tolist(), BATCH, drop_last=False)
        with_processes = {"num_workers": processors(), "multiprocessing_context": "spawn"}
        batch: CodedVolumes
        for batch in DataLoader(ours, sampler=batches, batch_size=None, **with_processes):
            yield batch.values(device).float()

    numbers = {
        PLAIN: each(lambda rows: _decoded(plain(rows), device).float()),
        OURS: each(lambda rows: ours[rows].values(device).float()),
    }
    return {PLAIN: each(plain), OURS: each(ours.__getitem__)}, numbers | {LOADER: loader}


def measure() -> list[Figure]:
    """Write everybody, check that ways agree, and read by turns."""
    home, device = WORK / "feed", pick_device()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    torch.set_num_threads(1)
    _keep_memory()
    _write(home)
    read = _ours(home, device)[np.array([5, 2])]
    wanted = Code(SCALE * (1 + 2 / PEOPLE), OFFSET).decode(_volume(2, 1))
    np.testing.assert_allclose(read.values(device)[1, 1].cpu().float(), wanted, atol=2e-3)
    bare, numbers = _ways(home, device)
    slow = {LOADER: numbers.pop(LOADER)}
    of_bytes, of_numbers = (_timed(ways, ROUNDS, PEOPLE) for ways in (bare, numbers))
    of_numbers |= _timed(slow, FEW_ROUNDS, PEOPLE)
    if importlib.util.find_spec("monai"):
        people = FEW_BATCHES * BATCH
        # Each first pass has a cache of its own.
        firsts = (_monai(home, f"cache{turn}") for turn in range(FEW_ROUNDS + 1))

        def first(order: Order) -> Iterator[object]:
            return next(firsts)(order)

        of_numbers |= _timed({MONAI: first}, FEW_ROUNDS, people)
        of_numbers |= _timed({MONAI_AGAIN: _monai(home, "cache0")}, FEW_ROUNDS, people)
    figures, rows = [], []
    for what, took in (("bytes", of_bytes), ("numbers", of_numbers)):
        base = statistics.median(took[PLAIN])
        for way, each in took.items():
            middle = statistics.median(each)
            ratio = middle / base
            if way == OURS:
                ratio = statistics.median(np.divide(each, took[PLAIN]))
            rows.append([what, way, f"{middle:,.0f}", f"{ratio:.2f}"])
            more = {"us": round(middle, 1), "us, plain": round(base, 1), "device": device.type}
            name = f"feeding at 64³, {what}: {way} over {PLAIN}"
            if way == OURS:
                figures.append(Figure.at_most(name, ratio, GOAL, "times", more))
            elif way != PLAIN:
                figures.append(Figure(name, ratio, "times", more=more))
    heads = ("", "way", "µs a person", f"over {PLAIN}")
    title = f"Three modalities of {PEOPLE} people, batches of {BATCH}, {device.type}"
    show(title, heads, rows)
    shutil.rmtree(home)
    return figures
