"""What every table promises; Kedro enforces it whenever one is saved or loaded."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from ukb_brain.metrics import HEADLINE, METRICS, RECOMMENDED

KEYS = ("eid", "instance")


def _other_columns_are(table: pd.DataFrame, named: tuple[str, ...], dtype: str) -> bool:
    return bool((table.drop(columns=list(named)).dtypes == dtype).all())


class Strict(pa.DataFrameModel):
    """A table with exactly these columns."""

    class Config:
        """Settings of pandera."""

        strict = True


class Participants(Strict):
    """One row a person and imaging visit."""

    eid: Series[int] = pa.Field(gt=0)
    instance: Series[int] = pa.Field(ge=0)
    chosen: Series[bool]
    family: Series[int] = pa.Field(ge=0)
    site: Series[int]
    date: Series = pa.Field(nullable=True)
    age: Series[float] = pa.Field(gt=0, lt=120, nullable=True)
    sex: Series[float] = pa.Field(isin=[0, 1], nullable=True)
    ethnic_background: Series[float] | None = pa.Field(nullable=True)
    deprivation: Series[float] | None = pa.Field(nullable=True)
    participation_weight: Series[float] | None = pa.Field(gt=0, nullable=True)

    class Config:
        """Settings of pandera."""

        unique = KEYS

    @pa.check("date")
    @classmethod
    def _is_a_date(cls, date: Series) -> bool:
        return date.dtype.kind == "M"

    @pa.dataframe_check
    @classmethod
    def _has_all_dates_or_none(cls, table: pd.DataFrame) -> bool:
        return table["date"].isna().nunique() < 2

    @pa.dataframe_check
    @classmethod
    def _one_visit_of_each_is_chosen(cls, table: pd.DataFrame) -> bool:
        return bool((table.groupby("eid")["chosen"].sum() == 1).all())

    @pa.dataframe_check
    @classmethod
    def _a_person_has_one_family(cls, table: pd.DataFrame) -> bool:
        return not table[["eid", "family"]].drop_duplicates().duplicated("eid").any()


class ByVisit(pa.DataFrameModel):
    """One row a person and imaging visit; which further columns depends on the grid."""

    eid: Series[int] = pa.Field(gt=0)
    instance: Series[int] = pa.Field(ge=0)

    class Config:
        """Settings of pandera."""

        unique = KEYS


class PeopleByVisit(ByVisit):
    """Float columns by person and imaging visit."""

    @pa.dataframe_check
    @classmethod
    def _others_are_floats(cls, table: pd.DataFrame) -> bool:
        return _other_columns_are(table, KEYS, "float64")


class SourcesByVisit(ByVisit):
    """Instance that each answer is of, by person and imaging visit."""

    @pa.dataframe_check
    @classmethod
    def _others_are_instances(cls, table: pd.DataFrame) -> bool:
        return _other_columns_are(table, KEYS, "int64")


class ExclusionFlow(Strict):
    """Who left the cohort at which step."""

    step: Series[int] = pa.Field(ge=0, unique=True)
    reason: Series[str]
    excluded: Series[int] = pa.Field(ge=0)
    remaining: Series[int] = pa.Field(ge=0)

    @pa.dataframe_check
    @classmethod
    def _adds_up(cls, table: pd.DataFrame) -> bool:
        expected = table["remaining"].shift() - table["excluded"]
        return bool((expected[1:] == table["remaining"][1:]).all())


class ScanCounts(Strict):
    """People with scans of each modality."""

    modality: Series[str] = pa.Field(unique=True)
    people: Series[int] = pa.Field(ge=0)
    undated: Series[int] = pa.Field(ge=0)
    in_cohort: Series[int] = pa.Field(ge=0)


class Splits(Strict):
    """Each person's part in each fold."""

    eid: Series[int] = pa.Field(gt=0)
    fold: Series[int] = pa.Field(ge=0)
    part: Series[str] = pa.Field(isin=["train", "validation", "test"])

    class Config:
        """Settings of pandera."""

        unique = ("eid", "fold")


class Blocks(pa.DataFrameModel):
    """Imputed and scaled traits with their masks, by person, visit and fold."""

    eid: Series[int] = pa.Field(gt=0)
    instance: Series[int] = pa.Field(ge=0)
    fold: Series[int] = pa.Field(ge=0)

    class Config:
        """Settings of pandera."""

        unique = (*KEYS, "fold")

    @pa.dataframe_check
    @classmethod
    def _others_are_complete(cls, table: pd.DataFrame) -> bool:
        return _other_columns_are(table, (*KEYS, "fold"), "float32") and not table.isna().any(
            axis=None
        )


class BlockScaling(Strict):
    """Training means and standard deviations, by fold."""

    fold: Series[int] = pa.Field(ge=0)
    target: Series[str]
    mean: Series[float]
    sd: Series[float] = pa.Field(gt=0)
    n_train: Series[int] = pa.Field(ge=0)
    training_people: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("fold", "target")


class TargetSummary(Strict):
    """Each target at the first imaging visit."""

    target: Series[str] = pa.Field(unique=True)
    name: Series[str]
    n: Series[int] = pa.Field(ge=0)
    missing: Series[int] = pa.Field(ge=0)
    mean_or_prevalence: Series[float] = pa.Field(nullable=True)
    sd: Series[float] = pa.Field(ge=0, nullable=True)
    median_lag_years: Series[float] = pa.Field(nullable=True)


class Quality(pa.DataFrameModel):
    """Each scan's state, and its metrics."""

    eid: Series[int] = pa.Field(gt=0)
    instance: Series[int] = pa.Field(ge=0)
    modality: Series[str]
    status: Series[str] = pa.Field(isin=["ok", "missing", "unusable", "broken"])
    reason: Series[str]

    class Config:
        """Settings of pandera."""

        unique = (*KEYS, "modality")


class Predictions(Strict):
    """One prediction a person, visit, cell, strategy, fold and seed, in the target's own units."""

    eid: Series[int] = pa.Field(gt=0)
    instance: Series[int] = pa.Field(ge=0)
    target: Series
    inputs: Series
    strategy_: Series = pa.Field(alias="strategy")
    fold: Series[int] = pa.Field(ge=0)
    seed: Series[int]
    split: Series
    y_true: Series[float]
    y_pred: Series[float]

    @pa.check("split")
    @classmethod
    def _is_not_training(cls, split: Series) -> bool:
        return bool(split.isin(["validation", "test", "repeat"]).all())

    @pa.dataframe_check
    @classmethod
    def _is_unique(cls, table: pd.DataFrame) -> bool:
        # Codes rather than strings: millions of rows of long names are slow to compare.
        coded = table[list(KEYS)].copy()
        for name in ("target", "inputs", "strategy", "fold", "seed"):
            coded[name] = pd.factorize(table[name])[0]
        return not coded.duplicated().any()


class CellFits(pa.DataFrameModel):
    """How each cell was fitted, and where it was measured at what cost."""

    target: Series[str]
    inputs: Series[str]
    strategy_: Series[str] = pa.Field(
        alias="strategy", isin=["linear", "kernels", "amortised", "dedicated"]
    )
    fold: Series[int] = pa.Field(ge=0)
    seed: Series[int]
    n_train: Series[int] = pa.Field(ge=0)
    n_val: Series[int] = pa.Field(ge=0)
    n_test: Series[int] = pa.Field(ge=0)
    status: Series[str]
    train_seconds: Series[float] = pa.Field(ge=0, nullable=True)
    decision_threshold: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    train_median: Series[float] = pa.Field(nullable=True)
    loss: Series[float] = pa.Field(nullable=True)
    penalty: Series[float] = pa.Field(nullable=True)
    device: Series[str] | None
    flops: Series[float] | None = pa.Field(ge=0, nullable=True)
    shared_seconds: Series[float] | None = pa.Field(ge=0, nullable=True)
    attempts: Series[int] | None = pa.Field(ge=0)

    class Config:
        """Settings of pandera."""

        unique = ("target", "inputs", "strategy", "fold", "seed")


HEADLINES = [metric for metric, _ in HEADLINE.values()]
# Of the study's grid; a grid of another make has fewer or further ones.
STUDY_MODALITIES = ("t1", "flair", "dwi", "rsfmri")
STUDY_FLAGS = (*STUDY_MODALITIES, "constitutional", "disease", "serology", "psychology")


class Performance(pa.DataFrameModel):
    """The legibility map: metrics of each cell with their 95 % intervals.

    A modality or domain of the grid brings one boolean column each. The map has the spread between
    seeds beside each metric; the table of all fits has the fold, and intervals of what skill is
    made of only.
    """

    target: Series[str]
    domain: Series[str]
    kind: Series[str] = pa.Field(isin=list(METRICS))
    inputs: Series[str]
    n_train: Series[int] = pa.Field(ge=0)
    n_val: Series[int] = pa.Field(ge=0)
    n_test: Series[int] = pa.Field(ge=0)
    status: Series[str]
    metric: Series[float] = pa.Field(
        alias=rf"^({'|'.join(RECOMMENDED)})(_low|_high)?$", regex=True, nullable=True
    )
    train_seconds: Series[float] = pa.Field(ge=0, nullable=True)
    strategy_: Series[str] = pa.Field(alias="strategy")
    fold: Series[int] | None = pa.Field(ge=0)
    seed: Series[int]
    seed_sd: Series[float] | None = pa.Field(
        alias=rf"^({'|'.join(RECOMMENDED)})_seed_sd$", regex=True, ge=0, nullable=True
    )

    @pa.dataframe_check
    @classmethod
    def _has_every_metric_with_interval(cls, table: pd.DataFrame) -> bool:
        bounded = HEADLINES if "fold" in table else RECOMMENDED
        ends = {m + end for m in bounded for end in ("_low", "_high")}
        return {*RECOMMENDED, *ends} <= set(table.columns)

    @pa.dataframe_check
    @classmethod
    def _has_spreads_of_all_metrics_or_a_fold(cls, table: pd.DataFrame) -> bool:
        spreads = [f"{m}_seed_sd" in table for m in RECOMMENDED]
        return not any(spreads) if "fold" in table else all(spreads)

    @pa.dataframe_check
    @classmethod
    def _intervals_are_ordered(cls, table: pd.DataFrame) -> bool:
        return not any(
            (table[f"{m}_low"] > table[f"{m}_high"]).any()
            for m in RECOMMENDED
            if f"{m}_low" in table
        )

    @pa.dataframe_check
    @classmethod
    def _metrics_fit_their_kind(cls, table: pd.DataFrame) -> bool:
        others = {
            kind: table.loc[table["kind"] != kind, table.columns.intersection(list(own))]
            for kind, own in METRICS.items()
        }
        return not any(values.notna().any(axis=None) for values in others.values())

    @pa.dataframe_check
    @classmethod
    def _is_unique(cls, table: pd.DataFrame) -> bool:
        keys = [k for k in ("target", "inputs", "strategy", "fold", "seed") if k in table]
        return not table.duplicated(keys).any()

    @pa.dataframe_check
    @classmethod
    def _flags_are_boolean(cls, table: pd.DataFrame) -> bool:
        present = [flag for flag in STUDY_FLAGS if flag in table]
        return bool(present) and bool((table.dtypes[present] == "bool").all())


class MixedModels(Strict):
    """Fixed effects of the mixed models, one row each."""

    source: Series[str] = pa.Field(isin=["run", "published"])
    domain: Series[str]
    outcome: Series[str]
    model: Series[str]
    term: Series[str]
    estimate: Series[float] = pa.Field(nullable=True)
    std_error: Series[float] = pa.Field(ge=0, nullable=True)
    df: Series[float] = pa.Field(nullable=True)
    t: Series[float] = pa.Field(nullable=True)
    p: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    low: Series[float] = pa.Field(nullable=True)
    high: Series[float] = pa.Field(nullable=True)
    sd_target: Series[float] = pa.Field(ge=0, nullable=True)
    sd_residual: Series[float] = pa.Field(ge=0, nullable=True)
    log_likelihood: Series[float] = pa.Field(nullable=True)
    n: Series[int] = pa.Field(ge=0)

    class Config:
        """Settings of pandera."""

        unique = ("source", "domain", "outcome", "model", "term")
