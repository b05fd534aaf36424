"""Wiring of the check."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.check.nodes import decide, foresee, show
from ukb_brain.pipelines.wiring import step
from ukb_brain.readiness.check import LOOKED_AT, look


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from raw files to a page, and to an exit status."""
    return Pipeline(
        [
            step(look, " ".join(LOOKED_AT), "ready", name="look_at_raw"),
            step(
                foresee,
                "ready params:grid params:imaging_preprocess params:splitting params:compute "
                "intermediate.folder params:modelling params:planning params:preset",
                "reporting.check",
            ),
            step(
                show,
                "reporting.check params:reporting params:source",
                "reporting.check_page",
                name="show_check",
            ),
            Node(decide, ["reporting.check", "reporting.check_page"], None, name="decide"),
        ]
    )
