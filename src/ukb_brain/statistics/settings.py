"""Typed parameters of what is reported."""

from typing import Literal

from pydantic import Field, field_validator

from ukb_brain.part_of_grid import Names
from ukb_brain.settings_base import Settings
from ukb_brain.tables.visits import CONFOUND_FIELDS, GROUP_FIELDS, MEDICATIONS

# What comparisons with confounds alone may take beside the confounds proper.
COVARIATES = (*CONFOUND_FIELDS, *GROUP_FIELDS, *MEDICATIONS)


class Reporting(Settings):
    """How results are reported.

    Attributes
    ----------
    strategy : tuple of str
        The map shows the first of these that was trained: an order that is named here, before any
        result is seen.
    draws : int
        Bootstrap draws of whole families.
    level : float
        Coverage of all intervals.
    suppress_below : int
        The smallest count of people that figures, dashboard and summary may show.
    covariates : tuple of str
        Taken beside the confounds proper where scores are compared with confounds alone; some of
        `COVARIATES`.
    folder : str
        Where the reports are, as the closing summary names it.
    """

    strategy: Names = Field(default=("amortised", "kernels", "linear", "dedicated"), min_length=1)
    draws: int = Field(default=1000, ge=100)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    suppress_below: int = Field(default=10, ge=1)
    covariates: Names = ()
    folder: str = "data/08_reporting"

    @field_validator("covariates")
    @classmethod
    def _are_known(cls, covariates: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted({*covariates} - {*COVARIATES}):
            raise ValueError(f"{', '.join(unknown)}: expected some of {', '.join(COVARIATES)}")
        return covariates


DEFAULT = Reporting()


class Certainty(Settings):
    """How certainty is measured.

    Attributes
    ----------
    relation_draws : int
        Of relations between targets, which take longer.
    permutations : int
        Of labels; the smallest p is one over one more.
    margin : float
        Smallest difference in skill that matters: what surely adds less is no gain.
    """

    relation_draws: int = Field(default=200, ge=50)
    permutations: int = Field(default=1000, ge=99)
    margin: float = Field(default=0.02, gt=0, lt=1)


class Published(Settings):
    """A table from outside in the published layout.

    Attributes
    ----------
    table : str
        Its file; the catalog reads it.
    test_people : int
        How many people it tested.
    source : str
        What its models and figures are said to be of: not this run's people, so nothing is stamped.
    """

    table: str = ""
    test_people: int = Field(default=2381, ge=4)
    source: Literal["published"] = "published"
