"""Wiring of tabular features."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.wiring import step
from ukb_brain.tables.blocks import fit_block_scaling, make_blocks


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from targets and splits to blocks."""
    return Pipeline(
        [
            step(
                fit_block_scaling,
                "primary.targets primary.splits primary.participants params:grid",
                "feature.block_scaling",
            ),
            step(
                make_blocks,
                "primary.targets primary.splits feature.block_scaling primary.participants "
                "params:grid",
                "feature.blocks",
            ),
        ]
    )
