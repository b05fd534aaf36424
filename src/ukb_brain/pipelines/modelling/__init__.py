"""Stores, blocks and splits to models and predictions."""

from ukb_brain.pipelines.modelling.pipeline import create_pipeline

__all__ = ["create_pipeline"]
