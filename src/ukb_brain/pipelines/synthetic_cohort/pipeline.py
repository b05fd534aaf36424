"""Wiring of the synthetic cohort."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.synthetic_cohort.nodes import write_scans, write_tables
from ukb_brain.pipelines.wiring import step
from ukb_brain.synthetic.folder import claim
from ukb_brain.synthetic.truth import build_truth


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from settings to raw files and their truth."""
    return Pipeline(
        [
            step(
                claim,
                "synthetic.raw_folder params:synthetic_cohort params:source",
                "claimed",
                name="claim_raw_folder",
            ),
            step(
                write_tables,
                "claimed synthetic.raw_folder params:codings",
                "synthetic.tables",
            ),
            step(
                write_scans,
                "claimed synthetic.raw_folder synthetic.truth_folder params:imaging_preprocess "
                "params:compute",
                "synthetic.bulk",
            ),
            step(build_truth, "params:grid claimed", "synthetic.truth", name="tabulate_truth"),
        ]
    )
