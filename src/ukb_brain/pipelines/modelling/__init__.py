"""Stores, blocks and splits to models and predictions."""

from ukb_brain.pipelines.modelling.pipeline import GATHERED, create_pipeline

__all__ = ["GATHERED", "create_pipeline"]
