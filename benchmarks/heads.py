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
from ukb_brain.grid import Cell, Inputs
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.cells import TargetJob, features_of, fit_heads, joined
from ukb_brain.training.inputs import subsets
from ukb_brain.training.people import People
from ukb_brain.training.settings import Modelling

PEOPLE, VALIDATION, PARTS = 1600, 200, 5
# A target of the demo: encodings of seven sets of imaging groups, and four blocks with masks.
GROUPS, BLOCKS = ("image0", "image1", "image2"), ("block0", "block1")
TRAITS, WIDTH = 12, 25
LEAST = 10
Case = tuple[TargetJob, dict[str, np.ndarray]]


def _case() -> Case:
    rng = np.random.default_rng(0)
    n = PEOPLE + VALIDATION
    encodings = {joined(some): rng.normal(size=(n, WIDTH)) for some in subsets(GROUPS)}
    blocks = {name: rng.normal(size=(n, TRAITS)) for name in BLOCKS}
    everything = [*encodings.values(), *blocks.values()]
    y = sum(f[:, 0] for f in everything) + 3 * rng.normal(size=n)
    people = People(
        fold=0,
        eid=np.arange(n),
        instance=np.full(n, 2),
        family=np.arange(n),
        site=np.zeros(n, dtype=np.int64),
        phase=np.zeros(n, dtype=np.int64),
        part=np.repeat(["train", "validation"], [PEOPLE, VALIDATION]),
        targets={"y": y},
        blocks=blocks,
        has={group: np.ones(n, dtype=bool) for group in GROUPS},
    )
    cells = tuple(
        Cell("y", Inputs(groups, some, f"{groups} {some}"))
        for groups in ((), *subsets(GROUPS))
        for some in (BLOCKS[:1], BLOCKS)
    )
    network = {"network": {}, "loop": {"epochs": 1, "batch_size": 2}}
    settings = Modelling(
        kernels={"pooling": 1},
        encoders=network,
        dedicated=network,
        **regressions() | {"cross_fits": PARTS},
    )
    return TargetJob("y", "continuous", cells, GROUPS, people, [], {}, settings), encodings


def one_after_the_other(case: Case) -> dict[str, np.ndarray]:
    """Fit every cell, penalty and part by itself, as `fit_heads` does, for continuous targets.

    Scores of validation people by cell, with the penalties that `fit_heads`'s rule chooses.
    """
    job, encodings = case
    features, choices = encodings | job.people.blocks, job.settings.heads
    training = job.people.train
    y = (job.y - job.y[training].mean()) / job.y[training].std()
    weights = KINDS[job.kind].class_weights(job.y[training], job.y[training])
    losses, fits = {}, {}
    for cell in job.cells:
        tables = {name: features[name] for name in features_of(cell)}
        X = np.hstack(list(tables.values()))
        is_image = np.repeat(
            [name in encodings for name in tables], [table.shape[1] for table in tables.values()]
        )
        images = choices.images if is_image.any() else choices.images[:1]
        table = np.empty((len(images), len(choices.traits)))
        for i, image in enumerate(images):
            for t, trait in enumerate(choices.traits):
                shrunk = X / np.sqrt(np.where(is_image, image, trait))
                out = np.empty(len(y))
                for part in range(PARTS):
                    rows = training & (job.parts != part)
                    ridge = Ridge(alpha=weights[rows[training]].sum()).fit(shrunk[rows], y[rows])
                    out[job.parts == part] = ridge.predict(shrunk[job.parts == part])
                ridge = Ridge(alpha=weights.sum()).fit(shrunk[training], y[training])
                out[job.held] = ridge.predict(shrunk[job.held])
                table[i, t] = np.mean((out - y) ** 2)
                fits[cell, i, t] = out[job.held]
        losses[cell] = np.broadcast_to(table, (len(choices.images), len(choices.traits)))
    pooled = np.mean(list(losses.values()), axis=0)
    chosen = {}
    for cell in job.cells:
        both = 0.5 * losses[cell] + 0.5 * pooled
        i, t = np.unravel_index(int(np.argmin(both)), both.shape)
        chosen[cell] = fits[cell, i if cell.inputs.groups else 0, t]
    return chosen


def _timed(case: Case) -> tuple[dict[str, float], float]:
    """Median seconds of both ways, by turns, and the largest difference of a score."""
    seconds: dict[str, list[float]] = {"batched": [], "one after the other": []}
    fit_heads(*case)
    for _ in range(3):
        started = time.perf_counter()
        fits = fit_heads(*case)
        seconds["batched"].append(time.perf_counter() - started)
        started = time.perf_counter()
        alone = one_after_the_other(case)
        seconds["one after the other"].append(time.perf_counter() - started)
    held = case[0].held
    differ = max(float(np.abs(f.scores[held] - alone[cell]).max()) for cell, f in fits.items())
    return {name: float(np.median(values)) for name, values in seconds.items()}, differ


def measure() -> list[Figure]:
    """Time both ways on one thread."""
    (medians, differ), *_ = run_items(_timed, [_case()], Compute(workers=1), "Heads")
    ratio = medians["one after the other"] / medians["batched"]
    print(f"{medians}, ratio {ratio:.1f}, largest difference {differ:.1e} SD")
    return [
        Figure.at_least("heads: one after the other / batched", ratio, LEAST),
        Figure.at_most("heads: largest difference of a score", differ, 1e-3, "SD"),
    ]
