"""Intervals of single cells of a published table, from its number of test people alone."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from ukb_brain.statistics.kinds import BINARY, CONTINUOUS
from ukb_brain.statistics.settings import DEFAULT, Published, Reporting
from ukb_brain.statistics.weighted_sums import Floats

COLUMNS = ["target", "inputs", "metric", "estimate", "low", "high", "note"]
NO_R2 = "R² is not r², so that it has no interval without its test people"
NO_SIZES = "the table's precision and F1 belong to no class sizes of so many test people"
# A table is rounded to six digits or more.
ROUNDED = 1e-6
# So many cells tell the sizes of a target's classes.
ENOUGH = 6


def class_size(cells: pd.DataFrame, n: int) -> int | None:
    """Find how many of n test people are of a target's smaller class.

    Balanced accuracy and macro-averaged precision and F1 are functions of four counts that add up
    to the test people, so that few sizes fit one cell, and hardly ever more than neighbours fit
    all. None where no size fits all cells looked at: they are rounded too much, or of others.
    ``tests/statistics/scores/test_published_intervals.py`` recovers the sizes of invented classes.
    """
    known = cells[["balanced_accuracy", "precision", "f1"]].dropna().head(ENOUGH)
    sizes = list(range(1, n // 2 + 1)) if len(known) else []
    for cell in known.to_numpy(float):
        sizes = [size for size in sizes if _fits(size, n, cell)]
    return sizes[len(sizes) // 2] if sizes else None


def _fits(size: int, n: int, cell: Floats) -> bool:
    """Whether some count of hits in either class gives a cell's scores."""
    accuracy, precision, f1 = cell
    rest = n - size
    hits = np.arange(size + 1)
    exact = rest * (2 * accuracy - hits / size)
    others = np.rint(exact)
    # An error of rounding counts twice, and once for each of the larger class.
    right = (np.abs(exact - others) < 2 * ROUNDED * rest) & (others >= 0) & (others <= rest)
    hits, others = hits[right], others[right]
    one = _precision_and_f1(hits, rest - others, size)
    means = (one + _precision_and_f1(others, size - hits, rest)) / 2
    return bool((np.abs(means - [[precision], [f1]]) < ROUNDED).all(axis=0).any())


def _precision_and_f1(hits: NDArray, false: NDArray, size: int) -> Floats:
    """Of one class, shape (2, m); 0 where nobody is said to be of it, as scikit-learn has it."""
    said = np.maximum(hits + false, 1)
    return np.array([hits / said, 2 * hits / (hits + false + size)])


def standard_error(accuracy: pd.Series, size: pd.Series, n: int) -> pd.Series:
    """Give the standard error of a balanced accuracy, the mean of two recalls taken to be alike.

    ½√(BA(1 − BA)(1/n₁ + 1/n₀)), with ``size`` of n people in one class, NaN where it is unknown;
    people are taken for unrelated.
    """
    return 0.5 * np.sqrt(accuracy * (1 - accuracy) * (1 / size + 1 / (n - size)))


def published_intervals(
    cells: pd.DataFrame, published: Published, reporting: Reporting = DEFAULT
) -> pd.DataFrame:
    """Give single cells of a published table their intervals.

    Parameters
    ----------
    cells : pandas.DataFrame
        From `ukb_brain.statistics.scores.published.read_published`.
    published, reporting : Published, Reporting
        Test people of the table, and the level of the intervals.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`: one row a cell and metric. Balanced accuracy by `standard_error`, r by Fisher's
        z, R² without; ``note`` says why there is none.
    """
    n, z = published.test_people, norm.ppf((1 + reporting.level) / 2)
    cells = pd.concat([mine for _, mine in cells.groupby("target", sort=False)], ignore_index=True)
    sizes = {target: class_size(mine, n) for target, mine in cells.groupby("target")}
    accuracy = cells["balanced_accuracy"]
    reach = z * standard_error(accuracy, cells["target"].map(sizes).astype(float), n)
    reach = reach.where(reach > 0)
    ends = {"low": (accuracy - reach).clip(lower=0), "high": (accuracy + reach).clip(upper=1)}
    note = np.where(reach.notna(), "", NO_SIZES)
    of_all = cells.assign(metric="balanced_accuracy", estimate=accuracy, note=note, **ends)
    quantities = cells[cells["kind"] == CONTINUOUS.name]
    r, apart = quantities["pearson_r"], z / np.sqrt(n - 3)
    ends = {"low": np.tanh(np.arctanh(r) - apart), "high": np.tanh(np.arctanh(r) + apart)}
    of_r = quantities.assign(metric="pearson_r", estimate=r, note="", **ends)
    of_r2 = quantities.assign(metric="r2", estimate=quantities["r2"], note=NO_R2)
    table = pd.concat([of_all, of_r, of_r2]).sort_index(kind="stable")
    return table.reset_index(drop=True)[COLUMNS]


def skill_errors(intervals: pd.DataFrame, level: float = 0.95) -> pd.Series:
    """Read standard errors of skill off `published_intervals`, by target and inputs.

    They are of 2·BA − 1 of binary targets; of no other there is one.
    """
    continuous = intervals.loc[intervals["metric"] == "r2", "target"]
    mine = intervals[
        (intervals["metric"] == "balanced_accuracy") & ~intervals["target"].isin(continuous)
    ].set_index(["target", "inputs"])
    # Bounds are cut at 1: the lower one is the whole reach away.
    return BINARY.gain(mine["estimate"] - mine["low"]) / norm.ppf((1 + level) / 2)
