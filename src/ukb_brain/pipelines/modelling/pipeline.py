"""Wiring of modelling."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.modelling.nodes import (
    collect,
    fit_cells,
    fit_kernels,
    multiply_scans,
    take_tangents,
    train_dedicated_networks,
    train_encoders,
)
from ukb_brain.pipelines.wiring import step
from ukb_brain.training.people import gather_people
from ukb_brain.training.scans import gather_scans

WORK = "model.folder people"
HOW = "params:modelling params:compute"


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire stores, blocks and splits to models and predictions."""
    return Pipeline(
        [
            step(
                gather_people,
                "primary.targets feature.blocks feature.block_scaling primary.splits "
                "primary.participants primary.quality params:grid",
                "people",
            ),
            step(
                gather_scans,
                "intermediate.volumes intermediate.connectivity primary.quality params:grid",
                "scans",
            ),
            step(take_tangents, f"{WORK} scans {HOW}", "model.tangents"),
            step(
                train_encoders,
                f"{WORK} scans model.tangents params:grid {HOW} params:seed",
                "model.encoders",
            ),
            step(multiply_scans, f"{WORK} scans model.tangents {HOW}", "model.grams"),
            step(fit_kernels, f"{WORK} model.grams params:grid {HOW}", "model.kernels"),
            step(
                fit_cells,
                f"{WORK} model.encoders model.kernels params:grid {HOW}",
                "model.cells",
            ),
            step(
                train_dedicated_networks,
                f"{WORK} scans params:grid {HOW} params:seed",
                "model.dedicated",
            ),
            step(
                collect,
                "people model.encoders model.grams model.cells model.dedicated params:grid "
                "params:seed",
                "model_output.predictions model_output.unrefined model_output.cell_fits",
            ),
        ]
    )
