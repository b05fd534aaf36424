"""Numbers of the main table as normal scores, by the quantiles of training people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from ukb_brain.imaging.store import Key
from ukb_brain.training.steps import Source, Vectors

# Quantiles of a column at most, and training people whose numbers give them.
QUANTILES, LEARNT = 1000, 10_000


@dataclass(frozen=True)
class Scored:
    """Normal scores by quantiles of training people.

    Attributes
    ----------
    quantiles : ndarray of shape (q, k)
        Of each column, in units of ``unit``, from the smallest to the largest; NaN where nobody in
        training has a number.
    unit : ndarray of shape (k,)
        Standard deviation of each column; 0 where all are equal or nobody has one.
    """

    quantiles: NDArray[np.float64]
    unit: NDArray[np.float64]

    def apply(self, values: Vectors, keys: Sequence[Key]) -> Vectors:
        """Score numbers; NaN stays, and 0 stands where the column tells nothing.

        Equal numbers get the middle of their ranks. Beyond what anybody in training has is no
        farther out than the outermost of the quantiles.
        """
        found = np.where(np.isnan(values), values, np.float32(0))
        ranks, least = np.linspace(0, 1, len(self.quantiles)), 0.5 / len(self.quantiles)
        for column in np.flatnonzero(self.unit):
            known, at = values[:, column] / self.unit[column], self.quantiles[:, column]
            below = -np.interp(-known, -at[::-1], -ranks[::-1])
            middle = (below + np.interp(known, at, ranks)) / 2
            found[:, column] = norm.ppf(middle.clip(least, 1 - least))
        return found

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give ``quantiles`` and ``unit``."""
        return {"quantiles": self.quantiles, "unit": self.unit}


@dataclass(frozen=True)
class NormalScores:
    """Bring each number to a standard normal distribution, whatever its unit and its tails."""

    name: ClassVar[str] = "scores"
    costly: ClassVar[bool] = True

    def fit(self, scans: Source, training: Sequence[Key]) -> Scored:
        """Find the quantiles of each column among training people who have it."""
        drawn = np.random.default_rng(0).permutation(len(training))[:LEARNT]
        values = scans.read([training[k] for k in sorted(drawn)]).astype(np.float64)
        known = np.isfinite(values)
        low = np.min(values, axis=0, where=known, initial=np.inf)
        # Not by their deviation, of which rounding leaves some where all are equal.
        varies = np.max(values, axis=0, where=known, initial=-np.inf) > low
        unit = np.zeros(values.shape[1])
        unit[varies] = np.nanstd(values[:, varies], axis=0)
        ranks = np.linspace(0, 1, min(QUANTILES, len(values)))
        quantiles = np.full((len(ranks), values.shape[1]), np.nan)
        quantiles[:, varies] = np.nanquantile(values[:, varies] / unit[varies], ranks, axis=0)
        return Scored(quantiles, unit)

    def restore(self, scans: Source, arrays: Mapping[str, NDArray[np.generic]]) -> Scored | None:
        """Make it again."""
        if "quantiles" not in arrays:
            return None
        return Scored(*(arrays[name].astype(np.float64) for name in ("quantiles", "unit")))
