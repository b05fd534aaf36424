"""Wiring of data engineering."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.data_engineering.nodes import (
    derive_targets,
    describe_participants,
    index_bulk,
    select_cohort,
)
from ukb_brain.tables.data_dictionary import describe
from ukb_brain.tables.splits import make_splits
from ukb_brain.tables.visits import derive_confounds


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from raw tables to participants, targets, confounds and splits."""
    return Pipeline(
        [
            Node(
                index_bulk,
                inputs=[
                    "raw.bulk",
                    "intermediate.bulk_index_before",
                    "params:imaging_preprocess",
                    "raw.withdrawals",
                ],
                outputs="intermediate.bulk_index",
                name="index_bulk",
            ),
            Node(
                select_cohort,
                inputs=[
                    "raw.table",
                    "raw.withdrawals",
                    "raw.relatedness",
                    "intermediate.bulk_index",
                    "params:grid",
                    "params:data_engineering",
                    "params:tables",
                    "params:codings",
                    "params:imaging_preprocess",
                    "params:source",
                ],
                outputs=["cohort", "scans", "primary.exclusion_flow", "primary.scan_counts"],
                name="select_cohort",
            ),
            Node(
                describe_participants,
                inputs=[
                    "cohort",
                    "raw.relatedness",
                    "scans",
                    "raw.participation_weights",
                    "params:data_engineering",
                ],
                outputs="primary.participants",
                name="describe_participants",
            ),
            Node(
                derive_targets,
                inputs=[
                    "cohort",
                    "primary.participants",
                    "params:grid",
                    "raw.table",
                    "params:codings",
                ],
                outputs=[
                    "primary.targets",
                    "primary.target_summary",
                    "lags",
                    "primary.target_sources",
                ],
                name="derive_targets",
            ),
            Node(
                derive_confounds,
                inputs=["cohort", "primary.participants"],
                outputs="primary.confounds",
                name="derive_confounds",
            ),
            Node(
                make_splits,
                inputs=["primary.participants", "params:splitting", "params:seed", "raw.splits"],
                outputs="primary.splits",
                name="make_splits",
            ),
            Node(
                describe,
                inputs=[
                    "primary.targets",
                    "lags",
                    "primary.target_sources",
                    "primary.confounds",
                    "primary.participants",
                    "primary.splits",
                    "params:grid",
                    "params:codings",
                    "raw.table",
                ],
                outputs="primary.data_dictionary",
                name="describe_data",
            ),
        ]
    )
