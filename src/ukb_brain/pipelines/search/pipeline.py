"""Wiring of the search."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines import modelling
from ukb_brain.pipelines.search.nodes import (
    plan_search,
    search_encoders,
    search_heads,
    write_down,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From stores, blocks, splits and models to a record of what was tried.
    """
    nodes = [
        Node(
            plan_search,
            inputs=[
                "model.folder",
                "people",
                "scans",
                "primary.quality",
                "params:grid",
                "params:modelling",
                "params:search",
                "params:compute",
                "params:seed",
            ],
            outputs="search_plans",
            name="plan_search",
        ),
        Node(
            search_encoders,
            inputs=["search_plans", "model.search", "params:compute"],
            outputs="encoders_study",
            name="search_encoders",
        ),
        Node(
            search_heads,
            inputs=["search_plans", "model.search", "params:compute"],
            outputs="heads_study",
            name="search_heads",
        ),
        Node(
            write_down,
            inputs=[
                "encoders_study",
                "heads_study",
                "model.search",
                "params:modelling",
                "params:source",
            ],
            outputs=["model_output.search_trials", "reporting.search"],
            name="write_down",
        ),
    ]
    gathered = modelling.create_pipeline().only_nodes("gather_people", "gather_scans")
    return gathered + Pipeline(nodes)
