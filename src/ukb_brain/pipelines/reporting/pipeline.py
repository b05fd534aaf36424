"""From predictions to tables, figures, pages and texts, in parts that are boxes of Kedro-Viz."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.compute import draw_compute
from ukb_brain.figures.exclusion_flow import draw_exclusion_flow
from ukb_brain.figures.heat_maps import draw_heat_maps
from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.pipelines.wiring import box, step
from ukb_brain.reports.claims import write_claims
from ukb_brain.reports.dashboard import build_dashboard
from ukb_brain.reports.data_dictionary import build_data_dictionary, shown_dictionary
from ukb_brain.reports.page import EXPECTED, build_report
from ukb_brain.reports.summary import write_summary
from ukb_brain.statistics import analysable, fit_domains, published_layout, score_all, score_map
from ukb_brain.statistics.certainty.cell_tables import (
    errors_without_fail,
    interval_table,
    null_table,
)
from ukb_brain.statistics.claims import evaluate_claims
from ukb_brain.statistics.gathered import (
    choose_strategy,
    draw_families,
    families_of,
    gather_unrefined,
    gather_validation_people,
)
from ukb_brain.statistics.inputs.pair_tables import (
    comparison_table,
    contribution_table,
    imaging_gains,
    resampled_table,
)
from ukb_brain.statistics.limits.confound_table import Everybody, confound_table
from ukb_brain.statistics.limits.findings import gather_findings, positives
from ukb_brain.statistics.limits.retest_table import repeatability_table, retest_table
from ukb_brain.statistics.limits.verdicts import verdict_table
from ukb_brain.statistics.people.calibration_tables import calibration_tables, gap_table
from ukb_brain.statistics.people.people_tables import participation_table, subgroup_table
from ukb_brain.statistics.relations.relation_tables import relation_tables
from ukb_brain.statistics.scores.common_scores import common_scores, skill_by_cell
from ukb_brain.statistics.scores.legibility_map import with_intervals
from ukb_brain.statistics.scores.target_predictions import gather_targets
from ukb_brain.tables.thresholds import as_tested
from ukb_brain.tables.visits import at_chosen_visit

PREDICTED = "model_output.predictions model_output.cell_fits"
OF_GRID = "primary.participants params:grid map_strategy"
# How every table of intervals ends.
DRAWN = "family_draws params:grid params:reporting.level"
SHOWN = "params:grid params:source params:reporting.suppress_below"
# Tables of the pipeline `evidence`, which are shown where they are there.
RETRAINED = ("learning_curves", "learning_curve_fits", "left_out_sites", "model_scale")

SCORES = (
    step(choose_strategy, "model_output.cell_fits params:reporting", "map_strategy"),
    step(families_of, "primary.participants", "families"),
    step(
        draw_families,
        "families params:reporting params:certainty params:seed",
        "family_draws relation_draws",
    ),
    step(
        score_all,
        f"{PREDICTED} primary.participants params:grid family_draws params:reporting.level",
        "reporting.performance_all",
    ),
    step(gather_targets, f"{PREDICTED} {OF_GRID}", "test_people"),
    step(
        gather_validation_people,
        "model_output.predictions map_strategy",
        "validation_people repeat_visits",
    ),
    step(
        gather_unrefined,
        f"model_output.unrefined {PREDICTED} {OF_GRID}",
        "unrefined_people unrefined_validation",
    ),
    step(score_map, f"{PREDICTED} {OF_GRID}", "scored_map"),
    step(
        as_tested,
        "primary.targets primary.participants primary.splits params:grid",
        "targets_as_tested",
    ),
)
CERTAINTY = (
    step(interval_table, "test_people family_draws params:reporting.level", "reporting.intervals"),
    step(with_intervals, "scored_map reporting.intervals", "reporting.performance"),
    step(
        null_table,
        "test_people primary.participants params:grid params:certainty.permutations params:seed",
        "reporting.permutations",
    ),
    step(common_scores, "test_people family_draws", "common_scores"),
)
INPUTS = (
    step(
        comparison_table,
        "unrefined_people family_draws params:grid params:certainty.margin params:reporting.level",
        "reporting.comparisons",
    ),
    step(
        contribution_table,
        "common_scores params:grid params:reporting.level",
        "reporting.contributions",
    ),
    step(analysable, "reporting.performance", "analysed_map"),
    step(fit_domains, "analysed_map params:grid params:reporting.level", "reporting.mixed_models"),
    step(
        resampled_table,
        "common_scores params:grid params:reporting.level",
        "reporting.mixed_models_resampled",
    ),
    step(skill_by_cell, "common_scores", "skill_by_cell"),
    step(errors_without_fail, "reporting.intervals params:reporting.level", "skill_errors"),
    step(
        evaluate_claims,
        "params:claims skill_by_cell params:grid params:reporting.level skill_errors "
        "reporting.mixed_models",
        "reporting.claims",
    ),
)
PEOPLE = (
    step(
        calibration_tables,
        f"test_people validation_people {DRAWN}",
        "reporting.calibration reporting.calibration_curves",
    ),
    step(gap_table, "test_people validation_people params:grid", "model_output.brain_age_gap"),
    step(
        subgroup_table,
        "test_people primary.participants family_draws params:grid "
        "params:reporting.suppress_below params:reporting.level",
        "reporting.subgroups",
    ),
    step(
        participation_table, f"test_people primary.participants {DRAWN}", "reporting.participation"
    ),
    step(at_chosen_visit, "targets_as_tested primary.participants", "targets_at_scan"),
    step(
        relation_tables,
        "targets_at_scan families common_scores relation_draws params:grid params:reporting.level",
        "reporting.relations reporting.centrality",
    ),
)
LIMITS = (
    step(
        Everybody,
        "primary.targets primary.confounds primary.participants primary.splits "
        "unrefined_validation params:reporting.covariates",
        "everybody",
        "gather_everybody",
    ),
    step(confound_table, f"test_people unrefined_people everybody {DRAWN}", "reporting.confounds"),
    step(
        retest_table,
        "test_people targets_as_tested primary.target_sources family_draws families params:grid "
        "params:reporting.level",
        "reporting.reliability",
    ),
    step(repeatability_table, f"test_people repeat_visits {DRAWN}", "reporting.repeatability"),
    step(positives, "test_people params:grid", "test_people_with_trait"),
    step(imaging_gains, "reporting.comparisons params:grid", "imaging_gains"),
    step(
        gather_findings,
        "reporting.performance params:grid map_strategy test_people_with_trait "
        "reporting.permutations imaging_gains reporting.confounds reporting.reliability "
        "evidence.left_out_sites evidence.learning_curve_fits evidence.model_scale",
        "findings",
    ),
    step(verdict_table, "findings params:verdicts", "reporting.verdicts"),
)
REPORT = (
    step(
        published_layout,
        f"reporting.performance {PREDICTED} params:grid",
        "reporting.published_layout",
    ),
    step(draw_heat_maps, f"reporting.performance {SHOWN}", "reporting.heat_maps"),
    step(
        draw_legibility, "reporting.performance params:grid params:source", "reporting.legibility"
    ),
    step(
        draw_coefficients,
        "reporting.mixed_models params:grid params:source",
        "reporting.coefficients",
    ),
    step(
        draw_compute,
        "reporting.performance_all model_output.cell_fits params:grid params:source",
        "reporting.compute",
    ),
    step(
        draw_exclusion_flow,
        "primary.exclusion_flow primary.scan_counts params:grid params:reporting.suppress_below "
        "params:source",
        "reporting.exclusion_flow",
    ),
    step(
        build_dashboard,
        "reporting.performance primary.exclusion_flow primary.target_summary "
        f"primary.quality_summary {SHOWN}",
        "reporting.dashboard",
    ),
    step(
        shown_dictionary,
        "primary.data_dictionary params:reporting.suppress_below",
        "reporting.data_dictionary",
    ),
    step(
        build_data_dictionary,
        f"reporting.data_dictionary {SHOWN}",
        "reporting.data_dictionary_page",
    ),
    step(write_claims, "reporting.claims params:source", "reporting.claims_text"),
    step(
        write_summary,
        "reporting.performance params:grid params:source params:reporting.folder "
        "params:reporting.suppress_below reporting.verdicts",
        "reporting.summary",
    ),
    Node(
        build_report,
        {t: f"{'evidence' if t in RETRAINED else 'reporting'}.{t}" for t in EXPECTED}
        | {"grid": "params:grid", "source": "params:source"}
        | {"suppress_below": "params:reporting.suppress_below"}
        | {"performance": "reporting.performance"},
        "reporting.report",
        name="build_report",
    ),
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the parts; what the map itself needs comes before what says how sure it is."""
    return (
        box("scores", *SCORES)
        + box("certainty", *CERTAINTY)
        + box("inputs", *INPUTS)
        + box("people", *PEOPLE)
        + box("limits", *LIMITS)
        + box("report", *REPORT)
    )
