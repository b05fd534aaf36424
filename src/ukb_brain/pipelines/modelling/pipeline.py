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
from ukb_brain.training.items import Work
from ukb_brain.training.people import gather_people
from ukb_brain.training.scans import gather_scans


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
            step(
                Work,
                "model.folder people scans params:grid params:modelling params:compute params:seed",
                "work",
                "plan_work",
            ),
            step(take_tangents, "work", "model.tangents"),
            step(train_encoders, "work model.tangents", "model.encoders"),
            step(multiply_scans, "work model.tangents", "model.grams"),
            step(fit_kernels, "work model.grams", "model.kernels"),
            step(fit_cells, "work model.encoders model.kernels", "model.cells"),
            step(train_dedicated_networks, "work", "model.dedicated"),
            step(
                collect,
                "work model.encoders model.grams model.cells model.dedicated",
                "model_output.predictions model_output.unrefined model_output.cell_fits",
            ),
        ]
    )
