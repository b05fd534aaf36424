"""Wiring of the synthetic cohort: from settings to raw files and their truth."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.synthetic_cohort.nodes import (
    claim_raw_folder,
    tabulate_truth,
    write_scans,
    write_tables,
)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes."""
    return Pipeline(
        [
            Node(
                claim_raw_folder,
                inputs=["synthetic.raw_folder", "params:synthetic_cohort", "params:source"],
                outputs="claimed",
                name="claim_raw_folder",
            ),
            Node(
                write_tables,
                inputs=["claimed", "synthetic.raw_folder", "params:codings"],
                outputs="synthetic.tables",
                name="write_tables",
            ),
            Node(
                write_scans,
                inputs=[
                    "claimed",
                    "synthetic.raw_folder",
                    "synthetic.truth_folder",
                    "params:imaging_preprocess",
                    "params:compute",
                ],
                outputs="synthetic.bulk",
                name="write_scans",
            ),
            Node(
                tabulate_truth,
                inputs=["claimed", "params:grid"],
                outputs="synthetic.truth",
                name="tabulate_truth",
            ),
        ]
    )
