"""Batched heads against the same heads one after the other.

The same cells, penalties and parts of the cross-fit: all of a cell's fits as one tensor program on
Gram matrices, against one scikit-learn ridge regression for each penalty and part.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from benchmarks.record import Figure
from benchmarks.strategies import regressions
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.cells import CellFit, CellSpec, TargetJob, fit_target
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
    """Fit every cell, penalty and part by itself.

    Parameters
    ----------
    job : TargetJob
        As `fit_target` takes it; continuous.

    Returns
    -------
    dict of str to ndarray
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


def measure() -> list[Figure]:
    """Time both ways in turn, three times, on one thread.

    Returns
    -------
    list of Figure
        The ratio of the medians, and the largest difference of a score.
    """
    job, seconds = _job(), {"batched": [], "one after the other": []}
    with threadpool_limits(1):
        fit_target(job)
        for _ in range(3):
            started = time.perf_counter()
            fits: list[CellFit] = fit_target(job)
            seconds["batched"].append(time.perf_counter() - started)
            started = time.perf_counter()
            alone = one_after_the_other(job)
            seconds["one after the other"].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    ratio = medians["one after the other"] / medians["batched"]
    differ = max(float(np.abs(f.scores[job.held] - alone[f.inputs]).max()) for f in fits)
    print(f"{medians}, ratio {ratio:.1f}, largest difference {differ:.1e} SD")
    return [
        Figure("heads: one after the other / batched", ratio, "", f"≥ {LEAST}", ratio >= LEAST),
        Figure("heads: largest difference of a score", differ, "SD", "≤ 0.001", differ <= 1e-3),
    ]
