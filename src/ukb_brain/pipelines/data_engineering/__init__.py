"""Raw table, withdrawals and relatives to participants, targets, confounds and splits."""

from ukb_brain.pipelines.data_engineering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
