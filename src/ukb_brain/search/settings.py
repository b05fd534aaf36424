"""Typed parameters of the search: what may vary, how often is tried, when a trial is cut short."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import MedianPruner, NopPruner
from optuna.trial import FrozenTrial
from pydantic import AfterValidator, Field, PlainValidator, model_validator

from ukb_brain.training.settings import Settings

NUMBERS = {"float": FloatDistribution, "int": IntDistribution}


def _parameter(given: Any) -> BaseDistribution | None:
    """Read a parameter of a space: a number as Optuna has it, or one of some values as JSON."""
    if given is None or isinstance(given, BaseDistribution):
        return given
    kind, more = given.get("kind"), {name: v for name, v in given.items() if name != "kind"}
    if kind == "choice" and set(more) == {"of"}:
        texts = [json.dumps(value, sort_keys=True) for value in more["of"]]
        if len(texts) < 2 or len(set(texts)) < len(texts):
            raise ValueError("of needs at least 2 values, and none twice")
        return CategoricalDistribution(texts)
    if kind not in NUMBERS:
        raise ValueError(f"{given} is none of kind 'float', 'int', 'choice' with what these take")
    try:
        return NUMBERS[kind](**more)
    except TypeError as error:
        raise ValueError(str(error)) from None


Parameter = Annotated[Any, PlainValidator(_parameter)]


def _without_null(space: dict[str, Any]) -> dict[str, Any]:
    return {path: parameter for path, parameter in space.items() if parameter is not None}


Space = Annotated[dict[str, Parameter], AfterValidator(_without_null)]


def ends_of(parameter: BaseDistribution) -> list[Any]:
    """List values of a setting that must be valid for all to be."""
    if isinstance(parameter, CategoricalDistribution):
        return [json.loads(str(text)) for text in parameter.choices]
    return [getattr(parameter, end) for end in ("low", "high")]


def read(parameter: BaseDistribution, stored: Any) -> Any:
    """Give the setting's value for what Optuna stores."""
    return json.loads(stored) if isinstance(parameter, CategoricalDistribution) else stored


def stored(parameter: BaseDistribution, value: Any) -> Any:
    """Give what Optuna stores for a setting's value; None where the space does not hold it."""
    if isinstance(parameter, CategoricalDistribution):
        # In YAML 1 is whole and in settings it may be real; True is neither.
        same = [v == value and (v is True) == (value is True) for v in ends_of(parameter)]
        return parameter.choices[same.index(True)] if any(same) else None
    low, high = ends_of(parameter)
    if not isinstance(value, int | float) or not low <= value <= high:
        return None
    if isinstance(parameter, IntDistribution):
        return value if (value - low) % parameter.step == 0 else None
    return float(value)


class Pruner(Settings):
    """When a trial is cut short.

    Attributes
    ----------
    kind : {"median", "none"}
        Where it is worse than the median of earlier trials at the same epoch; never.
    startup : int
        Trials that must have ended in full before any is cut short.
    warm_up : int
        Epochs that every trial gets.
    """

    kind: Literal["median", "none"] = "median"
    startup: int = Field(default=4, ge=1)
    warm_up: int = Field(default=3, ge=1)

    def begin(self, earlier: Sequence[FrozenTrial]) -> optuna.Trial:
        """Begin a trial in memory, to which epochs are reported, after others that are finished."""
        pruner = MedianPruner(self.startup, self.warm_up)
        view = optuna.create_study(pruner=pruner if self.kind == "median" else NopPruner())
        view.add_trials(earlier)
        return view.ask()


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
    space : dict of str to optuna.distributions.BaseDistribution
        By dotted path into the settings of modelling; null takes a path out of the space. In YAML
        ``{kind: float|int, …}`` as Optuna's distributions take it (low, high, step, log), or
        ``{kind: choice, of: […]}``, which Optuna has as JSON.
    """

    trials: int = Field(ge=0)
    round: int = Field(ge=1)
    at_random: int = Field(default=5, ge=1)
    space: Space

    @model_validator(mode="after")
    def _varies_something(self) -> Self:
        if self.trials and not self.space:
            raise ValueError("space is empty: add a parameter, or set trials to 0")
        return self


class EncoderSearch(StudySettings):
    """Search of the shared encoders' network and training."""

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
    """Both studies: few and costly trials of encoders, many and cheap ones of heads on these."""

    encoders: EncoderSearch
    heads: HeadSearch
