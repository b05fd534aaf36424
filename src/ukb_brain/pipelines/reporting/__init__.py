"""Predictions to performance tables, figures and the dashboard."""

from ukb_brain.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
