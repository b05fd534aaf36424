"""What the tables of retrained models and the verdicts promise."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from ukb_brain.metrics import HEADLINE, METRICS
from ukb_brain.tables.schemas import Strict


def _is_between(table: pd.DataFrame, low: str, high: str) -> bool:
    return not (table[low] > table[high]).any()


class Scored(Strict):
    """A headline score and its skill (R², or 2·AUC − 1), with intervals, on test people."""

    target: Series[str]
    kind: Series[str] = pa.Field(isin=list(METRICS))
    inputs: Series[str]
    strategy_: Series[str] = pa.Field(alias="strategy", isin=["linear", "kernels", "amortised"])
    n_train: Series[int] = pa.Field(ge=0)
    n_test: Series[int] = pa.Field(ge=0)
    status: Series[str]
    metric: Series[str] = pa.Field(isin=[label for _, label in HEADLINE.values()])
    score: Series[float] = pa.Field(le=1, nullable=True)
    score_low: Series[float] = pa.Field(le=1, nullable=True)
    score_high: Series[float] = pa.Field(le=1, nullable=True)
    skill: Series[float] = pa.Field(le=1, nullable=True)
    skill_low: Series[float] = pa.Field(le=1, nullable=True)
    skill_high: Series[float] = pa.Field(le=1, nullable=True)

    @pa.dataframe_check
    @classmethod
    def _intervals_are_ordered(cls, table: pd.DataFrame) -> bool:
        return _is_between(table, "skill_low", "skill_high")

    @pa.dataframe_check
    @classmethod
    def _has_a_skill_where_it_is_ok(cls, table: pd.DataFrame) -> bool:
        return bool((table["skill"].notna() == (table["status"] == "ok")).all())


class LearningCurves(Scored):
    """One row a cell, strategy, share of training people and repeat."""

    share: Series[float] = pa.Field(gt=0, le=1)
    repeat: Series[int] = pa.Field(ge=0)

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "strategy", "share", "repeat")


class LearningCurveFits(Strict):
    """One row a cell and strategy: the power law of its learning curve."""

    target: Series[str]
    kind: Series[str] = pa.Field(isin=list(METRICS))
    inputs: Series[str]
    strategy_: Series[str] = pa.Field(alias="strategy", isin=["linear", "kernels", "amortised"])
    shape_: Series[str] = pa.Field(
        alias="shape", isin=["flat at zero", "level", "rising", "too few sizes"]
    )
    n_sizes: Series[int] = pa.Field(ge=0)
    n_largest: Series[float] = pa.Field(ge=0, nullable=True)
    training_sd: Series[float] = pa.Field(ge=0, nullable=True)
    number: Series[float] = pa.Field(
        alias=r"^(rise|asymptote|rate|at_10x|gain_10x|at_100x_scenario)(_low|_high)?$",
        regex=True,
        nullable=True,
    )

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "strategy")

    @pa.dataframe_check
    @classmethod
    def _intervals_are_ordered(cls, table: pd.DataFrame) -> bool:
        names = ("rise", "asymptote", "at_10x", "gain_10x", "at_100x_scenario")
        return all(_is_between(table, f"{name}_low", f"{name}_high") for name in names)

    @pa.dataframe_check
    @classmethod
    def _more_people_cost_nothing(cls, table: pd.DataFrame) -> bool:
        known = table[table["at_10x"].notna()]
        ordered = known["at_10x"] <= known["at_100x_scenario"] + 1e-9
        return bool(ordered.all() and (known["asymptote"] <= 1).all())


class LeftOutSites(Scored):
    """One row a cell, strategy and site that was not learned from, and one for all sites."""

    site: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "strategy", "site")


class ModelScale(Scored):
    """One row a cell, strategy and variant of the models."""

    variant: Series[str]
    parameters: Series[float] = pa.Field(gt=0, nullable=True)
    gain: Series[float] = pa.Field(nullable=True)
    gain_low: Series[float] = pa.Field(nullable=True)
    gain_high: Series[float] = pa.Field(nullable=True)
    gain_se: Series[float] = pa.Field(ge=0, nullable=True)

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "strategy", "variant")

    @pa.dataframe_check
    @classmethod
    def _gains_are_ordered(cls, table: pd.DataFrame) -> bool:
        return _is_between(table, "gain_low", "gain_high")


class Verdicts(Strict):
    """One row a target: legible, or what stands in the way."""

    target: Series[str] = pa.Field(unique=True)
    verdict: Series[str] = pa.Field(
        isin=[
            "legible",
            "limited by data",
            "limited by model",
            "limited by measurement",
            "not read by these models",
            "images not shown to add",
            "not told apart from confounds",
            "no verdict",
        ]
    )
    through: Series[str] = pa.Field(isin=["", "site", "age and sex"])
    skill: Series[float] = pa.Field(le=1, nullable=True)
    skill_low: Series[float] = pa.Field(le=1, nullable=True)
    skill_high: Series[float] = pa.Field(le=1, nullable=True)
    reasons: Series[str]
