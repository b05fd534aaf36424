"""Wiring of the cost planner."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.plan.nodes import plan_costs
from ukb_brain.pipelines.wiring import step


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node, from settings to a plan."""
    reads = (
        "params:grid params:modelling params:imaging_preprocess params:presets params:preset "
        "params:splitting params:planning params:compute"
    )
    return Pipeline([step(plan_costs, reads, "reporting.plan reporting.plan_text")])
