"""Wiring of imaging."""

from kedro.pipeline import Pipeline

from ukb_brain.figures.connectivity import draw_connectivity
from ukb_brain.pipelines.imaging_preprocess import nodes
from ukb_brain.pipelines.wiring import step
from ukb_brain.reports.quality_page import build_quality_page, scans_of
from ukb_brain.reports.scan_page import build_scan_page


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from bulk files to stores, quality, mean images and two pages."""
    steps = [
        step(
            nodes.preprocess_scans,
            "raw.bulk intermediate.bulk_index primary.participants "
            "primary.imaging_numbers intermediate.folder params:grid params:imaging_preprocess "
            "params:source params:compute",
            "intermediate.volumes intermediate.vectors scans_read",
        ),
        step(
            nodes.judge_scans,
            "scans_read primary.confounds params:grid params:imaging_preprocess",
            "primary.quality",
        ),
        step(nodes.summarise_quality, "primary.quality", "primary.quality_summary"),
        step(
            nodes.average_volumes,
            "intermediate.volumes primary.quality primary.splits primary.participants "
            "params:grid params:imaging_preprocess",
            "reporting.mean_images",
        ),
        step(
            nodes.average_edges,
            "intermediate.vectors primary.quality primary.splits primary.participants "
            "params:grid params:imaging_preprocess",
            "reporting.mean_connectivity",
        ),
        step(
            draw_connectivity,
            "reporting.mean_connectivity params:grid params:source",
            "reporting.connectivity",
        ),
        step(
            nodes.flag_scans,
            "intermediate.volumes intermediate.vectors primary.quality reporting.mean_images "
            "primary.splits primary.participants params:imaging_preprocess",
            "primary.scan_flags",
        ),
        step(
            scans_of,
            "primary.quality primary.scan_flags primary.participants params:codings",
            "scans_shown",
            name="gather_scans_shown",
        ),
        step(
            build_quality_page,
            "scans_shown params:grid params:imaging_preprocess params:source "
            "params:reporting.suppress_below",
            "reporting.quality_page",
        ),
        step(
            build_scan_page,
            "scans_shown intermediate.volumes intermediate.vectors primary.scan_key "
            "params:grid params:imaging_preprocess params:source",
            "primary.scan_page primary.scan_codes",
        ),
    ]
    return Pipeline(steps)
