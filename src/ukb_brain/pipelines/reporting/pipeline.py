"""From predictions to tables, figures, pages and texts, in parts that are boxes of Kedro-Viz."""

from functools import partial

from kedro.pipeline import Node, Pipeline

from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.compute import draw_compute
from ukb_brain.figures.exclusion_flow import draw_exclusion_flow
from ukb_brain.figures.heat_maps import draw_heat_maps
from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.pipelines.wiring import box
from ukb_brain.pipelines.wiring import step as named_step
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

# What the words of this pipeline stand for.
SHORT = {
    "grid": "params:grid",
    "level": "params:reporting.level",
    "below": "params:reporting.suppress_below",
    "source": "params:source",
    "seed": "params:seed",
    "strategy": "map_strategy",
    "participants": "primary.participants",
    "predictions": "model_output.predictions",
    "cell_fits": "model_output.cell_fits",
    "performance": "reporting.performance",
}
# Tables of the pipeline `evidence`, which are shown where they are there.
RETRAINED = ("learning_curves", "learning_curve_fits", "left_out_sites", "model_scale")

step = partial(named_step, short=SHORT)
PREDICTED = "predictions cell_fits participants grid"

SCORES = (
    step(choose_strategy, "cell_fits params:reporting", "map_strategy"),
    step(
        draw_families,
        "participants params:reporting params:certainty seed",
        "families family_draws relation_draws",
    ),
    step(score_all, f"{PREDICTED} family_draws level", "reporting.performance_all"),
    step(score_map, f"{PREDICTED} strategy", "scored_map"),
    step(gather_targets, f"{PREDICTED} strategy", "test_people"),
    step(gather_validation_people, "predictions strategy", "validation_people repeat_visits"),
    step(
        gather_unrefined,
        f"model_output.unrefined {PREDICTED} strategy",
        "unrefined_people unrefined_validation",
    ),
    step(Tested, "test_people family_draws grid level", "tested", "tested_people"),
    step(Tested, "unrefined_people family_draws grid level", "unrefined", "tested_unrefined"),
    step(as_tested, "primary.targets participants primary.splits grid", "targets_as_tested"),
)
CERTAINTY = (
    step(interval_table, "test_people family_draws level", "reporting.intervals"),
    step(with_intervals, "scored_map reporting.intervals", "reporting.performance"),
    step(
        null_table,
        "test_people participants grid params:certainty.permutations seed",
        "reporting.permutations",
    ),
    step(common_scores, "test_people family_draws", "skill_by_cell accuracy_by_cell"),
)
INPUTS = (
    step(comparison_table, "unrefined params:certainty.margin", "reporting.comparisons"),
    step(contribution_table, "skill_by_cell grid level", "reporting.contributions"),
    step(analysable, "performance", "analysed_map"),
    step(fit_domains, "analysed_map grid level", "reporting.mixed_models"),
    step(
        resampled_table,
        "skill_by_cell accuracy_by_cell grid level",
        "reporting.mixed_models_resampled",
    ),
    step(errors_without_fail, "reporting.intervals level", "skill_errors"),
    step(
        evaluate_claims,
        "params:claims skill_by_cell grid level skill_errors reporting.mixed_models",
        "reporting.claims",
    ),
)
PEOPLE = (
    step(
        calibration_tables,
        "tested validation_people",
        "reporting.calibration reporting.calibration_curves",
    ),
    step(gap_table, "tested validation_people", "model_output.brain_age_gap"),
    step(subgroup_table, "tested participants below", "reporting.subgroups"),
    step(participation_table, "tested participants", "reporting.participation"),
    step(at_chosen_visit, "targets_as_tested participants", "targets_at_scan"),
    step(
        relation_tables,
        "targets_at_scan families skill_by_cell relation_draws grid level",
        "reporting.relations reporting.centrality",
    ),
)
LIMITS = (
    step(
        Everybody,
        "primary.targets primary.confounds participants primary.splits unrefined_validation "
        "params:reporting.covariates",
        "everybody",
        "gather_everybody",
    ),
    step(confound_table, "tested unrefined everybody", "reporting.confounds"),
    step(
        retest_table,
        "tested targets_as_tested primary.target_sources families",
        "reporting.reliability",
    ),
    step(repeatability_table, "tested repeat_visits", "reporting.repeatability"),
    step(positives, "tested", "test_people_with_trait"),
    step(imaging_gains, "reporting.comparisons grid", "imaging_gains"),
    step(
        gather_findings,
        "performance grid strategy test_people_with_trait reporting.permutations imaging_gains "
        "reporting.confounds reporting.reliability evidence.left_out_sites "
        "evidence.learning_curve_fits evidence.model_scale",
        "findings",
    ),
    step(verdict_table, "findings params:verdicts", "reporting.verdicts"),
)
REPORT = (
    step(published_layout, "performance test_people cell_fits grid", "reporting.published_layout"),
    step(draw_heat_maps, "performance grid source below", "reporting.heat_maps"),
    step(draw_legibility, "performance grid source", "reporting.legibility"),
    step(draw_coefficients, "reporting.mixed_models grid source", "reporting.coefficients"),
    step(draw_compute, "reporting.performance_all cell_fits grid source", "reporting.compute"),
    step(
        draw_exclusion_flow,
        "primary.exclusion_flow primary.scan_counts grid below source",
        "reporting.exclusion_flow",
    ),
    step(
        build_dashboard,
        "performance primary.exclusion_flow primary.target_summary primary.quality_summary grid "
        "source below",
        "reporting.dashboard",
    ),
    step(shown_dictionary, "primary.data_dictionary below", "reporting.data_dictionary"),
    step(
        build_data_dictionary,
        "reporting.data_dictionary grid source below",
        "reporting.data_dictionary_page",
    ),
    step(write_claims, "reporting.claims source", "reporting.claims_text"),
    step(
        write_summary,
        "performance grid source params:reporting.folder below reporting.verdicts",
        "reporting.summary",
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
BOXES = {
    "scores": SCORES,
    "certainty": CERTAINTY,
    "inputs": INPUTS,
    "people": PEOPLE,
    "limits": LIMITS,
    "report": REPORT,
}


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the parts; what the map itself needs comes before what says how sure it is."""
    return sum((box(name, *steps) for name, steps in BOXES.items()), start=Pipeline([]))
