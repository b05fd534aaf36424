"""Wiring of the purge."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.purge.nodes import erase_withdrawn


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node, from the withdrawal lists to a data root without those people."""
    return Pipeline(
        [
            Node(
                erase_withdrawn,
                inputs=[
                    "purge.folder",
                    "raw.withdrawals",
                    "params:data_engineering",
                    "params:source",
                ],
                outputs="purge_counts",
                name="erase_withdrawn",
            )
        ]
    )
