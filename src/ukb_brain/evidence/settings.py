"""Typed parameters of what is trained once more: learning curves, left-out sites, model scale."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ukb_brain.errors import InputError
from ukb_brain.evidence.retrained import Chosen
from ukb_brain.evidence.subsamples import PER_SHARE, SHARES
from ukb_brain.search.space import changed
from ukb_brain.settings_base import Settings
from ukb_brain.training.settings import Modelling

# Dedicated networks are trained for each cell by itself, and would cost days.
Strategies = tuple[Literal["linear", "kernels", "amortised"], ...]


class LearningCurves(Settings):
    """Subsets of training people.

    Attributes
    ----------
    shares : tuple of float
        Of training people, below 1: all of them are in the map already.
    repeats : int
        Subsets of each share. Two or more tell what other training people would have given.
    strategies : tuple of str
        Among those of `modelling.strategies`; none leaves learning curves out.
    inputs : tuple of str
        See `ukb_brain.evidence.retrained.chosen_inputs`.
    """

    shares: tuple[float, ...] = (0.125, 0.25, 0.5)
    repeats: int = Field(default=2, ge=1, lt=PER_SHARE)
    strategies: Strategies = ("linear", "kernels", "amortised")
    inputs: tuple[Chosen, ...] = ("fullest", "imaging")

    @model_validator(mode="after")
    def _are_shares(self) -> Self:
        odd = [s for s in self.shares if not 0 < s < 1 or round(s * SHARES) != s * SHARES]
        if odd or len(set(self.shares)) < len(self.shares):
            raise ValueError(
                f"learning_curves.shares are {self.shares}; expected different numbers above 0 and "
                f"below 1, of at most four decimals"
            )
        return self


class LeftOutSites(Settings):
    """A model for each site, trained on the others."""

    strategies: Strategies = ("linear", "kernels", "amortised")
    inputs: tuple[Chosen, ...] = ("fullest",)


class ModelScale(Settings):
    """Other settings of the models, on all training people.

    Attributes
    ----------
    variants : dict of str to dict
        By name: values by dotted path of modelling's settings.
    """

    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    strategies: Strategies = ("linear", "kernels", "amortised")
    inputs: tuple[Chosen, ...] = ("fullest", "imaging")

    @model_validator(mode="after")
    def _have_names_of_folders(self) -> Self:
        odd = [name for name in self.variants if not name.isidentifier()]
        if odd:
            raise ValueError(
                f"model_scale.variants has the names {odd}; expected letters, digits and _"
            )
        return self


class Evidence(Settings):
    """What is trained once more, and how it is scored.

    Attributes
    ----------
    draws : int
        Bootstrap draws of test families.
    level : float
        Coverage of the intervals.
    """

    draws: int = Field(default=1000, ge=100)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    learning_curves: LearningCurves = LearningCurves()
    left_out_sites: LeftOutSites = LeftOutSites()
    model_scale: ModelScale = ModelScale()


def of_strategies(modelling: Modelling, strategies: Strategies, what: str) -> Modelling:
    """Restrict the settings to some strategies.

    Raises
    ------
    InputError
        If the map is made without one of them, or they do not go together; ``what`` names the
        parameter.
    """
    absent = sorted(set(strategies) - set(modelling.strategies))
    if absent:
        raise InputError(
            f"{what} names {', '.join(absent)}, and modelling.strategies has only "
            f"{', '.join(modelling.strategies)}: drop it here, or add it there and run `kedro run`."
        )
    if "amortised" in strategies and "linear" not in strategies:
        raise InputError(f"{what} names amortised without linear, on which it rests: add linear.")
    return modelling.model_copy(update={"strategies": strategies})


def variant_of(modelling: Modelling, name: str, values: dict[str, Any]) -> Modelling:
    """Change the settings as a variant asks, whose values are by dotted path.

    Raises
    ------
    InputError
        If a path does not exist, or a value is not valid.
    """
    try:
        return changed(modelling, values)
    except (ValidationError, TypeError, AttributeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(map(str, first["loc"])) if first else "a path that ends within a number"
        why = first["msg"] if first else "no setting lies there"
        raise InputError(
            f"evidence.model_scale.variants.{name} does not fit the settings of modelling: "
            f"{where}: {why}. Correct it in conf/base/parameters_evidence.yml."
        ) from None
