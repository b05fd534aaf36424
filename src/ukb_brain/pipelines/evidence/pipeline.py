"""Wiring of evidence."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.evidence.scores import score_curves, score_scale, score_sites
from ukb_brain.pipelines import modelling
from ukb_brain.pipelines.evidence.nodes import (
    check_map,
    train_learning_curves,
    train_left_out_sites,
    train_model_scale,
)

SCANS = ["map_models", "model.evidence", "intermediate.volumes", "intermediate.connectivity"]
EVIDENCE, GRID, MODELLING = "params:evidence", "params:grid", "params:modelling"
COMPUTE, SEED = "params:compute", "params:seed"
PEOPLE, QUALITY, PARTICIPANTS = "people", "primary.quality", "primary.participants"
SCORED = [PARTICIPANTS, GRID, EVIDENCE, SEED]


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From stores, tables and the map's models to learning curves, left-out sites, model scale.
    """
    models = ["model.tangents", "model.encoders", "model.kernels", "model.cells"]
    on_people = [*SCANS, PEOPLE, QUALITY, GRID, MODELLING, EVIDENCE, COMPUTE, SEED]
    tables = ["primary.targets", PARTICIPANTS, QUALITY, GRID, MODELLING, "params:splitting"]
    nodes = [
        Node(
            check_map,
            inputs=[PEOPLE, *models, MODELLING, EVIDENCE],
            outputs="map_models",
            name="check_map",
        ),
        Node(
            train_learning_curves,
            inputs=on_people,
            outputs=["subsets", "subset_models"],
            name="train_learning_curves",
        ),
        Node(
            score_curves,
            inputs=["map_models", PEOPLE, "subsets", "subset_models", *SCORED],
            outputs=["reporting.learning_curves", "reporting.learning_curve_fits"],
            name="score_learning_curves",
        ),
        Node(
            train_left_out_sites,
            inputs=[*SCANS, *tables, EVIDENCE, COMPUTE, SEED],
            outputs=["sites", "site_models"],
            name="train_left_out_sites",
        ),
        Node(
            score_sites,
            inputs=["sites", "site_models", *SCORED],
            outputs="reporting.left_out_sites",
            name="score_left_out_sites",
        ),
        Node(
            train_model_scale,
            inputs=on_people,
            outputs="variants",
            name="train_model_scale",
        ),
        Node(
            score_scale,
            inputs=[PEOPLE, "variants", *SCORED],
            outputs="reporting.model_scale",
            name="score_model_scale",
        ),
    ]
    return modelling.create_pipeline().only_nodes("gather_people") + Pipeline(nodes)
