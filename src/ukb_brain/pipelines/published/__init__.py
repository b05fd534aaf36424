"""A table of results in the study's published layout, analysed as a run of this project is."""

from ukb_brain.pipelines.published.pipeline import create_pipeline

__all__ = ["create_pipeline"]
