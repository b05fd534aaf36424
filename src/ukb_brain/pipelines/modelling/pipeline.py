"""Wiring of modelling."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.modelling.nodes import (
    fit_components,
    fit_heads,
    fit_linear,
    gather_people,
    join_strategies,
    score_components,
    train_encoders,
)

STORES = ["intermediate.volumes", "intermediate.connectivity"]
WHAT = ["params:grid", "params:modelling"]
HOW = ["params:compute", "params:seed"]


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From stores, blocks and splits to models and predictions.
    """
    return Pipeline(
        [
            Node(
                gather_people,
                inputs=[
                    "primary.targets",
                    "feature.blocks",
                    "feature.block_scaling",
                    "primary.splits",
                    "primary.participants",
                    "primary.quality",
                    *WHAT,
                ],
                outputs="people",
                name="gather_people",
            ),
            Node(
                fit_components,
                inputs=[*STORES, "people", *WHAT],
                outputs="model.components",
                name="fit_components",
            ),
            Node(
                score_components,
                inputs=["model.components", *STORES, "people", *WHAT],
                outputs="feature.components",
                name="score_components",
            ),
            Node(
                fit_linear,
                inputs=["people", "feature.components", "model.components", *WHAT, *HOW],
                outputs=[
                    "model.linear",
                    "model_output.linear_predictions",
                    "model_output.linear_fits",
                    "model_output.linear_scores",
                ],
                name="fit_linear",
            ),
            Node(
                train_encoders,
                inputs=[*STORES, "people", *WHAT, *HOW],
                outputs=["model.encoders", "feature.encodings"],
                name="train_encoders",
            ),
            Node(
                fit_heads,
                inputs=[
                    "people",
                    "feature.encodings",
                    "model.encoders",
                    "model_output.linear_scores",
                    "model_output.linear_fits",
                    *WHAT,
                    *HOW,
                ],
                outputs=[
                    "model.amortised",
                    "model_output.amortised_predictions",
                    "model_output.amortised_fits",
                ],
                name="fit_heads",
            ),
            Node(
                join_strategies,
                inputs=[
                    "model_output.linear_predictions",
                    "model_output.amortised_predictions",
                    "model_output.linear_fits",
                    "model_output.amortised_fits",
                ],
                outputs=["model_output.predictions", "model_output.cell_fits"],
                name="join_strategies",
            ),
        ]
    )
