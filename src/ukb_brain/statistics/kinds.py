"""The two kinds of target: what each is scored by, and all in which they differ."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from ukb_brain.metrics import HEADLINE, METRICS
from ukb_brain.statistics.weighted_sums import Floats

Numbers = TypeVar("Numbers", float, Floats, pd.Series)

# Below these the coverage of recommended intervals falls outside 93 to 97 % (docs/coverage.md). The
# last is the smaller class times the share of pairs that are ranked wrongly.
LEAST_OF_CLASS = 30
LEAST_PEOPLE = 2 * LEAST_OF_CLASS
BELOW_AUC = 0.97
LEAST_MISRANKED = 1.5
# Probabilities are kept this far from 0 and 1, where they have no logit.
CLOSEST = 1e-9


class _OfChance:
    """Headline scores and skill are linear in each other: skill is 0 at chance, 1 at everything."""

    chance: float

    def skill(self, score: Numbers) -> Numbers:
        """Turn a headline score, or a balanced accuracy, into skill."""
        return (score - self.chance) / (1 - self.chance)

    def score(self, skill: Numbers) -> Numbers:
        """Turn skill into the headline score that has it."""
        return self.chance + (1 - self.chance) * skill

    def gain(self, difference: Numbers) -> Numbers:
        """Turn a difference of headline scores into one of skill."""
        return difference / (1 - self.chance)


class Binary(_OfChance):
    """A trait that somebody has or has not, predicted as a probability.

    Attributes
    ----------
    name, label : str
        In tables, and of its headline metric in words.
    metrics : dict of str to str
        In the order of the performance table, each with its recommended interval.
    headline, accuracy, error, published : str
        Names of metrics: what skill is made of; the study's outcome; what recalibration is judged
        by; and what the skill of a published table is made of, whose AUC is none of the trait.
    cut : str
        Column of the fits that says where predictions are split in two.
    constant : str
        What is wrong with a target of which everybody has the same value.
    chance : float
        Headline score of a prediction that knows nothing.
    """

    name = "binary"
    metrics = METRICS["binary"]
    headline, label = HEADLINE["binary"]
    accuracy = published = "balanced_accuracy"
    error = "brier"
    cut = "decision_threshold"
    constant = "one class"
    chance = 0.5

    def positive(self, y: Floats, threshold: float | Floats) -> NDArray[np.bool_]:
        """Say who is above, shape of both broadcast; of a trait whoever has it."""
        return np.broadcast_to(y > 0, np.broadcast_shapes(np.shape(y), np.shape(threshold)))

    def cut_of(self, y: Floats) -> float:
        """Split predictions where as many training people are above as have the trait."""
        return float(y.mean())

    def rarest(self, y: Floats) -> int:
        """Count the people whom a score rests on: those of the smaller class."""
        return int(min((y > 0).sum(), (y <= 0).sum()))

    def validated(self, rarest: int, score: float) -> bool:
        """Say whether recommended intervals are in the region of known coverage.

        Each of two classes has 30 people or more (`rarest`), the AUC is below .97 and above .03,
        and the smaller class times the share of pairs that are ranked wrongly is 1.5 or more: among
        30 against 270 people with an AUC of .96, 92 % of intervals held the truth. A score of NaN
        is outside. ``tests/statistics/certainty/test_coverage.py`` measures coverage there.
        """
        best = max(score, 1 - score)
        misranked = rarest * (1 - best)
        return bool(rarest >= LEAST_OF_CLASS and best < BELOW_AUC and misranked >= LEAST_MISRANKED)

    def least_skill(self, z: float, n: int, n_positive: int | None) -> float:
        """Give the skill that is z standard errors of no association; NaN of one class.

        √((n₁ + n₀ + 1) / (12 n₁ n₀)) is the standard error of an area without association (Hanley
        & McNeil 1982, Radiology 143:29; Mann–Whitney under the null). Without ``n_positive`` half
        of all have the trait, which is the best case.
        """
        positive = n / 2 if n_positive is None else n_positive
        negative = n - positive
        if min(positive, negative) < 1:
            return np.nan
        return float(min(1.0, self.gain(z * np.sqrt((n + 1) / (12 * positive * negative)))))

    def link(self, predicted: Floats) -> Floats:
        """Give log-odds, on which lines are fitted, finite at 0 and 1.

        Raises
        ------
        ValueError
            If a number is not a probability.
        """
        if not ((predicted >= 0) & (predicted <= 1)).all():
            raise ValueError("probabilities lie between 0 and 1")
        return logit(np.clip(predicted, CLOSEST, 1 - CLOSEST))

    def unlink(self, score: Floats) -> Floats:
        """Turn log-odds into probabilities."""
        return expit(score)

    def class_weights(self, y: Floats, of: Floats) -> Floats:
        """Weight people ``of`` so that both classes count alike among training people ``y``.

        Those of training people sum to their number.
        """
        share = y.mean()
        return np.where(of > 0, 0.5 / share, 0.5 / (1 - share))

    def centre_and_spread(self, y: Floats) -> tuple[float, float]:
        """Give the scale of fits, of training people: a trait is -1 and 1."""
        return 0.5, 0.5

    def loss(self, y: Floats, predicted: Floats) -> float:
        """Give the mean cross-entropy."""
        p = np.clip(predicted, 1e-12, 1 - 1e-12)
        return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


class Continuous(_OfChance):
    """A quantity, predicted in its own units; attributes and methods are those of `Binary`."""

    name = "continuous"
    metrics = METRICS["continuous"]
    headline, label = HEADLINE["continuous"]
    published = error = "r2"
    accuracy = "median_split_accuracy"
    cut = "train_median"
    constant = "no variation"
    chance = 0.0

    def positive(self, y: Floats, threshold: float | Floats) -> NDArray[np.bool_]:
        """Say who is above, shape of both broadcast: above the threshold, a training median."""
        return np.asarray(y > threshold)

    def cut_of(self, y: Floats) -> float:
        """Split predictions at the median of training people."""
        return float(np.median(y))

    def rarest(self, y: Floats) -> int:
        """Count the people whom a score rests on: all."""
        return len(y)

    def validated(self, rarest: int, score: float) -> bool:
        """Say whether there are the 60 people or more with whom coverage is known, at any R²."""
        return rarest >= LEAST_PEOPLE

    def least_skill(self, z: float, n: int, n_positive: int | None) -> float:
        """Give the R² that is z standard errors of no association; NaN of three people or fewer.

        Fisher's z of the correlation of prediction and target has the standard error 1/√(n − 3); of
        a calibrated prediction R² is the square of that correlation.
        """
        return float(np.tanh(z / np.sqrt(n - 3)) ** 2) if n > 3 else np.nan

    def link(self, predicted: Floats) -> Floats:
        """Give values as they are: lines are fitted in the target's own units."""
        return predicted

    def unlink(self, score: Floats) -> Floats:
        """Give values as they are."""
        return score

    def class_weights(self, y: Floats, of: Floats) -> Floats:
        """Weight all people alike."""
        return np.ones(len(of))

    def centre_and_spread(self, y: Floats) -> tuple[float, float]:
        """Give the scale of fits: mean and SD of training people."""
        return float(y.mean()), float(y.std())

    def loss(self, y: Floats, predicted: Floats) -> float:
        """Give the mean squared error, in the target's own units."""
        return float(((predicted - y) ** 2).mean())


Kind = Binary | Continuous

BINARY, CONTINUOUS = Binary(), Continuous()
KINDS: dict[str, Kind] = {kind.name: kind for kind in (BINARY, CONTINUOUS)}
# By headline metric, which is how tables of one target a row name the kind.
LABELS = {kind.headline: kind.label for kind in KINDS.values()}


def by_kind(kinds: pd.Series, of: Callable[[Kind], Any]) -> pd.Series:
    """Take each row from the values of its kind: ``of`` gives a kind's Series of the same rows."""
    values: pd.Series = of(BINARY).where(kinds == BINARY.name, of(CONTINUOUS))
    return values


def smallest_skill(
    kind: str, n: int, n_positive: int | None = None, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Skill that a two-sided test on so many test people would have found this often.

    2·AUC − 1, or R² of a prediction on the target's scale; NaN where there are too few people for
    any test. Of a binary target half have the trait where ``n_positive`` is not given, which is the
    best case.

    Notes
    -----
    z₁₋α/₂ + z_power standard errors from no association, as ``least_skill`` of the kind counts
    them. Relatives count as unrelated, so that in truth a little more is needed. That tests find
    this skill with the power asked for is simulated in ``tests/statistics/test_kinds.py``.
    """
    return KINDS[kind].least_skill(float(ndtri(1 - alpha / 2) + ndtri(power)), n, n_positive)
