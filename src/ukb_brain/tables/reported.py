"""What every table of the reports promises, under the name that the catalog gives it."""

from __future__ import annotations

import pandas as pd

from ukb_brain.tables.table import (
    COUNT,
    EID,
    FLAG,
    MAYBE,
    NUMBER,
    SCORE,
    TEXT,
    WHOLE,
    P,
    declared,
    in_order,
    one_of,
    within,
)

BINARY_METRICS = ("balanced_accuracy", "roc_auc", "average_precision", "brier")
CONTINUOUS_METRICS = ("r2", "pearson_r", "mae", "median_split_accuracy")
METRICS = BINARY_METRICS + CONTINUOUS_METRICS
LEGIBLE_METRICS = ("r2", "roc_auc")
# Of the study's grid; a grid of another make has fewer or further ones.
STUDY_MODALITIES = ("t1", "flair", "dwi", "rsfmri")
STUDY_FLAGS = (*STUDY_MODALITIES, "constitutional", "disease", "serology", "psychology")

KIND, LEGIBLE = one_of("binary", "continuous"), one_of(*LEGIBLE_METRICS)
RETRAINED = one_of("linear", "kernels", "amortised")
NOT_NEGATIVE, POSITIVE = within(MAYBE, ge=0), within(MAYBE, gt=0)


def _holds_nobody(table: pd.DataFrame) -> bool:
    return not {"eid", "instance", "family", "y_true", "y_pred"} & set(table.columns)


def _has_every_metric_with_interval(table: pd.DataFrame) -> bool:
    legible = LEGIBLE_METRICS if "fold" in table else METRICS
    return {*METRICS, *(m + end for m in legible for end in ("_low", "_high"))} <= set(table)


def _has_spreads_of_all_metrics_or_a_fold(table: pd.DataFrame) -> bool:
    spreads = [f"{m}_seed_sd" in table for m in METRICS]
    return not any(spreads) if "fold" in table else all(spreads)


def _intervals_are_ordered(table: pd.DataFrame) -> bool:
    return in_order(*(m for m in METRICS if f"{m}_low" in table))(table)


def _metrics_fit_their_kind(table: pd.DataFrame) -> bool:
    binary = table["kind"] == "binary"
    of_others = [
        table.loc[rows, [m for m in metrics if m in table]]
        for rows, metrics in ((~binary, BINARY_METRICS), (binary, CONTINUOUS_METRICS))
    ]
    return not any(part.notna().any(axis=None) for part in of_others)


def _is_unique(table: pd.DataFrame) -> bool:
    keys = [k for k in ("target", "inputs", "strategy", "fold", "seed") if k in table]
    return not table.duplicated(keys).any()


def _flags_are_boolean(table: pd.DataFrame) -> bool:
    present = [flag for flag in STUDY_FLAGS if flag in table]
    return bool(present) and bool((table.dtypes[present] == "bool").all())


# The legibility map: metrics of each cell with their 95 % intervals. A modality or domain of the
# grid brings one boolean column each. The map has the spread between seeds beside each metric; the
# table of all fits has the fold, and intervals of what skill is made of only.
performance = performance_all = declared(
    {
        "target domain inputs status strategy": TEXT,
        "kind": KIND,
        "n_train n_val n_test": COUNT,
        rf"^({'|'.join(METRICS)})(_low|_high)?$": MAYBE | {"regex": True},
        rf"^({'|'.join(METRICS)})_seed_sd$": NOT_NEGATIVE | {"regex": True, "required": False},
        "train_seconds": NOT_NEGATIVE,
        "fold": COUNT | {"required": False},
        "seed": WHOLE,
    },
    "",
    _has_every_metric_with_interval,
    _has_spreads_of_all_metrics_or_a_fold,
    _intervals_are_ordered,
    _metrics_fit_their_kind,
    _is_unique,
    _flags_are_boolean,
    strict=False,
)

# Fixed effects of the mixed models.
mixed_models = declared(
    {
        "source": one_of("run", "published"),
        "domain outcome model term": TEXT,
        "estimate df t low high log_likelihood": MAYBE,
        "std_error sd_target sd_residual": NOT_NEGATIVE,
        "p": P,
        "n": COUNT,
    },
    "source domain outcome model term",
)

# Every metric of every cell, with its recommended interval.
intervals = declared(
    {
        "target inputs metric note": TEXT,
        "method": one_of("percentile", "bca", "expanded", "delong", "newcombe"),
        "estimate low high": MAYBE,
        "validated": FLAG,
    },
    "target inputs metric",
    in_order("low high"),
)

# Single cells of a table from outside.
published_intervals = declared(
    {
        "target inputs note": TEXT,
        "metric": one_of("balanced_accuracy", "pearson_r", "r2"),
        "estimate low high": SCORE,
    },
    "target inputs metric",
)

# Every cell against permuted labels.
permutations = declared(
    {
        "target inputs tests": TEXT,
        "skill null_mean null_sd": MAYBE,
        "p p_bh p_max_family p_max moved": P,
        "permutations": within(WHOLE, ge=1),
    },
    "target inputs",
)

# Cells that differ by one part, and whether it adds.
comparisons = declared(
    {
        "target tests inputs without part note": TEXT,
        "n": COUNT,
        "difference low high": MAYBE,
        "p p_adjusted p_delong": P,
        "margin": within(NUMBER, gt=0),
        "verdict": one_of("adds", "no gain", "unknown"),
    },
    "target inputs without",
    _holds_nobody,
    strict=False,
)

# Shapley values and interactions of targets, then of domains.
contributions = declared(
    {
        "domain target part other verdict note": TEXT,
        "measure": one_of("baseline", "contribution", "fullest", "interaction"),
        "estimate low high": MAYBE,
        "n_targets": COUNT,
    },
    "domain target measure part other",
)

# Mixed models with intervals over resampled test people.
mixed_models_resampled = declared(
    {
        "domain outcome term note": TEXT,
        "weighting": one_of("equal", "precision"),
        "estimate low high": MAYBE,
        "n_draws": COUNT,
    },
    "domain outcome weighting term",
)

# Claims and their parts, with verdicts.
claims = declared(
    {
        "claim text part reason": TEXT,
        "basis": TEXT | {"nullable": True},
        "statistic low high bound": MAYBE,
        "p": P,
        "n_targets n_missing": COUNT,
        "verdict": one_of(
            "supported", "contradicted", "undecided", "cannot be tested", "not in this grid"
        ),
    },
    "claim part",
)

calibration = declared(
    {"target inputs measure note": TEXT, "estimate low high": MAYBE},
    "",
    _holds_nobody,
    strict=False,
)

# Bins of like predictions; small counts are for whoever shows them to suppress.
calibration_curves = declared(
    {"target inputs": TEXT, "bin": COUNT, "n": within(WHOLE, ge=1), "predicted observed": NUMBER},
    "",
    _holds_nobody,
    strict=False,
)

# Subgroups that are small have neither scores nor counts.
subgroups = declared(
    {
        "target inputs subgroup_of subgroup status": TEXT,
        "score difference": MAYBE,
        "p_adjusted": P,
        "differs": FLAG,
    },
    "",
    _holds_nobody,
    strict=False,
)

# Scores as if people took part alike; no rows where no weights were given.
participation = declared(
    {"target inputs": TEXT, "metric": LEGIBLE, "n_effective": MAYBE},
    "target",
    _holds_nobody,
    strict=False,
    coerce=True,
)

# Each target's imaging cell beside confounds alone, and within sites.
confounds = declared(
    {"target inputs status": TEXT, "metric": LEGIBLE}, "target", _holds_nobody, strict=False
)

# Test-retest ceilings.
reliability = declared({"target status": TEXT}, "target", _holds_nobody, strict=False)

# Agreement of predictions of people scanned twice.
repeatability = declared(
    {"target inputs status": TEXT, "n": NOT_NEGATIVE, "icc": SCORE},
    "target",
    _holds_nobody,
    strict=False,
)

# Each test person's gap: restricted.
brain_age_gap = declared(
    {
        "eid": EID,
        "instance fold": COUNT,
        "age": within(NUMBER, gt=0),
        "predicted_age gap": NUMBER,
        "inputs": TEXT,
    },
    "eid instance fold",
    coerce=True,
)

# Pairs of targets and how they are related.
relations = declared(
    {"measure target other": TEXT, "estimate": MAYBE, "p": P},
    "measure target other",
    _holds_nobody,
    strict=False,
)

# How central targets are in the graph of each measure.
centrality = declared(
    {"measure target": TEXT, "estimate": P}, "measure target", _holds_nobody, strict=False
)

# One row a variable, as text, without small counts.
data_dictionary = declared({"role key name n missing": TEXT}, "", _holds_nobody, strict=False)

# A headline score and its skill, with intervals, on test people.
SCORED = {
    "target inputs status": TEXT,
    "kind": KIND,
    "strategy": RETRAINED,
    "n_train n_test": COUNT,
    "metric": one_of("AUC", "R²"),
    "score score_low score_high skill skill_low skill_high": SCORE,
}


def _has_a_skill_where_it_is_ok(table: pd.DataFrame) -> bool:
    return bool((table["skill"].notna() == (table["status"] == "ok")).all())


RULES = (in_order("skill"), _has_a_skill_where_it_is_ok)

# One row a cell, strategy, share of training people and repeat.
learning_curves = declared(
    SCORED | {"share": within(NUMBER, gt=0, le=1), "repeat": COUNT},
    "target inputs strategy share repeat",
    *RULES,
)


def _more_people_cost_nothing(table: pd.DataFrame) -> bool:
    known = table[table["at_10x"].notna()]
    ordered = known["at_10x"] <= known["at_100x_scenario"] + 1e-9
    return bool(ordered.all() and (known["asymptote"] <= 1).all())


# One row a cell and strategy: the power law of its learning curve.
learning_curve_fits = declared(
    {
        "target inputs": TEXT,
        "kind": KIND,
        "strategy": RETRAINED,
        "shape": one_of("flat at zero", "level", "rising", "too few sizes"),
        "n_sizes": COUNT,
        "n_largest training_sd": NOT_NEGATIVE,
        r"^(rise|asymptote|rate|at_10x|gain_10x|at_100x_scenario)(_low|_high)?$": MAYBE
        | {"regex": True},
    },
    "target inputs strategy",
    in_order("rise", "asymptote", "at_10x", "gain_10x", "at_100x_scenario"),
    _more_people_cost_nothing,
)

# One row a cell, strategy and site that was not learned from, and one for all sites.
left_out_sites = declared(SCORED | {"site": TEXT}, "target inputs strategy site", *RULES)

# One row a cell, strategy and variant of the models.
model_scale = declared(
    SCORED
    | {
        "variant": TEXT,
        "parameters": POSITIVE,
        "gain gain_low gain_high": MAYBE,
        "gain_se": NOT_NEGATIVE,
    },
    "target inputs strategy variant",
    *RULES,
    in_order("gain"),
)

# One row a target: legible, or what stands in the way.
verdicts = declared(
    {
        "target reasons": TEXT,
        "verdict": one_of(
            "legible",
            "limited by data",
            "limited by model",
            "limited by measurement",
            "not read by these models",
            "images not shown to add",
            "not told apart from confounds",
            "no verdict",
        ),
        "through": one_of("", "site", "age and sex"),
        "skill skill_low skill_high": SCORE,
    },
    "target",
)
