"""The demo's raw files and their truth."""

from ukb_brain.pipelines.synthetic_cohort.pipeline import create_pipeline

__all__ = ["create_pipeline"]
