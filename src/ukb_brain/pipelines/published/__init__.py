"""A table of results in the study's published layout, analysed as a run of this project is."""

from kedro.pipeline import Pipeline

from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.pipelines.wiring import step
from ukb_brain.reports.claims import write_claims
from ukb_brain.statistics.claims import evaluate_claims
from ukb_brain.statistics.inputs.mixed_models import fit_domains
from ukb_brain.statistics.scores.published import read_published
from ukb_brain.statistics.scores.published_intervals import published_intervals, skill_errors
from ukb_brain.statistics.scores.skill import skill_of_cells


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the library's functions."""
    steps = [
        step(read_published, "published.table params:grid", "published_cells"),
        step(
            fit_domains,
            "published_cells params:grid params:reporting.level params:published.source",
            "published.mixed_models",
        ),
        step(
            draw_coefficients,
            "published.mixed_models params:grid params:published.source",
            "published.coefficients",
        ),
        step(
            published_intervals,
            "published_cells params:published params:reporting",
            "published.intervals",
        ),
        step(skill_of_cells, "published_cells", "published_skill"),
        step(skill_errors, "published.intervals params:reporting.level", "published_errors"),
        step(
            evaluate_claims,
            "params:claims published_skill params:grid params:reporting.level "
            "published_errors published.mixed_models",
            "published.claims",
        ),
        step(write_claims, "published.claims params:published.source", "published.claims_text"),
    ]
    return Pipeline(steps)
