"""Targets to blocks of inputs, imputed and scaled by training people."""

from ukb_brain.pipelines.feature_tabular.pipeline import create_pipeline

__all__ = ["create_pipeline"]
