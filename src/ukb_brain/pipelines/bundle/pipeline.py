"""From the folder of reports to an archive of what may leave."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.bundle.nodes import gather_exportable
from ukb_brain.pipelines.wiring import step


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node."""
    reads = "reporting.folder primary.participants params:reporting params:source"
    return Pipeline([step(gather_exportable, reads, "bundle_contents")])
