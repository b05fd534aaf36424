"""What the predictions are worth: metrics, intervals, tables and models of the grid."""

from ukb_brain.statistics.intervals import FamilyDraws, score_with_interval
from ukb_brain.statistics.metrics import HEADLINE, METRICS
from ukb_brain.statistics.mixed_models import analysable, fit_domains
from ukb_brain.statistics.performance import one_row_a_cell, performance_columns, score_all
from ukb_brain.statistics.published import published_layout, read_published

__all__ = [
    "HEADLINE",
    "METRICS",
    "FamilyDraws",
    "analysable",
    "fit_domains",
    "one_row_a_cell",
    "performance_columns",
    "published_layout",
    "read_published",
    "score_all",
    "score_with_interval",
]
