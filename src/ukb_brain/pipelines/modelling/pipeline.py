"""Wiring of modelling."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.modelling import nodes
from ukb_brain.pipelines.wiring import step
from ukb_brain.training.agreement import scan_agreement
from ukb_brain.training.items import Work
from ukb_brain.training.people import gather_people
from ukb_brain.training.scans import gather_scans

# What every run of models begins with, this pipeline's own and others'.
GATHERED = ("gather_people", "gather_scans", "plan_work")


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire stores, blocks and splits to models and predictions."""
    steps = [
        step(
            gather_people,
            "primary.targets feature.blocks feature.block_scaling primary.splits "
            "primary.participants primary.quality params:grid",
            "people",
        ),
        step(
            gather_scans,
            "intermediate.volumes intermediate.vectors primary.quality params:grid "
            "params:imaging_preprocess",
            "scans",
        ),
        step(
            Work,
            "model.folder people scans params:grid params:modelling params:compute params:seed",
            "work",
            "plan_work",
        ),
        step(nodes.fit_steps, "work", "model.steps"),
        step(nodes.make_vectors, "work model.steps", "model.vectors"),
        step(
            scan_agreement,
            "work model.steps params:reporting.draws params:reporting.level",
            "reporting.scan_agreement",
        ),
        step(nodes.train_encoders, "work model.vectors", "model.encoders"),
        step(nodes.multiply_scans, "work model.vectors", "model.grams"),
        step(nodes.fit_kernels, "work model.grams", "model.kernels"),
        step(nodes.fit_cells, "work model.encoders model.kernels", "model.cells"),
        step(nodes.train_dedicated_networks, "work", "model.dedicated"),
        step(
            nodes.collect,
            "work model.encoders model.grams model.cells model.dedicated",
            "model_output.predictions model_output.unrefined model_output.cell_fits",
        ),
    ]
    return Pipeline(steps)
