"""What the tables before reporting promise."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from ukb_brain.tables.table import (
    ANY,
    COUNT,
    EID,
    FLAG,
    MAYBE,
    NUMBER,
    TEXT,
    WHOLE,
    P,
    declared,
    one_of,
    within,
)

KEYS = ("eid", "instance")
ABSENT = {"required": False}
VISIT = {"eid": EID, "instance": COUNT}
NOT_NEGATIVE = within(MAYBE, ge=0)


def _others_are_floats(table: pd.DataFrame) -> bool:
    return bool((table.drop(columns=[*KEYS]).dtypes == "float64").all())


def _others_are_instances(table: pd.DataFrame) -> bool:
    return bool((table.drop(columns=[*KEYS]).dtypes == "int64").all())


def _others_are_complete(table: pd.DataFrame) -> bool:
    others = table.drop(columns=[*KEYS, "fold"])
    return bool((others.dtypes == "float32").all()) and not others.isna().any(axis=None)


def _has_all_dates_or_none(table: pd.DataFrame) -> bool:
    return table["date"].isna().nunique() < 2


def _one_visit_of_each_is_chosen(table: pd.DataFrame) -> bool:
    return bool((table.groupby("eid")["chosen"].sum() == 1).all())


def _a_person_has_one_family(table: pd.DataFrame) -> bool:
    return not table[["eid", "family"]].drop_duplicates().duplicated("eid").any()


participants = declared(
    VISIT
    | {
        "chosen": FLAG,
        "family": COUNT,
        "site": WHOLE,
        "date": {"nullable": True, "checks": pa.Check(lambda date: date.dtype.kind == "M")},
        "age": within(MAYBE, gt=0, lt=120),
        "sex": MAYBE | {"checks": pa.Check.isin([0, 1])},
        "ethnic_background deprivation": MAYBE | ABSENT,
        "participation_weight": within(MAYBE, gt=0) | ABSENT,
    },
    "eid instance",
    _has_all_dates_or_none,
    _one_visit_of_each_is_chosen,
    _a_person_has_one_family,
)

# Which further columns these have depends on the grid.
people_by_visit = declared(VISIT, "eid instance", _others_are_floats, strict=False)
# The instance that each answer is of.
sources_by_visit = declared(VISIT, "eid instance", _others_are_instances, strict=False)


def _adds_up(table: pd.DataFrame) -> bool:
    expected = table["remaining"].shift() - table["excluded"]
    return bool((expected[1:] == table["remaining"][1:]).all())


exclusion_flow = declared({"step excluded remaining": COUNT, "reason": TEXT}, "step", _adds_up)

# People with scans of each modality.
scan_counts = declared({"modality": TEXT, "people undated in_cohort": COUNT}, "modality")

splits = declared(
    {"eid": EID, "fold": COUNT, "part": one_of("train", "validation", "test")}, "eid fold"
)

# Imputed and scaled traits with their masks.
blocks = declared(VISIT | {"fold": COUNT}, "eid instance fold", _others_are_complete, strict=False)

# Training means and standard deviations.
block_scaling = declared(
    {
        "fold n_train": COUNT,
        "target training_people": TEXT,
        "mean": NUMBER,
        "sd": within(NUMBER, gt=0),
    },
    "fold target",
)

# Each target at the first imaging visit.
target_summary = declared(
    {
        "target name": TEXT,
        "n missing": COUNT,
        "mean_or_prevalence median_lag_years": MAYBE,
        "sd": NOT_NEGATIVE,
    },
    "target",
)

# Each scan's state, and its metrics.
quality = declared(
    VISIT | {"modality reason": TEXT, "status": one_of("ok", "missing", "unusable", "broken")},
    "eid instance modality",
    strict=False,
)


def _is_not_training(table: pd.DataFrame) -> bool:
    return bool(table["split"].isin(["validation", "test", "repeat"]).all())


def _is_unique(table: pd.DataFrame) -> bool:
    # Codes rather than strings: millions of rows of long names are slow to compare.
    coded = table[list(KEYS)].copy()
    for name in ("target", "inputs", "strategy", "fold", "seed"):
        coded[name] = pd.factorize(table[name])[0]
    return not coded.duplicated().any()


# In the target's own units, or as a probability.
predictions = declared(
    VISIT
    | {"target inputs strategy split": ANY, "fold": COUNT, "seed": WHOLE, "y_true y_pred": NUMBER},
    "",
    _is_not_training,
    _is_unique,
)

# How each cell was fitted, and where it was measured at what cost.
cell_fits = declared(
    {
        "target inputs status": TEXT,
        "strategy": one_of("linear", "kernels", "amortised", "dedicated"),
        "fold n_train n_val n_test": COUNT,
        "seed": WHOLE,
        "train_seconds": NOT_NEGATIVE,
        "decision_threshold": P,
        "train_median loss penalty": MAYBE,
        "device": TEXT | ABSENT,
        "flops shared_seconds": NOT_NEGATIVE | ABSENT,
        "attempts": COUNT | ABSENT,
    },
    "target inputs strategy fold seed",
    strict=False,
)
