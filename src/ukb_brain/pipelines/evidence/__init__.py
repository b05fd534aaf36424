"""What limits the map: learning curves, left-out sites and model scale, by training once more."""

from ukb_brain.pipelines.evidence.pipeline import create_pipeline

__all__ = ["create_pipeline"]
