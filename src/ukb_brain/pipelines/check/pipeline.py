"""Wiring of the check."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.check.nodes import check_raw, decide, show
from ukb_brain.readiness.check import LOOKED_AT


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from raw files to a page, and to an exit status."""
    return Pipeline(
        [
            Node(
                check_raw,
                inputs=[
                    *LOOKED_AT,
                    "intermediate.folder",
                    "params:modelling",
                    "params:planning",
                    "params:stored_rates",
                    "params:preset",
                ],
                outputs="reporting.check",
                name="check_raw",
            ),
            Node(
                show,
                inputs=["reporting.check", "params:reporting", "params:source"],
                outputs="reporting.check_page",
                name="show_check",
            ),
            Node(
                decide,
                inputs=["reporting.check", "reporting.check_page"],
                outputs=None,
                name="decide",
            ),
        ]
    )
