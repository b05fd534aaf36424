"""Typed parameters of the search: what may vary, how often is tried, when a trial is cut short."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from pydantic import Field, model_validator

from ukb_brain.settings_base import Settings


class FloatRange(Settings):
    """A real number.

    Attributes
    ----------
    low, high : float
        Both may be drawn.
    log : bool
        Whether ratios count rather than differences.
    """

    kind: Literal["float"]
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self.low, self.high, self.log)
        return self

    @property
    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        return FloatDistribution(self.low, self.high, log=self.log)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that must be valid for all to be."""
        return (self.low, self.high)

    def read(self, stored: Any) -> Any:
        """Give the setting's value for what Optuna stores.

        Parameters
        ----------
        stored : object
            By Optuna.

        Returns
        -------
        object
        """
        return stored

    def stored(self, value: Any) -> Any:
        """Give what Optuna stores for a setting's value.

        Parameters
        ----------
        value : object
            Of the setting.

        Returns
        -------
        object or None
            None where the space does not hold it.
        """
        inside = isinstance(value, int | float) and self.low <= value <= self.high
        return float(value) if inside else None


class IntRange(Settings):
    """A whole number.

    Attributes
    ----------
    low, high : int
        The first is always among the values.
    step : int
        Between two values; not together with ``log``.
    log : bool
        Whether ratios count rather than differences.
    """

    kind: Literal["int"]
    low: int
    high: int
    step: int = Field(default=1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self.low, self.high, self.log)
        if self.log and self.step > 1:
            raise ValueError(f"step {self.step} and log exclude each other: drop one")
        return self

    @property
    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        return IntDistribution(self.low, self.ends[1], step=self.step, log=self.log)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that must be valid for all to be."""
        return (self.low, self.low + (self.high - self.low) // self.step * self.step)

    def read(self, stored: Any) -> Any:
        """See `FloatRange.read`."""
        return stored

    def stored(self, value: Any) -> Any:
        """See `FloatRange.stored`."""
        inside = isinstance(value, int) and self.low <= value <= self.ends[1]
        return value if inside and (value - self.low) % self.step == 0 else None


class Choice(Settings):
    """One of some values, in no order.

    Attributes
    ----------
    of : tuple
        Whatever the setting may be: numbers, names, lists.
    """

    kind: Literal["choice"]
    of: tuple[Any, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if len(set(self._texts)) < len(self.of):
            raise ValueError("of names a value twice: name each once")
        return self

    @property
    def _texts(self) -> list[str]:
        return [json.dumps(value, sort_keys=True) for value in self.of]

    @property
    def distribution(self) -> BaseDistribution:
        """As Optuna has it, which stores text and single numbers only."""
        return CategoricalDistribution(self._texts)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that must be valid for all to be."""
        return self.of

    def read(self, stored: Any) -> Any:
        """See `FloatRange.read`."""
        return self.of[self._texts.index(stored)]

    def stored(self, value: Any) -> Any:
        """See `FloatRange.stored`."""
        for text, option in zip(self._texts, self.of, strict=True):
            # In YAML 1 is whole and in settings it may be real.
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return text
        return None


def _check_range(low: float, high: float, log: bool) -> None:
    if low >= high:
        raise ValueError(f"low {low} is not below high {high}: swap them, or drop the parameter")
    if log and low <= 0:
        raise ValueError(f"low {low} is not positive, which log needs: raise it, or drop log")


Parameter = Annotated[FloatRange | IntRange | Choice, Field(discriminator="kind")]
Space = dict[str, Parameter]


class Pruner(Settings):
    """When a trial is cut short.

    Attributes
    ----------
    kind : {"median", "hyperband", "none"}
        Where it is worse than the median of earlier trials at the same epoch; by successive
        halving in brackets (Li et al. 2018); never.
    startup : int
        Trials that must have ended in full before any is cut short by the median.
    warm_up : int
        Epochs that every trial gets.
    """

    kind: Literal["median", "hyperband", "none"] = "median"
    startup: int = Field(default=4, ge=1)
    warm_up: int = Field(default=3, ge=1)

    def of(self, epochs: int) -> BasePruner:
        """Make Optuna's pruner.

        Parameters
        ----------
        epochs : int
            Most that a trial can have.

        Returns
        -------
        optuna.pruners.BasePruner
        """
        if self.kind == "median":
            return MedianPruner(n_startup_trials=self.startup, n_warmup_steps=self.warm_up)
        if self.kind == "hyperband":
            return HyperbandPruner(min(self.warm_up, epochs), epochs)
        return NopPruner()


class StudySettings(Settings):
    """What both studies have.

    Attributes
    ----------
    trials : int
        In all, the settings as they are among them; 0 leaves the study out.
    round : int
        Trials drawn at a time, from what the rounds before have shown: at least as many as there
        are workers, or some are idle. The result depends on it, and not on the workers.
    at_random : int
        Trials before the sampler draws by what it has learned.
    space : dict of str to Parameter, optional
        By dotted path into the settings of modelling; null takes a path out of the space.
    """

    trials: int = Field(ge=0)
    round: int = Field(ge=1)
    at_random: int = Field(default=5, ge=1)
    space: dict[str, Parameter | None]

    @property
    def varied(self) -> Space:
        """The space without what was taken out."""
        return {path: parameter for path, parameter in self.space.items() if parameter is not None}

    @model_validator(mode="after")
    def _varies_something(self) -> Self:
        if self.trials and not self.varied:
            raise ValueError("space is empty: add a parameter, or set trials to 0")
        return self


class EncoderSearch(StudySettings):
    """Search of the shared encoders' network and training.

    Attributes
    ----------
    pruner : Pruner
        When a trial is cut short.
    """

    pruner: Pruner = Pruner()


class HeadSearch(StudySettings):
    """Search of what the cells' regressions and their choices depend on.

    Attributes
    ----------
    targets : int
        So many, spread over domains by a fixed rule, stand for all; 0 is all.
    parts : int
        Parts of training families, each judged once by fits that left it out.
    """

    targets: int = Field(default=0, ge=0)
    parts: int = Field(default=3, ge=2)


class Search(Settings):
    """Both studies.

    Attributes
    ----------
    encoders : EncoderSearch
        Few and costly trials.
    heads : HeadSearch
        Many and cheap ones, on encoders that are there.
    """

    encoders: EncoderSearch
    heads: HeadSearch
