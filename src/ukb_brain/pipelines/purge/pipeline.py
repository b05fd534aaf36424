"""Wiring of the purge."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.purge.nodes import erase_withdrawn
from ukb_brain.pipelines.wiring import step


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node, from the withdrawal lists to a data root without those people."""
    reads = "purge.folder raw.withdrawals params:data_engineering params:source"
    return Pipeline([step(erase_withdrawn, reads, "purge_counts")])
