"""Wiring of tabular features."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.tables.blocks import fit_block_scaling, make_blocks


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from targets and splits to blocks."""
    return Pipeline(
        [
            Node(
                fit_block_scaling,
                inputs=["primary.targets", "primary.splits", "primary.participants", "params:grid"],
                outputs="feature.block_scaling",
                name="fit_block_scaling",
            ),
            Node(
                make_blocks,
                inputs=[
                    "primary.targets",
                    "primary.splits",
                    "feature.block_scaling",
                    "primary.participants",
                    "params:grid",
                ],
                outputs="feature.blocks",
                name="make_blocks",
            ),
        ]
    )
