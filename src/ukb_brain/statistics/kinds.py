"""The two kinds of target: what each is scored by, and how a score becomes skill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.statistics.sums import Floats

Numbers = TypeVar("Numbers", float, Floats, pd.Series)

# Below these the coverage of recommended intervals falls outside 93 to 97 %; see
# `ukb_brain.statistics.certainty.coverage`. The last is the smaller class times the share of pairs
# that are ranked wrongly.
LEAST_OF_CLASS = 30
LEAST_PEOPLE = 2 * LEAST_OF_CLASS
BELOW_AUC = 0.97
LEAST_MISRANKED = 1.5


class Binary:
    """A trait that somebody has or has not, predicted as a probability.

    Attributes
    ----------
    name, label : str
        In tables, and of its headline metric in words.
    metrics : dict of str to str
        In the order of the performance table, each with its recommended interval: chosen by
        simulated coverage (`ukb_brain.statistics.certainty.coverage`), not by what a run shows.
    pooled : tuple of str
        Metrics of people of all folds together. Errors of all folds are on one scale. Ranks and
        calls are not: each fold's model has a scale and a threshold of its own, and comparing
        people across models would mix in how these differ.
    headline, accuracy, error, published : str
        Names of metrics: what skill is made of; the study's outcome; what recalibration is judged
        by; and what the skill of a published table is made of, whose AUC is none of the trait.
    cut : str
        Column of the fits that says where predictions are split in two.
    chance : float
        Headline score of a prediction that knows nothing.
    """

    name = "binary"
    label = "AUC"
    metrics: ClassVar[dict[str, str]] = {
        "balanced_accuracy": "newcombe",
        "roc_auc": "delong",
        "average_precision": "expanded",
        "brier": "bca",
    }
    pooled = ("brier",)
    headline = "roc_auc"
    accuracy = published = "balanced_accuracy"
    error = "brier"
    cut = "decision_threshold"
    chance = 0.5

    def skill(self, score: Numbers) -> Numbers:
        """Turn a headline score, or a balanced accuracy, into skill: 0 is chance, 1 everything."""
        return 2 * score - 1

    def score(self, skill: Numbers) -> Numbers:
        """Turn skill into the headline score that has it."""
        return (skill + 1) / 2

    def gain(self, difference: Numbers) -> Numbers:
        """Turn a difference of headline scores into one of skill."""
        return 2 * difference

    def positive(self, y: Floats, threshold: float | Floats) -> NDArray[np.bool_]:
        """Say who is above, shape of both broadcast; of a trait whoever has it."""
        return np.broadcast_to(y > 0, np.broadcast_shapes(np.shape(y), np.shape(threshold)))

    def rarest(self, y: Floats) -> int:
        """Count the people whom a score rests on: those of the smaller class."""
        return int(min((y > 0).sum(), (y <= 0).sum()))

    def validated(self, rarest: int, score: float) -> bool:
        """Say whether recommended intervals are in the region of known coverage.

        Parameters
        ----------
        rarest : int
            From `rarest`, of test people.
        score : float
            The estimated AUC; NaN is not in the region.

        Returns
        -------
        bool
            Whether each class has 30 people or more, the AUC is below .97 and above .03, and the
            smaller class times the share of pairs that are ranked wrongly is 1.5 or more: among
            30 against 270 people with an AUC of .96, 92 % of intervals held the truth.

        Notes
        -----
        ``tests/statistics/certainty/test_coverage.py`` measures coverage there, and
        ``benchmarks/coverage.py`` writes down what is measured within and without.
        """
        best = max(score, 1 - score)
        misranked = rarest * (1 - best)
        return bool(rarest >= LEAST_OF_CLASS and best < BELOW_AUC and misranked >= LEAST_MISRANKED)


class Continuous:
    """A quantity, predicted in its own units.

    Attributes are those of `Binary`.
    """

    name = "continuous"
    label = "R²"
    metrics: ClassVar[dict[str, str]] = {
        "r2": "bca",
        "pearson_r": "bca",
        "mae": "bca",
        "median_split_accuracy": "newcombe",
    }
    pooled = ("r2", "pearson_r", "mae")
    headline = published = error = "r2"
    accuracy = "median_split_accuracy"
    cut = "train_median"
    chance = 0.0

    def skill(self, score: Numbers) -> Numbers:
        """Give R² as it is, which is skill: 0 where nothing is read and 1 where everything is."""
        return score

    def score(self, skill: Numbers) -> Numbers:
        """Give skill as it is, which is R²."""
        return skill

    def gain(self, difference: Numbers) -> Numbers:
        """Give a difference of R² as it is, which is one of skill."""
        return difference

    def positive(self, y: Floats, threshold: float | Floats) -> NDArray[np.bool_]:
        """Say who is above, shape of both broadcast: above the threshold, a training median."""
        return np.asarray(y > threshold)

    def rarest(self, y: Floats) -> int:
        """Count the people whom a score rests on: all."""
        return len(y)

    def validated(self, rarest: int, score: float) -> bool:
        """Say whether there are the 60 people or more with whom coverage is known.

        Parameters
        ----------
        rarest : int
            Test people.
        score : float
            The estimated R²; any will do.

        Returns
        -------
        bool

        Notes
        -----
        As `Binary.validated`.
        """
        return rarest >= LEAST_PEOPLE


Kind = Binary | Continuous

BINARY, CONTINUOUS = Binary(), Continuous()
KINDS: dict[str, Kind] = {kind.name: kind for kind in (BINARY, CONTINUOUS)}
# Every metric with its recommended interval, and those of all folds together.
RECOMMENDED = BINARY.metrics | CONTINUOUS.metrics
POOLED = (*BINARY.pooled, *CONTINUOUS.pooled)
# By headline metric, which is how tables of one target a row name the kind.
LABELS = {kind.headline: kind.label for kind in KINDS.values()}


def by_kind(kinds: pd.Series, of: Callable[[Kind], Any]) -> pd.Series:
    """Take each row from the values of its kind of target.

    Parameters
    ----------
    kinds : pandas.Series of str
        ``binary`` or ``continuous``.
    of : callable
        From a kind to its values: a Series of the same rows.

    Returns
    -------
    pandas.Series
    """
    values: pd.Series = of(BINARY).where(kinds == BINARY.name, of(CONTINUOUS))
    return values
