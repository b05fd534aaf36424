"""People who withdrew, erased from everything that earlier runs made."""

from ukb_brain.pipelines.purge.pipeline import create_pipeline

__all__ = ["create_pipeline"]
