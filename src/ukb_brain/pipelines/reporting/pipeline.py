"""From predictions to tables, figures, pages and texts, in parts that are boxes of Kedro-Viz."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.compute import draw_compute
from ukb_brain.figures.exclusion_flow import draw_exclusion_flow
from ukb_brain.figures.heat_maps import draw_heat_maps
from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.pipelines import wiring
from ukb_brain.pipelines.wiring import box
from ukb_brain.reports.claims import write_claims
from ukb_brain.reports.dashboard import build_dashboard
from ukb_brain.reports.data_dictionary import build_data_dictionary, shown_dictionary
from ukb_brain.reports.page import EXPECTED, build_report
from ukb_brain.reports.summary import write_summary
from ukb_brain.statistics.certainty.cell_intervals import errors_without_fail, interval_table
from ukb_brain.statistics.certainty.permutation import null_table
from ukb_brain.statistics.claims import evaluate_claims
from ukb_brain.statistics.inputs.contributions import contribution_table
from ukb_brain.statistics.inputs.mixed_models import analysable, fit_domains
from ukb_brain.statistics.inputs.mixed_resampling import resampled_table
from ukb_brain.statistics.inputs.nested_pairs import comparison_table, imaging_gains
from ukb_brain.statistics.limits.confound_table import Everybody, confound_table
from ukb_brain.statistics.limits.findings import gather_findings, positives
from ukb_brain.statistics.limits.retest_table import repeatability_table, retest_table
from ukb_brain.statistics.limits.verdicts import verdict_table
from ukb_brain.statistics.people.brain_age import gap_table
from ukb_brain.statistics.people.calibration_tables import calibration_tables
from ukb_brain.statistics.people.participation import participation_table
from ukb_brain.statistics.people.subgroups import subgroup_table
from ukb_brain.statistics.relations.relation_tables import relation_tables
from ukb_brain.statistics.scores.cell_scores import common_scores
from ukb_brain.statistics.scores.performance import score_all, score_map, with_intervals
from ukb_brain.statistics.scores.published import published_layout
from ukb_brain.statistics.scores.target_predictions import gather_targets
from ukb_brain.statistics.tested import (
    Tested,
    choose_strategy,
    draw_families,
    gather_unrefined,
    gather_validation_people,
)
from ukb_brain.tables.thresholds import as_tested
from ukb_brain.tables.visits import at_chosen_visit

# What the words of this pipeline stand for; what begins with a point is a report.
WORDS = {
    "grid": "params:grid",
    "level": "params:reporting.level",
    "below": "params:reporting.suppress_below",
    "source": "params:source",
    "seed": "params:seed",
    "strategy": "map_strategy",
    "people": "test_people",
    "draws": "family_draws",
    "participants": "primary.participants",
    "predictions": "model_output.predictions",
    "cell_fits": "model_output.cell_fits",
}
# Tables of the pipeline `evidence`, which are shown where they are there.
RETRAINED = ("learning_curves", "learning_curve_fits", "left_out_sites", "model_scale")


def in_full(words: str) -> str:
    """Name the datasets that words of this pipeline stand for."""
    return " ".join(WORDS.get(w, f"reporting{w}" if w[0] == "." else w) for w in words.split())


def step(function: Callable[..., Any], reads: str, makes: str, name: str = "") -> Node:
    """Make a function a node, by the words of this pipeline."""
    return wiring.step(function, in_full(reads), in_full(makes), name)


SCORES = box(
    "scores",
    step(choose_strategy, "cell_fits params:reporting", "map_strategy"),
    step(
        draw_families,
        "participants params:reporting params:certainty seed",
        "families draws relation_draws",
    ),
    step(score_all, "predictions cell_fits participants grid draws level", ".performance_all"),
    step(score_map, "predictions cell_fits participants grid strategy", "scored_map"),
    step(gather_targets, "predictions cell_fits participants grid strategy", "people"),
    step(gather_validation_people, "predictions strategy", "validation_people repeat_visits"),
    step(
        gather_unrefined,
        "model_output.unrefined predictions cell_fits participants grid strategy",
        "unrefined_people unrefined_validation",
    ),
    step(Tested, "people draws grid level", "tested", "tested_people"),
    step(Tested, "unrefined_people draws grid level", "unrefined", "tested_unrefined"),
    step(as_tested, "primary.targets participants primary.splits grid", "targets_as_tested"),
)
CERTAINTY = box(
    "certainty",
    step(interval_table, "people draws level", ".intervals"),
    step(with_intervals, "scored_map .intervals", ".performance"),
    step(
        null_table, "people participants grid params:certainty.permutations seed", ".permutations"
    ),
    step(common_scores, "people draws", "skill_by_cell accuracy_by_cell"),
)
INPUTS = box(
    "inputs",
    step(comparison_table, "unrefined params:certainty.margin", ".comparisons"),
    step(contribution_table, "skill_by_cell grid level", ".contributions"),
    step(analysable, ".performance", "analysed_map"),
    step(fit_domains, "analysed_map grid level", ".mixed_models"),
    step(resampled_table, "skill_by_cell accuracy_by_cell grid level", ".mixed_models_resampled"),
    step(errors_without_fail, ".intervals level", "skill_errors"),
    step(
        evaluate_claims,
        "params:claims skill_by_cell grid level skill_errors .mixed_models",
        ".claims",
    ),
)
PEOPLE = box(
    "people",
    step(calibration_tables, "tested validation_people", ".calibration .calibration_curves"),
    step(gap_table, "tested validation_people", "model_output.brain_age_gap"),
    step(subgroup_table, "tested participants below", ".subgroups"),
    step(participation_table, "tested participants", ".participation"),
    step(at_chosen_visit, "targets_as_tested participants", "targets_at_scan"),
    step(
        relation_tables,
        "targets_at_scan families skill_by_cell relation_draws grid level",
        ".relations .centrality",
    ),
)
LIMITS = box(
    "limits",
    step(
        Everybody,
        "primary.targets primary.confounds participants primary.splits unrefined_validation "
        "params:reporting.covariates",
        "everybody",
        "gather_everybody",
    ),
    step(confound_table, "tested unrefined everybody", ".confounds"),
    step(
        retest_table,
        "tested targets_as_tested primary.target_sources families",
        ".reliability",
    ),
    step(repeatability_table, "tested repeat_visits", ".repeatability"),
    step(positives, "tested", "test_people_with_trait"),
    step(imaging_gains, ".comparisons grid", "imaging_gains"),
    step(
        gather_findings,
        ".performance grid strategy test_people_with_trait .permutations imaging_gains "
        ".confounds .reliability evidence.left_out_sites "
        "evidence.learning_curve_fits evidence.model_scale",
        "findings",
    ),
    step(verdict_table, "findings params:verdicts", ".verdicts"),
)
REPORT = box(
    "report",
    step(published_layout, ".performance people cell_fits grid", ".published_layout"),
    step(draw_heat_maps, ".performance grid source below", ".heat_maps"),
    step(draw_legibility, ".performance grid source", ".legibility"),
    step(draw_coefficients, ".mixed_models grid source", ".coefficients"),
    step(draw_compute, ".performance_all cell_fits grid source", ".compute"),
    step(
        draw_exclusion_flow,
        "primary.exclusion_flow primary.scan_counts grid below source",
        ".exclusion_flow",
    ),
    step(
        build_dashboard,
        ".performance primary.exclusion_flow primary.target_summary primary.quality_summary grid "
        "source below",
        ".dashboard",
    ),
    step(shown_dictionary, "primary.data_dictionary below", ".data_dictionary"),
    step(build_data_dictionary, ".data_dictionary grid source below", ".data_dictionary_page"),
    step(write_claims, ".claims source", ".claims_text"),
    step(
        write_summary,
        ".performance grid source params:reporting.folder below .verdicts",
        ".summary",
    ),
    Node(
        build_report,
        {t: f"{'evidence' if t in RETRAINED else 'reporting'}.{t}" for t in EXPECTED}
        | {"grid": "params:grid", "source": "params:source"}
        | {"suppress_below": "params:reporting.suppress_below"},
        "reporting.report",
        name="build_report",
    ),
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the parts; what the map itself needs comes before what says how sure it is."""
    return SCORES + CERTAINTY + INPUTS + PEOPLE + LIMITS + REPORT
