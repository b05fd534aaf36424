"""Wiring of a published table's analysis."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.published.nodes import (
    draw_coefficients,
    evaluate,
    fit_mixed_models,
    measure_intervals,
    read_table,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From a file in the published layout to mixed models and claims.
    """
    return Pipeline(
        [
            Node(
                read_table,
                inputs=["published.table", "params:grid"],
                outputs="published_cells",
                name="read_published_table",
            ),
            Node(
                fit_mixed_models,
                inputs=["published_cells", "params:grid", "params:reporting"],
                outputs="published.mixed_models",
                name="fit_published_mixed_models",
            ),
            Node(
                draw_coefficients,
                inputs=["published.mixed_models", "params:grid"],
                outputs="published.coefficients",
                name="draw_published_coefficients",
            ),
            Node(
                measure_intervals,
                inputs=["published_cells", "params:published", "params:reporting"],
                outputs="published.intervals",
                name="measure_published_intervals",
            ),
            Node(
                evaluate,
                inputs=[
                    "published_cells",
                    "published.intervals",
                    "published.mixed_models",
                    "params:claims",
                    "params:grid",
                    "params:reporting",
                ],
                outputs=["published.claims", "published.claims_text"],
                name="evaluate_published_claims",
            ),
        ]
    )
