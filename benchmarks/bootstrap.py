"""All cells' bootstrap draws at once against a loop over scikit-learn's functions.

A grid of the study's shape: 25 targets on the same 2,381 test people, 700 cells, 2,000 draws, all
metrics of each kind. The loop resamples people with the same draws and calls scikit-learn for
each metric. It is timed on a few draws of one cell of each kind and its time is multiplied up, as
running it in full would take hours. The ratio is of processor seconds, which other work on the
machine changes less than the clock's; the clock's are given for the whole grid.
"""

from __future__ import annotations

import resource
import time

import numpy as np
import sklearn.metrics as sk

from benchmarks.record import Figure
from ukb_brain.cluster import processors
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.scores.cell_scores import score_cells
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.weighted_sums import Floats

PEOPLE, DRAWS = 2381, 2000
# Cells and share of positives; the numbers of the study's grid.
TARGETS = (
    *(("binary", 7, share) for share in (0.47, 0.9)),
    *(("binary", 32, share) for share in (0.38, 0.2, 0.23, 0.12)),
    *(("binary", 32, share) for share in np.linspace(0.15, 0.55, 11)),
    *(("continuous", cells, 0.5) for cells in (7, 7, 32, 32, 32, 32, 32, 32)),
)
LOOP_DRAWS, LEAST, MOST_SECONDS = 40, 20, 60


def simulated(seed: int, kind: str, cells: int, share: float) -> TargetPredictions:
    """Invent a target's test people, one in fifty related to another, and predictions of one fold.

    ``share`` is of positives.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=PEOPLE)
    y = (latent > np.quantile(latent, 1 - share)).astype(float) if kind == "binary" else latent
    guess = 0.5 * latent[:, None] + rng.normal(size=(PEOPLE, cells))
    everybody = np.arange(PEOPLE)
    return TargetPredictions(
        target=f"target {seed}",
        kind=kind,
        inputs=tuple(f"cell {cell}" for cell in range(cells)),
        visit=np.column_stack([everybody, np.full(PEOPLE, 2)]),
        family=np.where(everybody < 50, everybody // 2, everybody),
        fold=np.zeros(PEOPLE, dtype=np.int64),
        y=y,
        predicted=1 / (1 + np.exp(-guess)) if kind == "binary" else guess,
        threshold=np.full((1, cells), 0.5 if kind == "binary" else 0.0),
        folds=(0,),
    )


def one_draw(table: TargetPredictions, cell: int, counts: Floats) -> list[float]:
    """Score one cell with scikit-learn, in the order of `METRICS`; ``counts`` are of people."""
    people = np.repeat(np.arange(len(counts)), counts.astype(int))
    y, p, at = table.y[people], table.predicted[people, cell], float(table.threshold[0, cell])
    if table.kind == "binary":
        return [
            sk.balanced_accuracy_score(y, p > at),
            sk.roc_auc_score(y, p),
            sk.average_precision_score(y, p),
            sk.brier_score_loss(y, p),
        ]
    return [
        sk.r2_score(y, p),
        np.corrcoef(y, p)[0, 1],
        sk.mean_absolute_error(y, p),
        sk.balanced_accuracy_score(y > at, p > at),
    ]


def measure() -> list[Figure]:
    """Score the grid, and a few draws of it by the loop."""
    tables = [simulated(seed, *target) for seed, target in enumerate(TARGETS)]
    cells = {kind: sum(n for k, n, _ in TARGETS if k == kind) for kind in ("binary", "continuous")}
    weights = FamilyDraws(range(PEOPLE), DRAWS, 1).weights(tables[0].family)
    differ, loop = 0.0, 0.0
    for table in (tables[2], tables[-1]):
        found = score_cells(table, weights[:LOOP_DRAWS])
        started = time.process_time()
        alone = [one_draw(table, 3, counts) for counts in weights[:LOOP_DRAWS]]
        loop += (time.process_time() - started) * DRAWS / LOOP_DRAWS * cells[table.kind]
        for metric, expected in zip(found.values(), np.transpose(alone), strict=True):
            differ = max(differ, float(np.abs(metric[:, 3] - expected).max()))
    started, worked = time.perf_counter(), time.process_time()
    for table in tables:
        score_cells(table, weights)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ratio = loop / worked
    print(
        f"{sum(cells.values())} cells x {DRAWS} draws x {PEOPLE} people: {seconds:.1f} s on "
        f"{processors()} threads, {worked:.1f} processor seconds, "
        f"peak {peak:.1f} GiB; the loop, extrapolated from {LOOP_DRAWS} draws of a cell of each "
        f"kind, {loop:.0f} processor seconds: {ratio:.0f} times; largest difference {differ:.1e}"
    )
    more = {
        "processor_seconds": round(worked, 1),
        "loop_processor_seconds_extrapolated": round(loop),
        "peak_gib": round(peak, 2),
    }
    all_of_it = "bootstrap: all cells, draws and metrics"
    return [
        Figure.at_most(all_of_it, seconds, MOST_SECONDS, "s", more),
        Figure.at_least("bootstrap: scikit-learn loop / vectorised", ratio, LEAST),
        Figure.at_most("bootstrap: largest difference of a score", differ, 1e-9),
    ]
