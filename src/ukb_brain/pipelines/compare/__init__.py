"""Two runs' legibility maps, cell by cell."""

from kedro.pipeline import Pipeline

from ukb_brain.pipelines.wiring import step
from ukb_brain.reports.claims import write_comparison
from ukb_brain.statistics.map_comparison import compare_maps


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the library's functions."""
    steps = [
        step(compare_maps, "reporting.performance compare.other params:reporting", "compare.cells"),
        step(write_comparison, "compare.cells params:source", "compare.text"),
    ]
    return Pipeline(steps)
