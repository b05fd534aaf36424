"""One function a figure; each is stamped where it shows synthetic data."""

from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.dashboard import build_dashboard
from ukb_brain.figures.exclusion_flow import draw_exclusion_flow
from ukb_brain.figures.heat_maps import draw_heat_maps
from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.figures.stamp import stamp
from ukb_brain.figures.summary import write_summary

__all__ = [
    "build_dashboard",
    "draw_coefficients",
    "draw_exclusion_flow",
    "draw_heat_maps",
    "draw_legibility",
    "stamp",
    "write_summary",
]
