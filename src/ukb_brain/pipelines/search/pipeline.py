"""Wiring of the search."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines import modelling
from ukb_brain.pipelines.search.nodes import plan_search, run_search, write_down
from ukb_brain.pipelines.wiring import step


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from stores, blocks, splits and models to a record of what was tried."""
    gathered = modelling.create_pipeline().only_nodes("gather_people", "gather_scans")
    steps = [
        step(
            plan_search,
            "model.folder people scans primary.quality params:grid params:modelling "
            "params:search params:compute params:seed",
            "search_plans",
        ),
        step(run_search, "search_plans model.search params:compute", "search_studies"),
        step(
            write_down,
            "search_studies model.search params:modelling params:source",
            "model_output.search_trials reporting.search",
        ),
    ]
    return gathered + Pipeline(steps)
