"""The store benchmark: batches of people in random order, by this store and by other ways to keep.

Three modalities of 64³ voxels of 8 bits, as training reads them, by turns on a warm disk. Zarr is
read where it is installed; one shard holds as many people as a batch.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.record import WORK, Figure, show
from ukb_brain.imaging.store import open_store

PEOPLE, BATCH, ROUNDS, EDGE = 512, 32, 7, 64
MODALITIES = ("t1", "t2_flair", "dti_fa")
FIRST, VISIT = 1_000_001, 2
GOAL = 1.2
Volumes = NDArray[np.uint8]
# From rows of people to volumes of shape (n, modalities, x, y, z).
Read = Callable[[NDArray[np.int64]], Volumes]
PLAIN, OURS = "plain memory map", "this store"


def _volume(row: int, channel: int) -> Volumes:
    """Smooth values in a ball, as large as a brain is in its box, and noise upon them."""
    rng = np.random.default_rng([row, channel])
    coarse = ndimage.zoom(rng.normal(size=(9, 9, 9)), EDGE / 9, order=1)
    grid = np.linspace(-1, 1, EDGE)
    inside = np.add.outer(np.add.outer(grid**2, grid**2), grid**2) < 1
    values = 128 + 40 * coarse + 6 * rng.normal(size=inside.shape)
    return np.where(inside, values, 0).clip(0, 255).astype(np.uint8)


def _plain(folder: Path) -> tuple[Read, Callable[[int, int, Volumes], None]]:
    shape = (PEOPLE, len(MODALITIES), EDGE, EDGE, EDGE)
    held = np.memmap(folder / "plain", np.uint8, "w+", shape=shape)

    def write(row: int, channel: int, volume: Volumes) -> None:
        held[row, channel] = volume

    return lambda rows: np.asarray(held[rows]), write


def _ours(folder: Path) -> tuple[Read, Callable[[int, int, Volumes], None]]:
    store = open_store(folder)

    def read(rows: NDArray[np.int64]) -> Volumes:
        out = np.empty((len(rows), len(MODALITIES), EDGE, EDGE, EDGE), np.uint8)
        keys = [(FIRST + int(row), VISIT) for row in rows]
        for channel, modality in enumerate(MODALITIES):
            store.read_many(modality, keys, out[:, channel])
        return out

    def write(row: int, channel: int, volume: Volumes) -> None:
        store.write(MODALITIES[channel], (FIRST + row, VISIT), volume, {"fingerprint": "0" * 16})

    return read, write


def _zarr(folder: Path, compressors: str | None) -> tuple[Read, Callable]:
    import zarr

    one = (1, 1, EDGE, EDGE, EDGE)
    held = zarr.create_array(
        folder,
        shape=(PEOPLE, len(MODALITIES), EDGE, EDGE, EDGE),
        chunks=one,
        shards=(BATCH, *one[1:]),
        dtype="uint8",
        compressors=zarr.codecs.BloscCodec(cname="lz4", clevel=1) if compressors else None,
    )
    waiting: dict[int, list[Volumes]] = {}

    def write(row: int, channel: int, volume: Volumes) -> None:
        # A shard is written whole.
        some = waiting.setdefault(channel, [])
        some.append(volume)
        if len(some) == BATCH:
            held[row + 1 - BATCH : row + 1, channel] = np.stack(some)
            some.clear()

    return lambda rows: np.asarray(held.oindex[rows]), write


def _gzipped(folder: Path) -> tuple[Read, Callable[[int, int, Volumes], None]]:
    folder.mkdir()

    def read(rows: NDArray[np.int64]) -> Volumes:
        paths = ([folder / f"{row}_{c}.nii.gz" for c in range(len(MODALITIES))] for row in rows)
        return np.stack([[np.asarray(nib.load(path).dataobj) for path in own] for own in paths])

    def write(row: int, channel: int, volume: Volumes) -> None:
        image = nib.Nifti1Image(volume, np.eye(4))
        nib.save(image, folder / f"{row}_{channel}.nii.gz")

    return read, write


def _size(place: Path) -> tuple[int, int]:
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def measure() -> list[Figure]:
    """Write everybody's volumes in each way, and read them by turns."""
    home = WORK / "store"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    ways = {PLAIN: ("plain", _plain(home)), OURS: ("ours", _ours(home / "ours"))}
    if importlib.util.find_spec("zarr"):
        ways["Zarr v3, shards, lz4"] = ("lz4", _zarr(home / "lz4", "lz4"))
        ways["Zarr v3, shards, uncompressed"] = ("raw", _zarr(home / "raw", None))
    ways["gzipped NIfTI"] = ("nifti", _gzipped(home / "nifti"))
    wrote = dict.fromkeys(ways, 0.0)
    for row in range(PEOPLE):
        for channel in range(len(MODALITIES)):
            volume = _volume(row, channel)
            for way, (_, (_, write)) in ways.items():
                started = time.perf_counter()
                write(row, channel, volume)
                wrote[way] += time.perf_counter() - started
    took: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(ROUNDS):
        order = np.random.default_rng(turn).permutation(PEOPLE).reshape(-1, BATCH)
        for way, (_, (read, _)) in ways.items():
            # What is slow is not read by everybody every time.
            some = order if way in (PLAIN, OURS) else order[:2]
            started = time.perf_counter()
            for rows in some:
                batch = read(rows)
            took[way].append((time.perf_counter() - started) / some.size)
            np.testing.assert_array_equal(batch[0, 1], _volume(int(rows[0]), 1))
    each = {way: statistics.median(seconds) for way, seconds in took.items()}
    rows, figures = [], []
    for way, (name, _) in ways.items():
        files, size = _size(home / name)
        ratio = statistics.median(np.divide(took[way], took[PLAIN]))
        numbers = (each[way] * 1e6, ratio, wrote[way] / PEOPLE * 1e3, size / PEOPLE / 1e3, files)
        rows.append([way, *(f"{number:,.2f}" for number in numbers)])
        more = {"us": each[way] * 1e6, "kb_a_person": size / PEOPLE / 1e3, "files": files}
        goal = {"goal": f"≤ {GOAL}", "holds": bool(ratio <= GOAL)} if way == OURS else {}
        if way != PLAIN:
            figures.append(Figure(f"reading at 64³, {way} over {PLAIN}", ratio, **goal, more=more))
    heads = ("", "µs a person", f"over {PLAIN}", "ms to write", "kB a person", "files")
    show(f"Three modalities of {PEOPLE} people in random order, batches of {BATCH}", heads, rows)
    shutil.rmtree(home)
    return figures
