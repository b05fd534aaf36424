"""Wiring of the cost planner."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.plan.nodes import plan_costs


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From settings to a plan. Stores of scans are read for their speed, if there are any.
    """
    return Pipeline(
        [
            Node(
                plan_costs,
                inputs=[
                    "intermediate.folder",
                    "params:grid",
                    "params:modelling",
                    "params:imaging_preprocess",
                    "params:presets",
                    "params:preset",
                    "params:splitting",
                    "params:planning",
                    "params:compute",
                ],
                outputs=["reporting.plan", "reporting.plan_text"],
                name="plan_costs",
            )
        ]
    )
