"""Reports that may leave, checked and gathered into one archive."""

from ukb_brain.pipelines.bundle.pipeline import create_pipeline

__all__ = ["create_pipeline"]
