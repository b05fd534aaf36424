"""Wiring of imaging."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.imaging_preprocess import nodes
from ukb_brain.pipelines.wiring import step


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from bulk files to stores, quality and mean images."""
    steps = [
        step(
            nodes.preprocess_scans,
            "raw.bulk intermediate.bulk_index primary.participants "
            "primary.imaging_numbers intermediate.folder params:grid params:imaging_preprocess "
            "params:source params:compute",
            "intermediate.volumes intermediate.vectors primary.quality",
        ),
        step(nodes.summarise_quality, "primary.quality", "primary.quality_summary"),
        step(
            nodes.average_volumes,
            "intermediate.volumes primary.quality primary.splits primary.participants "
            "params:grid params:imaging_preprocess",
            "reporting.mean_images",
        ),
    ]
    return Pipeline(steps)
