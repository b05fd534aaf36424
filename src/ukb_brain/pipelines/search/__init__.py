"""Search of settings by trials that never see test people."""

from ukb_brain.pipelines.search.pipeline import create_pipeline

__all__ = ["create_pipeline"]
