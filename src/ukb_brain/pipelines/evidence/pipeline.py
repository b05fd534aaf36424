"""From stores, tables and the map's models to learning curves, left-out sites and model scale."""

from kedro.pipeline import Pipeline

from ukb_brain.evidence.scores import score_curves, score_scale, score_sites
from ukb_brain.pipelines import modelling
from ukb_brain.pipelines.evidence.nodes import (
    check_map,
    train_learning_curves,
    train_left_out_sites,
    train_model_scale,
)
from ukb_brain.pipelines.wiring import step

SCANS = "map_models model.evidence intermediate.volumes intermediate.connectivity"
ON_PEOPLE = (
    f"{SCANS} people primary.quality params:grid params:modelling params:evidence params:compute "
    "params:seed"
)
SCORED = "primary.participants params:grid params:evidence params:seed"


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes; people are gathered as for the map."""
    return modelling.create_pipeline().only_nodes("gather_people") + Pipeline(
        [
            step(
                check_map,
                "people model.tangents model.encoders model.kernels model.cells params:modelling "
                "params:evidence",
                "map_models",
            ),
            step(train_learning_curves, ON_PEOPLE, "subsets subset_models"),
            step(
                score_curves,
                f"map_models people subsets subset_models {SCORED}",
                "reporting.learning_curves reporting.learning_curve_fits",
            ),
            step(
                train_left_out_sites,
                f"{SCANS} primary.targets primary.participants primary.quality params:grid "
                "params:modelling params:splitting params:evidence params:compute params:seed",
                "sites site_models",
            ),
            step(score_sites, f"sites site_models {SCORED}", "reporting.left_out_sites"),
            step(train_model_scale, ON_PEOPLE, "variants"),
            step(score_scale, f"people variants {SCORED}", "reporting.model_scale"),
        ]
    )
