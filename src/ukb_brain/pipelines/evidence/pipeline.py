"""Wiring of evidence."""

from kedro.pipeline import Pipeline

from ukb_brain.evidence.folds import leave_sites_out
from ukb_brain.evidence.scores import score_curves, score_scale, score_sites
from ukb_brain.pipelines import modelling
from ukb_brain.pipelines.evidence import nodes
from ukb_brain.pipelines.wiring import step

MAP = "model.vectors model.encoders model.kernels model.cells"
ON_MAP = "map_models model.evidence work"
SCORED = "primary.participants work params:evidence"


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire stores, tables and the map's models to learning curves, left-out sites, model scale."""
    steps = [
        step(nodes.check_map, f"work {MAP} params:evidence", "map_models"),
        step(nodes.train_learning_curves, f"{ON_MAP} params:evidence", "subsets subset_models"),
        step(
            score_curves,
            "map_models work subsets subset_models primary.participants params:evidence",
            "reporting.learning_curves reporting.learning_curve_fits",
            "score_learning_curves",
        ),
        step(
            leave_sites_out,
            "primary.targets primary.participants primary.quality params:splitting params:grid "
            "params:evidence params:seed",
            "sites",
            "gather_sites",
        ),
        step(nodes.train_left_out_sites, f"{ON_MAP} sites params:evidence", "site_models"),
        step(
            score_sites,
            f"sites site_models {SCORED}",
            "reporting.left_out_sites",
            "score_left_out_sites",
        ),
        step(nodes.train_model_scale, f"{ON_MAP} params:evidence", "variants"),
        step(score_scale, f"variants {SCORED}", "reporting.model_scale", "score_model_scale"),
    ]
    gathered = modelling.create_pipeline().only_nodes(*modelling.GATHERED)
    return gathered + Pipeline(steps)
