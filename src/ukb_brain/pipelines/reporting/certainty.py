"""Wiring of certainty: tables from predictions alone."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.reporting.certainty_nodes import (
    build_evidence_report,
    compare_cells,
    compare_with_confounds,
    draw_families,
    evaluate_study_claims,
    gather_test_people,
    gather_unrefined,
    gather_validation_people,
    judge_targets,
    measure_brain_age,
    measure_calibration,
    measure_intervals,
    measure_reliability,
    measure_repeatability,
    permute_labels,
    relate_targets,
    resample_mixed_models,
    score_common_people,
    score_in_subgroups,
    share_out,
    weigh_participation,
)

# Tables of this pipeline, and those of `evidence` that are shown where they are there.
REPORTED = (
    *("intervals", "permutations", "comparisons", "contributions", "mixed_models"),
    *("mixed_models_resampled", "claims", "calibration", "calibration_curves", "subgroups"),
    *(
        "participation",
        "confounds",
        "reliability",
        "repeatability",
        "relations",
        "centrality",
        "verdicts",
    ),
)
RETRAINED = ("learning_curves", "learning_curve_fits", "left_out_sites", "model_scale")


def certainty_pipeline() -> Pipeline:
    """Wire the nodes.

    Returns
    -------
    Pipeline
        From predictions to tables of intervals, tests, contributions and what scores rest on.
    """
    measured = Pipeline(
        [
            Node(
                gather_test_people,
                inputs=[
                    "model_output.predictions",
                    "model_output.cell_fits",
                    "primary.participants",
                    "params:grid",
                    "map_strategy",
                ],
                outputs="test_people",
                name="gather_test_people",
            ),
            Node(
                draw_families,
                inputs=["primary.participants", "params:reporting", "params:seed"],
                outputs="family_draws",
                name="draw_families",
            ),
            Node(
                measure_intervals,
                inputs=["test_people", "family_draws", "params:reporting"],
                outputs="reporting.intervals",
                name="measure_intervals",
            ),
        ]
    )
    certain = Pipeline(
        [
            Node(
                gather_validation_people,
                inputs=["model_output.predictions", "map_strategy"],
                outputs=["validation_people", "repeat_visits"],
                name="gather_validation_people",
            ),
            Node(
                gather_unrefined,
                inputs=[
                    "model_output.unrefined",
                    "model_output.predictions",
                    "model_output.cell_fits",
                    "primary.participants",
                    "params:grid",
                    "map_strategy",
                ],
                outputs=["unrefined_people", "unrefined_validation"],
                name="gather_unrefined",
            ),
            Node(
                score_common_people,
                inputs=["test_people", "family_draws"],
                outputs="common_scores",
                name="score_common_people",
            ),
            Node(
                permute_labels,
                inputs=[
                    "test_people",
                    "primary.participants",
                    "params:grid",
                    "params:certainty",
                    "params:seed",
                ],
                outputs="reporting.permutations",
                name="permute_labels",
            ),
            Node(
                compare_cells,
                inputs=[
                    "unrefined_people",
                    "family_draws",
                    "params:grid",
                    "params:certainty",
                    "params:reporting",
                ],
                outputs="reporting.comparisons",
                name="compare_cells",
            ),
            Node(
                share_out,
                inputs=["common_scores", "params:grid", "params:reporting"],
                outputs="reporting.contributions",
                name="share_out",
            ),
            Node(
                resample_mixed_models,
                inputs=["common_scores", "params:grid", "params:reporting"],
                outputs="reporting.mixed_models_resampled",
                name="resample_mixed_models",
            ),
            Node(
                evaluate_study_claims,
                inputs=[
                    "common_scores",
                    "reporting.intervals",
                    "reporting.mixed_models",
                    "params:claims",
                    "params:grid",
                    "params:reporting",
                    "params:source",
                ],
                outputs=["reporting.claims", "reporting.claims_text"],
                name="evaluate_study_claims",
            ),
            Node(
                measure_calibration,
                inputs=[
                    "test_people",
                    "validation_people",
                    "family_draws",
                    "params:grid",
                    "params:reporting",
                ],
                outputs=["reporting.calibration", "reporting.calibration_curves"],
                name="measure_calibration",
            ),
            Node(
                score_in_subgroups,
                inputs=[
                    "test_people",
                    "primary.participants",
                    "family_draws",
                    "params:grid",
                    "params:reporting",
                ],
                outputs="reporting.subgroups",
                name="score_in_subgroups",
            ),
            Node(
                weigh_participation,
                inputs=[
                    "test_people",
                    "primary.participants",
                    "family_draws",
                    "params:grid",
                    "params:reporting",
                ],
                outputs="reporting.participation",
                name="weigh_participation",
            ),
            Node(
                measure_brain_age,
                inputs=["test_people", "validation_people", "params:grid"],
                outputs="model_output.brain_age_gap",
                name="measure_brain_age",
            ),
            Node(
                compare_with_confounds,
                inputs=[
                    "test_people",
                    "unrefined_people",
                    "unrefined_validation",
                    "primary.targets",
                    "primary.confounds",
                    "primary.participants",
                    "primary.splits",
                    "family_draws",
                    "params:grid",
                    "params:reporting",
                ],
                outputs="reporting.confounds",
                name="compare_with_confounds",
            ),
            Node(
                measure_reliability,
                inputs=[
                    "test_people",
                    "primary.targets",
                    "primary.target_sources",
                    "primary.participants",
                    "primary.splits",
                    "family_draws",
                    "params:grid",
                    "params:reporting",
                ],
                outputs="reporting.reliability",
                name="measure_reliability",
            ),
            Node(
                measure_repeatability,
                inputs=[
                    "test_people",
                    "repeat_visits",
                    "family_draws",
                    "params:grid",
                    "params:reporting",
                ],
                outputs="reporting.repeatability",
                name="measure_repeatability",
            ),
            Node(
                relate_targets,
                inputs=[
                    "common_scores",
                    "primary.targets",
                    "primary.participants",
                    "primary.splits",
                    "params:grid",
                    "params:certainty",
                    "params:reporting",
                    "params:seed",
                ],
                outputs=["reporting.relations", "reporting.centrality"],
                name="relate_targets",
            ),
            Node(
                judge_targets,
                inputs=[
                    "reporting.performance",
                    "test_people",
                    "reporting.comparisons",
                    "reporting.permutations",
                    "reporting.confounds",
                    "reporting.reliability",
                    "evidence.left_out_sites",
                    "evidence.learning_curve_fits",
                    "evidence.model_scale",
                    "params:grid",
                    "map_strategy",
                    "params:reporting",
                    "params:verdicts",
                ],
                outputs="reporting.verdicts",
                name="judge_targets",
            ),
            Node(
                build_evidence_report,
                inputs={name: f"reporting.{name}" for name in REPORTED}
                | {name: f"evidence.{name}" for name in RETRAINED}
                | {
                    "performance": "reporting.performance",
                    "grid": "params:grid",
                    "reporting": "params:reporting",
                    "source": "params:source",
                },
                outputs="reporting.report",
                name="build_evidence_report",
            ),
        ],
        # One box in Kedro-Viz, which opens; names of datasets stay as they are. What the map itself
        # needs is not in it, for a box may not wait for what waits for it.
        namespace="certainty",
        prefix_datasets_with_namespace=False,
    )
    return measured + certain
