"""What every table of the reports promises, under the name that the catalog gives it."""

import pandas as pd

from ukb_brain.metrics import HEADLINE, METRICS, RECOMMENDED
from ukb_brain.tables.table import (
    COUNT,
    FLAG,
    MAYBE,
    NOT_NEGATIVE,
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

# Of the study's grid; a grid of another make has fewer or further ones.
STUDY_MODALITIES = ("t1", "flair", "dwi", "rsfmri")
STUDY_FLAGS = (*STUDY_MODALITIES, "constitutional", "disease", "serology", "psychology")

HEADLINES, LABELS = zip(*HEADLINE.values(), strict=True)
LEGIBLE = one_of(*HEADLINES)
RETRAINED = one_of("linear", "kernels", "amortised")


def _holds_nobody(table: pd.DataFrame) -> bool:
    return not {"eid", "instance", "family", "y_true", "y_pred"} & set(table.columns)


def _has_every_metric_with_interval(table: pd.DataFrame) -> bool:
    legible = HEADLINES if "fold" in table else RECOMMENDED
    return {*RECOMMENDED, *(m + end for m in legible for end in ("_low", "_high"))} <= set(table)


def _has_spreads_of_all_metrics_or_a_fold(table: pd.DataFrame) -> bool:
    spreads = [f"{m}_seed_sd" in table for m in RECOMMENDED]
    return not any(spreads) if "fold" in table else all(spreads)


def _intervals_are_ordered(table: pd.DataFrame) -> bool:
    return in_order(*(m for m in RECOMMENDED if f"{m}_low" in table))(table)


def _metrics_fit_their_kind(table: pd.DataFrame) -> bool:
    others = [
        table.loc[table["kind"] != kind, table.columns.intersection(list(own))]
        for kind, own in METRICS.items()
    ]
    return not any(values.notna().any(axis=None) for values in others)


def _flags_are_boolean(table: pd.DataFrame) -> bool:
    present = [flag for flag in STUDY_FLAGS if flag in table]
    return bool(present) and bool((table.dtypes[present] == "bool").all())


# The legibility map: metrics of each cell with their 95 % intervals. A modality or domain of the
# grid brings one boolean column each. The map has the spread between seeds beside each metric; the
# table of all fits has the fold, and intervals of what skill is made of only.
performance = performance_all = declared(
    "target domain kind inputs n_train n_val n_test status train_seconds strategy fold seed",
    "target inputs strategy fold seed",
    _has_every_metric_with_interval,
    _has_spreads_of_all_metrics_or_a_fold,
    _intervals_are_ordered,
    _metrics_fit_their_kind,
    _flags_are_boolean,
    strict=False,
    kinds={
        "fold": COUNT | {"required": False},
        rf"^({'|'.join(RECOMMENDED)})(_low|_high)?$": MAYBE,
        rf"^({'|'.join(RECOMMENDED)})_seed_sd$": NOT_NEGATIVE | {"required": False},
    },
)

# Fixed effects of the mixed models.
mixed_models = declared(
    "source domain outcome model term estimate std_error df t p low high sd_target sd_residual "
    "log_likelihood n",
    "source domain outcome model term",
    kinds={"source": one_of("run", "published")},
)

# Every metric of every cell, with its recommended interval.
intervals = declared(
    "target inputs metric method estimate low high note validated",
    "target inputs metric",
    in_order(""),
    kinds={
        "metric": one_of(*RECOMMENDED),
        "method": one_of(*RECOMMENDED.values()),
        "validated": FLAG,
    },
)

# Single cells of a table from outside.
published_intervals = declared(
    "target inputs metric estimate low high note",
    "target inputs metric",
    kinds={"metric": one_of("balanced_accuracy", "pearson_r", "r2"), "estimate low high": SCORE},
)

# Every cell against permuted labels.
permutations = declared(
    "target inputs tests skill null_mean null_sd p p_bh p_max_family p_max moved permutations",
    "target inputs",
    kinds={"moved": P, "permutations": within(WHOLE, ge=1)},
)

# Cells that differ by one part, and whether it adds.
comparisons = declared(
    "target tests inputs without part n skill skill_without difference low high se p upper p_below "
    "p_equivalent p_delong note p_adjusted margin verdict",
    "target inputs without",
    kinds={"margin": within(NUMBER, gt=0), "verdict": one_of("adds", "no gain", "unknown")},
)

# Shapley values and interactions of targets, then of domains.
contributions = declared(
    "domain target measure part other estimate low high verdict n_targets note",
    "domain target measure part other",
    kinds={"measure": one_of("baseline", "contribution", "fullest", "interaction")},
)

# Mixed models with intervals over resampled test people.
mixed_models_resampled = declared(
    "domain outcome weighting term estimate low high n_draws note",
    "domain outcome weighting term",
    kinds={"weighting": one_of("equal", "precision")},
)

# Claims and their parts, with verdicts. Of several parts, which must all hold, the first of these
# that any has is the claim's.
CLAIM_VERDICTS = "contradicted", "not in this grid", "cannot be tested", "undecided", "supported"
claims = declared(
    "claim text part basis statistic low high bound p n_targets n_missing verdict reason",
    "claim part",
    kinds={"basis": TEXT | {"nullable": True}, "verdict": one_of(*CLAIM_VERDICTS)},
)

calibration = declared("target inputs measure estimate note low high")

# Bins of like predictions; small counts are for whoever shows them to suppress.
calibration_curves = declared(
    "bin n events predicted observed low high target inputs",
    kinds={
        "bin": COUNT,
        "n": within(WHOLE, ge=1),
        "events": {"dtype": pd.Int64Dtype, "nullable": True},
        "predicted observed": NUMBER,
    },
)

# Subgroups that are small have neither scores nor counts.
subgroups = declared(
    "target inputs subgroup_of subgroup n status score* difference* p p_adjusted differs",
    kinds={"n": {"dtype": pd.Int64Dtype, "nullable": True}, "differs": FLAG},
)

# Scores as if people took part alike; no rows where no weights were given.
participation = declared(
    "target inputs metric n n_effective plain* weighted* difference*",
    "target",
    kinds={"metric": LEGIBLE, "n n_effective": MAYBE},
    coerce=True,
)

# Each target's imaging cell beside confounds alone, and within sites.
confounds = declared(
    "target inputs metric status", "target", _holds_nobody, strict=False, kinds={"metric": LEGIBLE}
)

# Test-retest ceilings.
reliability = declared("target status", "target", _holds_nobody, strict=False)

# Agreement of predictions of people scanned twice.
repeatability = declared(
    "target inputs n status icc* pearson_r*", "target", kinds={"n": NOT_NEGATIVE, "icc": SCORE}
)

# Agreement of scans of test people scanned twice: volumes, and vectors as models read them.
scan_agreement = declared(
    "scans sites n status icc*",
    "scans sites",
    kinds={
        "scans": TEXT,
        "sites": one_of("as they are", "made alike"),
        "n": NOT_NEGATIVE,
        "icc": SCORE,
    },
)

# Each test person's gap: restricted.
brain_age_gap = declared(
    "eid instance fold age predicted_age gap inputs",
    "eid instance fold",
    kinds={"age": within(NUMBER, gt=0), "predicted_age gap": NUMBER},
    coerce=True,
)

# Pairs of targets and how they are related.
relations = declared(
    "measure target other n estimate low high p p_adjusted note", "measure target other"
)

# How central targets are in the graph of each measure.
centrality = declared("measure target estimate low high", "measure target", kinds={"estimate": P})

# One row a variable, as text, without small counts.
data_dictionary = declared(
    "role key name n missing", "", _holds_nobody, strict=False, kinds={"role key n missing": TEXT}
)


# Edges between regions, as training people have them on average.
mean_connectivity = declared(
    "modality region other mean",
    "modality region other",
    kinds={"region": TEXT, "mean": MAYBE},
)


def _has_a_skill_where_it_is_ok(table: pd.DataFrame) -> bool:
    return bool((table["skill"].notna() == (table["status"] == "ok")).all())


# A headline score and its skill, with intervals, on test people.
SCORED = "n_train n_test status metric score* skill*"
RULES = (in_order("skill"), _has_a_skill_where_it_is_ok)
SCORED_KINDS = {
    "strategy": RETRAINED,
    "metric": one_of(*LABELS),
    "score skill": SCORE,
}

# One row a cell, strategy, share of training people and repeat.
learning_curves = declared(
    f"target kind inputs strategy share repeat {SCORED}",
    "target inputs strategy share repeat",
    *RULES,
    kinds=SCORED_KINDS | {"share": within(NUMBER, gt=0, le=1), "repeat": COUNT},
)


def _more_people_cost_nothing(table: pd.DataFrame) -> bool:
    known = table[table["at_10x"].notna()]
    ordered = known["at_10x"] <= known["at_100x_scenario"] + 1e-9
    return bool(ordered.all() and (known["asymptote"] <= 1).all())


# One row a cell and strategy: the power law of its learning curve.
learning_curve_fits = declared(
    "target kind inputs strategy shape n_sizes n_largest training_sd rise* asymptote* rate* "
    "at_10x* gain_10x* at_100x_scenario*",
    "target inputs strategy",
    in_order("rise", "asymptote", "at_10x", "gain_10x", "at_100x_scenario"),
    _more_people_cost_nothing,
    kinds={
        "strategy": RETRAINED,
        "shape": one_of("flat at zero", "level", "rising", "too few sizes"),
        "n_largest": NOT_NEGATIVE,
    },
)

# One row a cell, strategy and site that was not learned from, and one for all sites.
left_out_sites = declared(
    f"target kind inputs strategy site {SCORED}",
    "target inputs strategy site",
    *RULES,
    kinds=SCORED_KINDS,
)

# One row a cell, strategy and variant of the models.
model_scale = declared(
    f"variant strategy target kind inputs parameters {SCORED} gain* gain_se",
    "target inputs strategy variant",
    *RULES,
    in_order("gain"),
    kinds=SCORED_KINDS | {"parameters": within(MAYBE, gt=0)},
)

# One row a target: legible, or what stands in the way.
VERDICTS = (
    *("legible", "limited by data", "limited by model", "limited by measurement"),
    *("not read by these models", "not told apart from confounds", "images not shown to add"),
    "no verdict",
)
verdicts = declared(
    "target verdict through skill* reasons",
    "target",
    kinds={
        "verdict": one_of(*VERDICTS),
        "through": one_of("", "site", "age and sex"),
        "skill": SCORE,
    },
)
