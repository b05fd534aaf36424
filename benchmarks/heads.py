"""Batched heads against the same heads one after the other.

The same cells, penalties and parts of the cross-fit: all of a cell's fits as one tensor program on
Gram matrices, against one scikit-learn ridge regression for each penalty and part.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.linear_model import Ridge

from benchmarks.record import Figure
from benchmarks.strategies import regressions
from ukb_brain.cluster import Compute, run_items
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.cells import CellSpec, TargetJob, fit_target
from ukb_brain.training.settings import Penalties

PEOPLE, VALIDATION, PARTS = 1600, 200, 5
# A target of the demo: encodings of seven sets of imaging groups, and four blocks with masks.
GROUPS, TRAITS, WIDTH = 3, 12, 25
LEAST = 10


def _job() -> TargetJob:
    rng = np.random.default_rng(0)
    n = PEOPLE + VALIDATION
    features = {f"image{k}": rng.normal(size=(n, WIDTH)) for k in range(GROUPS)}
    features |= {f"block{k}": rng.normal(size=(n, TRAITS)) for k in range(2)}
    y = sum(f[:, 0] for f in features.values()) + 3 * rng.normal(size=n)
    training = np.arange(n) < PEOPLE
    sets = [tuple(f"image{k}" for k in range(GROUPS) if mask >> k & 1) for mask in range(8)]
    cells = tuple(
        CellSpec(f"{images} {blocks}", images, blocks, np.ones(n, dtype=bool))
        for images in sets
        for blocks in (("block0",), ("block0", "block1"))
    )
    parts = np.where(training, np.arange(n) % PARTS, -1)
    penalties = Penalties(**regressions()["heads"])
    return TargetJob("y", "continuous", y, parts, ~training, features, cells, penalties)


def one_after_the_other(job: TargetJob) -> dict[str, np.ndarray]:
    """Fit every cell, penalty and part by itself, as `fit_target` does, for continuous targets.

    Scores of validation people by cell, with the penalties that `fit_target`'s rule chooses.
    """
    training = job.parts >= 0
    y = (job.y - job.y[training].mean()) / job.y[training].std()
    weights = KINDS[job.kind].class_weights(job.y[training], job.y[training])
    losses, fits = {}, {}
    for cell in job.cells:
        X = np.hstack([job.features[name] for name in cell.features])
        is_image = np.repeat(
            [name in cell.images for name in cell.features],
            [job.features[name].shape[1] for name in cell.features],
        )
        images = job.penalties.images if is_image.any() else job.penalties.images[:1]
        table = np.empty((len(images), len(job.penalties.traits)))
        for i, image in enumerate(images):
            for t, trait in enumerate(job.penalties.traits):
                shrunk = X / np.sqrt(np.where(is_image, image, trait))
                out = np.empty(len(y))
                for part in range(PARTS):
                    rows = training & (job.parts != part)
                    ridge = Ridge(alpha=weights[rows[training]].sum()).fit(shrunk[rows], y[rows])
                    out[job.parts == part] = ridge.predict(shrunk[job.parts == part])
                ridge = Ridge(alpha=weights.sum()).fit(shrunk[training], y[training])
                out[job.held] = ridge.predict(shrunk[job.held])
                table[i, t] = np.mean((out - y) ** 2)
                fits[cell.inputs, i, t] = out[job.held]
        losses[cell.inputs] = np.broadcast_to(
            table, (len(job.penalties.images), len(job.penalties.traits))
        )
    pooled = np.mean(list(losses.values()), axis=0)
    chosen = {}
    for cell in job.cells:
        both = 0.5 * losses[cell.inputs] + 0.5 * pooled
        i, t = np.unravel_index(int(np.argmin(both)), both.shape)
        chosen[cell.inputs] = fits[cell.inputs, i if cell.images else 0, t]
    return chosen


def _timed(job: TargetJob) -> tuple[dict[str, float], float]:
    """Median seconds of both ways, by turns, and the largest difference of a score."""
    seconds: dict[str, list[float]] = {"batched": [], "one after the other": []}
    fit_target(job)
    for _ in range(3):
        started = time.perf_counter()
        fits = fit_target(job)
        seconds["batched"].append(time.perf_counter() - started)
        started = time.perf_counter()
        alone = one_after_the_other(job)
        seconds["one after the other"].append(time.perf_counter() - started)
    differ = max(float(np.abs(f.scores[job.held] - alone[f.inputs]).max()) for f in fits)
    return {name: float(np.median(values)) for name, values in seconds.items()}, differ


def measure() -> list[Figure]:
    """Time both ways on one thread."""
    (medians, differ), *_ = run_items(_timed, [_job()], Compute(workers=1), "Heads")
    ratio = medians["one after the other"] / medians["batched"]
    print(f"{medians}, ratio {ratio:.1f}, largest difference {differ:.1e} SD")
    return [
        Figure.at_least("heads: one after the other / batched", ratio, LEAST),
        Figure.at_most("heads: largest difference of a score", differ, 1e-3, "SD"),
    ]
