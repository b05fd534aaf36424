"""Spread work items over processes or jobs, with the same results whatever their number."""

from ukb_brain.cluster.run import run_items
from ukb_brain.cluster.settings import Compute, Jobs, pick_device, processors, visible_gpus
from ukb_brain.cluster.start import workers_kept

__all__ = [
    "Compute",
    "Jobs",
    "pick_device",
    "processors",
    "run_items",
    "visible_gpus",
    "workers_kept",
]
