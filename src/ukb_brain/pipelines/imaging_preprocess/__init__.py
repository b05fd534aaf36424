"""Bulk files to stores of volumes and connectivity, quality and mean images."""

from ukb_brain.pipelines.imaging_preprocess.pipeline import create_pipeline

__all__ = ["create_pipeline"]
