"""Settings to hours, memory and disk, without any data."""

from ukb_brain.pipelines.plan.pipeline import create_pipeline

__all__ = ["create_pipeline"]
