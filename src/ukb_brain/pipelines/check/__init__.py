"""What is there and what is missing, before anything runs."""

from ukb_brain.pipelines.check.pipeline import create_pipeline

__all__ = ["create_pipeline"]
