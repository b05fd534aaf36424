"""Two runs' legibility maps, cell by cell."""

from ukb_brain.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
