"""Typed parameters of what is trained once more: learning curves, left-out sites, model scale."""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ukb_brain.errors import InputError
from ukb_brain.search.space import changed
from ukb_brain.settings_base import Settings
from ukb_brain.training.settings import AMORTISED, KERNELS, LINEAR, Modelling

# Dedicated networks are trained for each cell by itself, and would cost days.
Strategies = tuple[Literal["linear", "kernels", "amortised"], ...]
# Named by what they are, so that no cell is looked at for having scored well.
Chosen = Literal["fullest", "imaging"]
# Shares have four decimals, and each fewer repeats than this.
PER_SHARE, SHARES = 100, 10_000


class Retrained(Settings):
    """Models that are trained once more.

    Attributes
    ----------
    strategies : tuple of str
        Among those of `modelling.strategies`; with none nothing is trained.
    inputs : tuple of {"fullest", "imaging"}
        Which cells are looked at: all imaging groups with every block that a target may have; and
        with as few blocks as the grid has: none for targets of the base domain, for which both are
        one, else the base block.
    """

    strategies: Strategies = (LINEAR, KERNELS, AMORTISED)
    inputs: tuple[Chosen, ...] = ("fullest", "imaging")


class LearningCurves(Retrained):
    """Subsets of training people.

    Attributes
    ----------
    shares : tuple of float
        Of training people, below 1: all of them are in the map already.
    repeats : int
        Subsets of each share. Two or more tell what other training people would have given.
    """

    shares: tuple[float, ...] = (0.125, 0.25, 0.5)
    repeats: int = Field(default=2, ge=1, lt=PER_SHARE)

    @model_validator(mode="after")
    def _are_shares(self) -> Self:
        odd = [s for s in self.shares if not 0 < s < 1 or round(s * SHARES) != s * SHARES]
        if odd or len(set(self.shares)) < len(self.shares):
            raise ValueError(
                f"learning_curves.shares are {self.shares}; expected different numbers above 0 and "
                f"below 1, of at most four decimals"
            )
        return self


class LeftOutSites(Retrained):
    """A model for each site, trained on the others."""

    inputs: tuple[Chosen, ...] = ("fullest",)


class ModelScale(Retrained):
    """Other settings of the models, on all training people.

    Attributes
    ----------
    variants : dict of str to dict
        By name: values by dotted path of modelling's settings.
    """

    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)

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
    if AMORTISED in strategies and LINEAR not in strategies:
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
