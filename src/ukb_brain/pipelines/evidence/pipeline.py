"""Wiring of evidence."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.evidence.scores import score_curves, score_scale, score_sites
from ukb_brain.pipelines import modelling
from ukb_brain.pipelines.evidence.nodes import (
    check_map,
    gather_sites,
    train_learning_curves,
    train_left_out_sites,
    train_model_scale,
)

MODELS = ["model.tangents", "model.encoders", "model.kernels", "model.cells"]
ON_MAP = ["map_models", "model.evidence"]
GRID, MODELLING, EVIDENCE = "params:grid", "params:modelling", "params:evidence"
HOW = [GRID, MODELLING, EVIDENCE, "params:compute", "params:seed"]
PARTICIPANTS = "primary.participants"
SCORED = [PARTICIPANTS, GRID, EVIDENCE, "params:seed"]
TABLES = ["primary.targets", PARTICIPANTS, "primary.quality"]
CURVES = ["reporting.learning_curves", "reporting.learning_curve_fits"]


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire stores, tables and the map's models to learning curves, left-out sites, model scale."""
    nodes = [
        Node(
            check_map,
            inputs=["people", *MODELS, MODELLING, EVIDENCE],
            outputs="map_models",
            name="check_map",
        ),
        Node(
            train_learning_curves,
            inputs=[*ON_MAP, "people", "scans", *HOW],
            outputs=["subsets", "subset_models"],
            name="train_learning_curves",
        ),
        Node(
            score_curves,
            inputs=["map_models", "people", "subsets", "subset_models", *SCORED],
            outputs=CURVES,
            name="score_learning_curves",
        ),
        Node(
            gather_sites,
            inputs=[*TABLES, "params:splitting", GRID, EVIDENCE, "params:seed"],
            outputs="sites",
            name="gather_sites",
        ),
        Node(
            train_left_out_sites,
            inputs=[*ON_MAP, "sites", "scans", *HOW],
            outputs="site_models",
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
            inputs=[*ON_MAP, "people", "scans", *HOW],
            outputs="variants",
            name="train_model_scale",
        ),
        Node(
            score_scale,
            inputs=["people", "variants", *SCORED],
            outputs="reporting.model_scale",
            name="score_model_scale",
        ),
    ]
    gathered = modelling.create_pipeline().only_nodes("gather_people", "gather_scans")
    return gathered + Pipeline(nodes)
