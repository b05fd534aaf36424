"""Wiring of the synthetic cohort: from settings to raw files and their truth."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.synthetic_cohort.nodes import write_scans, write_tables
from ukb_brain.synthetic.folder import claim
from ukb_brain.synthetic.truth import build_truth


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes."""
    return Pipeline(
        [
            Node(
                claim,
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
                build_truth,
                inputs=["params:grid", "claimed"],
                outputs="synthetic.truth",
                name="tabulate_truth",
            ),
        ]
    )
