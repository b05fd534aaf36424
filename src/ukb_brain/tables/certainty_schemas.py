"""What the tables of certainty promise; Kedro enforces it whenever one is saved or loaded."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from ukb_brain.metrics import RECOMMENDED
from ukb_brain.tables.schemas import HEADLINES, Strict


class Aggregate(pa.DataFrameModel):
    """A table of aggregates: nothing of one person is among its columns."""

    @pa.dataframe_check
    @classmethod
    def _holds_nobody(cls, table: pd.DataFrame) -> bool:
        return not {"eid", "instance", "family", "y_true", "y_pred"} & set(table.columns)


class Intervals(Strict):
    """Every metric of every cell, with its recommended interval."""

    target: Series[str]
    inputs: Series[str]
    metric: Series[str] = pa.Field(isin=list(RECOMMENDED))
    method: Series[str] = pa.Field(isin=sorted({*RECOMMENDED.values()}))
    estimate: Series[float] = pa.Field(nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    note: Series[str]
    validated: Series[bool]

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "metric")

    @pa.dataframe_check
    @classmethod
    def _bounds_are_in_order(cls, table: pd.DataFrame) -> bool:
        known = table.dropna(subset=["low", "high"])
        return bool((known["low"] <= known["high"]).all())


class Permutations(Strict):
    """Every cell against permuted labels."""

    target: Series[str]
    inputs: Series[str]
    tests: Series[str]
    skill: Series[float] = pa.Field(nullable=True)
    null_mean: Series[float] = pa.Field(nullable=True)
    null_sd: Series[float] = pa.Field(nullable=True)
    p: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    p_bh: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    p_max_family: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    p_max: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    moved: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    permutations: Series[int] = pa.Field(ge=1)

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs")


class Comparisons(Aggregate):
    """Cells that differ by one part, and whether it adds."""

    target: Series[str]
    tests: Series[str]
    inputs: Series[str]
    without: Series[str]
    part: Series[str]
    n: Series[int] = pa.Field(ge=0)
    difference: Series[float] = pa.Field(nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    p: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    p_adjusted: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    p_delong: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    note: Series[str]
    margin: Series[float] = pa.Field(gt=0)
    verdict: Series[str] = pa.Field(isin=["adds", "no gain", "unknown"])

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "without")


class Contributions(Strict):
    """Shapley values and interactions of targets, then of domains."""

    domain: Series[str]
    target: Series[str]
    measure: Series[str] = pa.Field(isin=["baseline", "contribution", "fullest", "interaction"])
    part: Series[str]
    other: Series[str]
    estimate: Series[float] = pa.Field(nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    verdict: Series[str]
    n_targets: Series[int] = pa.Field(ge=0)
    note: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("domain", "target", "measure", "part", "other")


class ResampledModels(Strict):
    """Mixed models with intervals over resampled test people."""

    domain: Series[str]
    outcome: Series[str]
    weighting: Series[str] = pa.Field(isin=["equal", "precision"])
    term: Series[str]
    estimate: Series[float] = pa.Field(nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    n_draws: Series[int] = pa.Field(ge=0)
    note: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("domain", "outcome", "weighting", "term")


class PublishedIntervals(Strict):
    """Single cells of a table from outside."""

    target: Series[str]
    inputs: Series[str]
    metric: Series[str] = pa.Field(isin=["balanced_accuracy", "pearson_r", "r2"])
    estimate: Series[float] = pa.Field(le=1, nullable=True)
    low: Series[float] = pa.Field(le=1, nullable=True)
    high: Series[float] = pa.Field(le=1, nullable=True)
    note: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "metric")


class Claims(Strict):
    """Claims and their parts, with verdicts."""

    claim: Series[str]
    text: Series[str]
    part: Series[str]
    basis: Series[str] = pa.Field(nullable=True)
    statistic: Series[float] = pa.Field(nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    bound: Series[float] = pa.Field(nullable=True)
    p: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    n_targets: Series[int] = pa.Field(ge=0)
    n_missing: Series[int] = pa.Field(ge=0)
    verdict: Series[str] = pa.Field(
        isin=["supported", "contradicted", "undecided", "cannot be tested", "not in this grid"]
    )
    reason: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("claim", "part")


class Calibration(Aggregate):
    """Measures of calibration."""

    target: Series[str]
    inputs: Series[str]
    measure: Series[str]
    estimate: Series[float] = pa.Field(nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    note: Series[str]


class CalibrationCurves(Aggregate):
    """Bins of like predictions; small counts are for whoever shows them to suppress."""

    target: Series[str]
    inputs: Series[str]
    bin: Series[int] = pa.Field(ge=0)
    n: Series[int] = pa.Field(ge=1)
    predicted: Series[float]
    observed: Series[float]


class Subgroups(Aggregate):
    """Scores of subgroups; those that are small have neither scores nor counts."""

    target: Series[str]
    inputs: Series[str]
    subgroup_of: Series[str]
    subgroup: Series[str]
    status: Series[str]
    score: Series[float] = pa.Field(nullable=True)
    difference: Series[float] = pa.Field(nullable=True)
    p_adjusted: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    differs: Series[bool]


class Confounds(Aggregate):
    """Each target's imaging cell beside confounds alone, and within sites."""

    target: Series[str] = pa.Field(unique=True)
    inputs: Series[str]
    metric: Series[str] = pa.Field(isin=HEADLINES)
    status: Series[str]


class Reliability(Aggregate):
    """Test-retest ceilings."""

    target: Series[str] = pa.Field(unique=True)
    status: Series[str]


class Repeatability(Aggregate):
    """Agreement of predictions of people scanned twice."""

    target: Series[str] = pa.Field(unique=True)
    inputs: Series[str]
    n: Series[float] = pa.Field(ge=0, nullable=True)
    status: Series[str]
    icc: Series[float] = pa.Field(le=1, nullable=True)


class Participation(Aggregate):
    """Scores as if people took part alike."""

    target: Series[str] = pa.Field(unique=True)
    inputs: Series[str]
    metric: Series[str] = pa.Field(isin=HEADLINES)
    n_effective: Series[float] = pa.Field(nullable=True)

    class Config:
        """Settings of pandera."""

        # Without weights there are no rows, and so no types.
        coerce = True


class BrainAgeGap(Strict):
    """Each test person's gap: restricted."""

    eid: Series[int] = pa.Field(gt=0)
    instance: Series[int] = pa.Field(ge=0)
    fold: Series[int] = pa.Field(ge=0)
    age: Series[float] = pa.Field(gt=0)
    predicted_age: Series[float]
    gap: Series[float]
    inputs: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("eid", "instance", "fold")
        coerce = True


class Relations(Aggregate):
    """Pairs of targets and how they are related."""

    measure: Series[str]
    target: Series[str]
    other: Series[str]
    estimate: Series[float] = pa.Field(nullable=True)
    p: Series[float] = pa.Field(ge=0, le=1, nullable=True)

    class Config:
        """Settings of pandera."""

        unique = ("measure", "target", "other")


class Centrality(Aggregate):
    """How central targets are in the graph of each measure."""

    measure: Series[str]
    target: Series[str]
    estimate: Series[float] = pa.Field(ge=0, le=1, nullable=True)

    class Config:
        """Settings of pandera."""

        unique = ("measure", "target")
