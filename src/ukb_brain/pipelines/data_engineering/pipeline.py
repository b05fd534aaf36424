"""Wiring of data engineering."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.data_engineering.nodes import (
    derive_targets,
    describe_participants,
    gather_numbers,
    index_bulk,
    select_cohort,
)
from ukb_brain.pipelines.wiring import step
from ukb_brain.tables.data_dictionary import describe
from ukb_brain.tables.splits import make_splits
from ukb_brain.tables.visits import derive_confounds


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from raw tables to participants, targets, confounds and splits."""
    return Pipeline(
        [
            step(
                index_bulk,
                "raw.bulk intermediate.bulk_index_before params:grid params:imaging_preprocess "
                "raw.withdrawals",
                "intermediate.bulk_index",
            ),
            step(
                select_cohort,
                "raw.table raw.withdrawals raw.relatedness intermediate.bulk_index params:grid "
                "params:data_engineering params:tables params:codings params:imaging_preprocess "
                "params:source",
                "cohort visits_scanned primary.exclusion_flow primary.scan_counts",
            ),
            step(
                describe_participants,
                "cohort raw.relatedness visits_scanned raw.participation_weights "
                "params:data_engineering",
                "primary.participants",
            ),
            step(
                gather_numbers,
                "raw.table primary.participants params:grid params:imaging_preprocess "
                "params:tables params:codings",
                "primary.imaging_numbers",
            ),
            step(
                derive_targets,
                "cohort primary.participants params:grid raw.table params:codings",
                "primary.targets primary.target_summary lags primary.target_sources",
            ),
            step(derive_confounds, "cohort primary.participants", "primary.confounds"),
            step(
                make_splits,
                "primary.participants params:splitting params:seed raw.splits",
                "primary.splits",
            ),
            step(
                describe,
                "primary.targets lags primary.target_sources primary.confounds "
                "primary.participants primary.splits params:grid params:codings raw.table",
                "primary.data_dictionary",
                name="describe_data",
            ),
        ]
    )
