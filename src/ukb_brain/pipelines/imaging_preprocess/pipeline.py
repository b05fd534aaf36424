"""Wiring of imaging: from bulk files to stores, quality and mean images."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.imaging_preprocess.nodes import (
    average_volumes,
    preprocess_scans,
    summarise_quality,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes."""
    return Pipeline(
        [
            Node(
                preprocess_scans,
                inputs=[
                    "raw.bulk",
                    "intermediate.bulk_index",
                    "primary.participants",
                    "intermediate.folder",
                    "params:grid",
                    "params:imaging_preprocess",
                    "params:source",
                    "params:compute",
                ],
                outputs=["intermediate.volumes", "intermediate.connectivity", "primary.quality"],
                name="preprocess_scans",
            ),
            Node(
                summarise_quality,
                inputs="primary.quality",
                outputs="primary.quality_summary",
                name="summarise_quality",
            ),
            Node(
                average_volumes,
                inputs=[
                    "intermediate.volumes",
                    "primary.quality",
                    "primary.splits",
                    "primary.participants",
                    "params:imaging_preprocess",
                ],
                outputs="reporting.mean_images",
                name="average_volumes",
            ),
        ]
    )
