"""Wiring of data engineering."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.data_engineering.nodes import (
    derive_confounds,
    derive_targets,
    describe_participants,
    make_splits,
    select_cohort,
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
        From raw tables to participants, targets, confounds and splits.
    """
    return Pipeline(
        [
            Node(
                select_cohort,
                inputs=[
                    "raw.table",
                    "raw.withdrawals",
                    "params:grid",
                    "params:data_engineering",
                    "params:source",
                ],
                outputs=["cohort", "primary.exclusion_flow"],
                name="select_cohort",
            ),
            Node(
                describe_participants,
                inputs=[
                    "cohort",
                    "raw.relatedness",
                    "raw.participation_weights",
                    "params:data_engineering",
                ],
                outputs="primary.participants",
                name="describe_participants",
            ),
            Node(
                derive_targets,
                inputs=["cohort", "primary.participants", "params:grid"],
                outputs=["primary.targets", "primary.target_summary"],
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
                inputs=["primary.participants", "params:splitting", "params:seed"],
                outputs="primary.splits",
                name="make_splits",
            ),
        ]
    )
