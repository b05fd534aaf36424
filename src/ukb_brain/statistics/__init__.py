"""What the predictions are worth: metrics, intervals, tables and models of the grid."""

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.inputs.mixed_models import analysable, fit_domains
from ukb_brain.statistics.scores.legibility_map import score_map, with_intervals
from ukb_brain.statistics.scores.performance import performance_columns, score_all
from ukb_brain.statistics.scores.published import published_layout, read_published

__all__ = [
    "FamilyDraws",
    "analysable",
    "fit_domains",
    "performance_columns",
    "published_layout",
    "read_published",
    "score_all",
    "score_map",
    "with_intervals",
]
