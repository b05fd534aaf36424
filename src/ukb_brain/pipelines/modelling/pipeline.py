"""Wiring of modelling."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.modelling.nodes import (
    collect,
    fit_cells,
    fit_kernels,
    gather_people,
    multiply_scans,
    take_tangents,
    train_dedicated_networks,
    train_encoders,
)

STORES = ["model.folder", "intermediate.volumes", "intermediate.connectivity"]
PEOPLE = ["people", "primary.quality"]
WHAT = ["params:grid", "params:modelling", "params:compute"]
SEED = "params:seed"


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
                    "params:grid",
                ],
                outputs="people",
                name="gather_people",
            ),
            Node(
                take_tangents,
                inputs=[*STORES, *PEOPLE, *WHAT],
                outputs="model.tangents",
                name="take_tangents",
            ),
            Node(
                train_encoders,
                inputs=[*STORES, *PEOPLE, *WHAT, "model.tangents", SEED],
                outputs="model.encoders",
                name="train_encoders",
            ),
            Node(
                multiply_scans,
                inputs=[*STORES, *PEOPLE, *WHAT, "model.tangents"],
                outputs="model.grams",
                name="multiply_scans",
            ),
            Node(
                fit_kernels,
                inputs=["model.folder", "people", "model.grams", *WHAT],
                outputs="model.kernels",
                name="fit_kernels",
            ),
            Node(
                fit_cells,
                inputs=[
                    "model.folder",
                    "people",
                    "model.encoders",
                    "model.kernels",
                    *WHAT,
                ],
                outputs="model.cells",
                name="fit_cells",
            ),
            Node(
                train_dedicated_networks,
                inputs=[*STORES, *PEOPLE, *WHAT, SEED],
                outputs="model.dedicated",
                name="train_dedicated_networks",
            ),
            Node(
                collect,
                inputs=[
                    "people",
                    "model.encoders",
                    "model.grams",
                    "model.kernels",
                    "model.cells",
                    "model.dedicated",
                    "params:grid",
                    SEED,
                ],
                outputs=[
                    "model_output.predictions",
                    "model_output.unrefined",
                    "model_output.cell_fits",
                ],
                name="collect",
            ),
        ]
    )
