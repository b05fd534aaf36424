"""Wiring of reporting."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.compute import draw_compute
from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.pipelines.reporting.certainty import certainty_pipeline
from ukb_brain.pipelines.reporting.nodes import (
    arrange_as_published,
    build_dashboard,
    choose_map,
    choose_strategy,
    draw_exclusion_flow,
    draw_heat_maps,
    fit_mixed_models,
    score_all_cells,
    summarise,
    write_data_dictionary,
)

SCORED = [
    "model_output.predictions",
    "model_output.cell_fits",
    "primary.participants",
    "params:grid",
    "family_draws",
    "params:reporting",
]


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From predictions to tables, figures, dashboard and summary.
    """
    scored = Pipeline(
        [
            Node(
                choose_strategy,
                inputs=["model_output.cell_fits", "params:reporting"],
                outputs="map_strategy",
                name="choose_strategy",
            ),
            Node(
                score_all_cells,
                inputs=SCORED,
                outputs="reporting.performance_all",
                name="score_all_cells",
            ),
            Node(
                choose_map,
                inputs=[*SCORED[:3], "reporting.intervals", "params:grid", "map_strategy"],
                outputs="reporting.performance",
                name="choose_map",
            ),
            Node(
                arrange_as_published,
                inputs=[
                    "reporting.performance",
                    "model_output.predictions",
                    "model_output.cell_fits",
                    "params:grid",
                ],
                outputs="reporting.published_layout",
                name="arrange_as_published",
            ),
            Node(
                fit_mixed_models,
                inputs=["reporting.performance", "params:grid", "params:reporting"],
                outputs="reporting.mixed_models",
                name="fit_mixed_models",
            ),
            Node(
                draw_heat_maps,
                inputs=[
                    "reporting.performance",
                    "params:grid",
                    "params:reporting",
                    "params:source",
                ],
                outputs="reporting.heat_maps",
                name="draw_heat_maps",
            ),
            Node(
                draw_legibility,
                inputs=["reporting.performance", "params:grid", "params:source"],
                outputs="reporting.legibility",
                name="draw_legibility",
            ),
            Node(
                draw_coefficients,
                inputs=["reporting.mixed_models", "params:grid", "params:source"],
                outputs="reporting.coefficients",
                name="draw_coefficients",
            ),
            Node(
                draw_compute,
                inputs=[
                    "reporting.performance_all",
                    "model_output.cell_fits",
                    "params:grid",
                    "params:source",
                ],
                outputs="reporting.compute",
                name="draw_compute",
            ),
            Node(
                draw_exclusion_flow,
                inputs=[
                    "primary.exclusion_flow",
                    "primary.scan_counts",
                    "params:grid",
                    "params:reporting",
                    "params:source",
                ],
                outputs="reporting.exclusion_flow",
                name="draw_exclusion_flow",
            ),
            Node(
                build_dashboard,
                inputs=[
                    "reporting.performance",
                    "primary.exclusion_flow",
                    "primary.target_summary",
                    "primary.quality_summary",
                    "params:grid",
                    "params:reporting",
                    "params:source",
                ],
                outputs="reporting.dashboard",
                name="build_dashboard",
            ),
            Node(
                write_data_dictionary,
                inputs=[
                    "primary.data_dictionary",
                    "params:grid",
                    "params:reporting",
                    "params:source",
                ],
                outputs=["reporting.data_dictionary", "reporting.data_dictionary_page"],
                name="write_data_dictionary",
            ),
            Node(
                summarise,
                inputs=[
                    "reporting.performance",
                    "reporting.verdicts",
                    "params:grid",
                    "params:reporting",
                    "params:source",
                ],
                outputs="reporting.summary",
                name="summarise",
            ),
        ]
    )
    return scored + certainty_pipeline()
