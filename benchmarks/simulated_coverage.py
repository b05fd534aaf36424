"""How often nominal 95 % intervals hold the truth, by simulation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.certainty.cell_intervals import ScoredCells
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.scores.engine import score_draws
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.weighted_sums import Floats

# Replicates that share bootstrap weights: few, so that these average out over replicates.
BATCH = 40
# Quantiles that stand for a normal distribution.
POINTS = norm.ppf((np.arange(1500) + 0.5) / 1500)
POINTS /= POINTS.std()


def simulate_binary(
    n_pos: int, n_neg: int, auc: float, replicates: int, draws: int, seed: int
) -> pd.DataFrame:
    """Measure the coverage of every interval of a binary cell.

    Parameters
    ----------
    n_pos, n_neg : int
        Expected people of each class. A sample's own differ: test people are drawn from a
        population, and nobody fixes how many of them have the disease.
    auc : float
        Of the population; scores are normal in each class with the same variance, the threshold
        is halfway, and probabilities are the logistic function of the scores.
    replicates, draws : int
        Simulated samples, and bootstrap draws of each.
    seed : int
        Non-negative.

    Returns
    -------
    pandas.DataFrame
        One row a metric and method: ``metric, method, truth, coverage, below, above`` (shares of
        intervals that hold the truth, and that lie wholly below or above it), ``width`` (median)
        and ``given`` (share of samples with an interval, among which coverage is counted).
    """
    rng = np.random.default_rng(seed)
    n, apart = n_pos + n_neg, np.sqrt(2) * norm.ppf(auc)
    everybody = np.repeat([1.0, 0.0], len(POINTS))
    at = expit(np.tile(POINTS, 2) + apart * (everybody - 0.5))
    truth = _truth("binary", everybody, at, np.where(everybody > 0, 1.0 * n_pos, n_neg), 0.5)
    # A class of one has no variance, and a target that has it would not be scored.
    positives = np.clip(rng.binomial(n, n_pos / n, replicates), 2, n - 2)
    found = []
    for size, count in zip(*np.unique(positives, return_counts=True), strict=True):
        y = (np.arange(n) < size).astype(float)
        for cells in _batches(int(count)):
            score = rng.normal(size=(n, cells)) + apart * (y[:, None] - 0.5)
            table = _table("binary", y, expit(score), 0.5)
            found.append(_held(table, truth, _weights(n, draws, rng)))
    return _summed(found, truth)


def simulate_continuous(
    n: int, correlation: float, replicates: int, draws: int, seed: int
) -> pd.DataFrame:
    """Measure the coverage of every interval of a continuous cell.

    Parameters
    ----------
    n : int
        Test people.
    correlation : float
        Of the population's normal values and predictions, from 0 to below 1; predictions have the
        slope of least squares, or where nothing is read a tenth of the values' SD.
    replicates, draws, seed : int
        As for `simulate_binary`.

    Returns
    -------
    pandas.DataFrame
        As of `simulate_binary`.
    """
    rng = np.random.default_rng(seed)
    slope = correlation if correlation > 0 else 0.1

    def predict(y: Floats, noise: Floats) -> Floats:
        return slope * (correlation * y + np.sqrt(1 - correlation**2) * noise)

    everybody, noises = (grid.ravel() for grid in np.meshgrid(POINTS, POINTS))
    at = predict(everybody, noises)
    truth = _truth("continuous", everybody, at, np.ones(len(at)), 0.0)
    found = []
    for cells in _batches(replicates):
        weights = _weights(n, draws, rng)
        for _ in range(cells):
            y, noise = rng.normal(size=(2, n))
            table = _table("continuous", y, predict(y, noise)[:, None], 0.0)
            found.append(_held(table, truth, weights))
    return _summed(found, truth)


def _batches(count: int) -> Iterator[int]:
    for at in range(0, count, BATCH):
        yield min(BATCH, count - at)


def _truth(
    kind: str, y: Floats, predicted: Floats, weights: Floats, threshold: float
) -> dict[str, float]:
    """Scores of a population: of people at the quantiles of its distributions, weighted."""
    cut = np.array([[threshold]])
    scores = score_draws(kind, y, predicted, weights[None], threshold=cut)
    return {metric: float(value[0]) for metric, value in scores.items()}


def _table(kind: str, y: Floats, predicted: Floats, threshold: float) -> TargetPredictions:
    people, cells = np.arange(len(y)), predicted.shape[1]
    return TargetPredictions(
        target="simulated",
        kind=kind,
        inputs=tuple(str(cell) for cell in range(cells)),
        visit=np.column_stack([people, np.full(len(y), 2)]),
        family=people,
        fold=np.zeros(len(y), dtype=np.int64),
        y=y,
        predicted=predicted,
        threshold=np.full((1, cells), threshold),
        folds=(0,),
    )


def _weights(n: int, draws: int, rng: np.random.Generator) -> Floats:
    return FamilyDraws(range(n), draws, int(rng.integers(2**31))).weights(np.arange(n))


def _held(
    table: TargetPredictions, truth: dict[str, float], weights: Floats
) -> dict[tuple[str, str], Floats]:
    """Bounds less the truth, shape (2, cells), by metric and method."""
    scored = ScoredCells(table, weights)
    return {
        (metric, method): scored.bounds(metric, method, 0.95) - true
        for metric, true in truth.items()
        for method in dict.fromkeys((RECOMMENDED[metric], "percentile", "bca"))
    }


def _summed(found: list[dict[tuple[str, str], Floats]], truth: dict[str, float]) -> pd.DataFrame:
    rows = []
    for metric, method in found[0]:
        low, high = np.concatenate([one[metric, method] for one in found], axis=1)
        given = np.isfinite(low)
        low, high = low[given], high[given]
        shares = {"coverage": (low <= 0) & (high >= 0), "below": high < 0, "above": low > 0}
        row = {"metric": metric, "method": method, "truth": truth[metric]}
        row |= {name: float(holds.mean()) for name, holds in shares.items()}
        rows.append(row | {"width": float(np.median(high - low)), "given": float(given.mean())})
    return pd.DataFrame(rows)
