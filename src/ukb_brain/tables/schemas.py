"""What the tables before reporting promise."""

import pandas as pd
import pandera.pandas as pa

from ukb_brain.tables.table import (
    ANY,
    COUNT,
    FLAG,
    MAYBE,
    NOT_NEGATIVE,
    NUMBER,
    TEXT,
    WHOLE,
    P,
    declared,
    one_of,
    within,
)

OTHERS = "^(?!(eid|instance|fold)$)"
ABSENT = {"required": False}
STRATEGY = one_of("linear", "kernels", "amortised", "dedicated")


def _has_all_dates_or_none(table: pd.DataFrame) -> bool:
    return table["date"].isna().nunique() < 2


def _one_visit_of_each_is_chosen(table: pd.DataFrame) -> bool:
    return bool((table.groupby("eid")["chosen"].sum() == 1).all())


def _a_person_has_one_family(table: pd.DataFrame) -> bool:
    return not table[["eid", "family"]].drop_duplicates().duplicated("eid").any()


participants = declared(
    "eid instance chosen family site date phase age sex ethnic_background deprivation "
    "participation_weight",
    "eid instance",
    _has_all_dates_or_none,
    _one_visit_of_each_is_chosen,
    _a_person_has_one_family,
    kinds={
        "chosen": FLAG,
        "family": COUNT,
        "site": WHOLE,
        "phase": COUNT | ABSENT,
        "date": {"nullable": True, "checks": pa.Check(lambda date: date.dtype.kind == "M")},
        "age": within(MAYBE, gt=0, lt=120),
        "sex": MAYBE | {"checks": pa.Check.isin([0, 1])},
        "ethnic_background deprivation": MAYBE | ABSENT,
        "participation_weight": within(MAYBE, gt=0) | ABSENT,
    },
)

# Which further columns these have depends on the grid.
people_by_visit = declared(
    "eid instance", "eid instance", strict=False, kinds={OTHERS: MAYBE | ABSENT}
)
# The instance that each answer is of.
sources_by_visit = declared(
    "eid instance", "eid instance", strict=False, kinds={OTHERS: WHOLE | ABSENT}
)


# Of imaging visits: a column a field, named by its number; without rows where there are none.
imaging_numbers = declared(
    "eid instance",
    "eid instance",
    strict=False,
    kinds={OTHERS: {"dtype": "float32", "nullable": True} | ABSENT},
)


def _adds_up(table: pd.DataFrame) -> bool:
    expected = table["remaining"].shift() - table["excluded"]
    return bool((expected[1:] == table["remaining"][1:]).all())


exclusion_flow = declared(
    "step reason excluded remaining", "step", _adds_up, kinds={"step excluded remaining": COUNT}
)

# People with scans of each modality.
scan_counts = declared(
    "modality people undated in_cohort", "modality", kinds={"people undated in_cohort": COUNT}
)

splits = declared(
    "eid fold part", "eid fold", kinds={"part": one_of("train", "validation", "test", "set_aside")}
)

# Imputed and scaled traits with their masks.
blocks = declared(
    "eid instance fold", "eid instance fold", strict=False, kinds={OTHERS: {"dtype": "float32"}}
)

# Training means and standard deviations.
block_scaling = declared(
    "fold target mean sd n_train training_people",
    "fold target",
    kinds={"mean": NUMBER, "sd": within(NUMBER, gt=0), "training_people": TEXT},
)

# Each target at the chosen imaging visit.
target_summary = declared(
    "target name n missing mean_or_prevalence sd median_lag_years",
    "target",
    kinds={"missing": COUNT},
)

# Each scan's state, and its metrics.
quality = declared(
    "eid instance modality status reason",
    "eid instance modality",
    strict=False,
    kinds={
        "status": one_of("ok", "missing", "unusable", "broken", "poor"),
        "overlap empty clipped not_finite constant": P | ABSENT,
        "largest brain_ml head_motion": NOT_NEGATIVE | ABSENT,
    },
)

# Of each scan that was read, what to look at.
scan_flags = declared(
    "eid instance modality correlation flags",
    "eid instance modality",
    kinds={
        "correlation": within(MAYBE, ge=-1.001, le=1.001),
        "flags": one_of("", "correlation", "duplicate", "correlation, duplicate"),
    },
)

# Whose scans a page shows under which code.
scan_codes = declared("code eid", "code", kinds={"code": TEXT})


# In the target's own units, or as a probability.
predictions = declared(
    "eid instance target inputs strategy fold seed split y_true y_pred",
    "eid instance target inputs strategy fold seed",
    kinds={
        "target inputs strategy": ANY,
        "split": {"checks": pa.Check.isin(["validation", "test", "repeat"])},
        "y_true y_pred": NUMBER,
    },
)

# How each cell was fitted, and where it was measured at what cost.
cell_fits = declared(
    "target inputs strategy fold seed n_train n_val n_test status train_seconds "
    "decision_threshold train_median loss penalty device flops shared_seconds attempts",
    "target inputs strategy fold seed",
    strict=False,
    kinds={
        "strategy": STRATEGY,
        "decision_threshold": P,
        "device": TEXT | ABSENT,
        "flops shared_seconds": NOT_NEGATIVE | ABSENT,
        "attempts": COUNT | ABSENT,
    },
)
