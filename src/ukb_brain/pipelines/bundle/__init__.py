"""Reports that may leave, checked and gathered into one archive."""

import logging
from pathlib import Path

import pandas as pd
from kedro.pipeline import Pipeline

from ukb_brain.figures.stamp import is_synthetic
from ukb_brain.pipelines.wiring import step
from ukb_brain.reports.bundle import NAME, Rules, write_bundle
from ukb_brain.statistics.settings import Reporting

logger = logging.getLogger(__name__)


def gather_exportable(
    folder: Path, participants: pd.DataFrame, reporting: Reporting, source: str
) -> pd.DataFrame:
    """Check every report, and pack those that may leave; one row a file."""
    eids = frozenset(participants["eid"].tolist())
    listed = write_bundle(folder, Rules(eids, reporting.suppress_below, is_synthetic(source)))
    included, suppressed = (int(listed[name].sum()) for name in ("included", "suppressed"))
    words = "%s: %d of %d reports, %d counts suppressed."
    logger.info(words, folder / NAME, included, len(listed), suppressed)
    return listed


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node."""
    reads = "reporting.folder primary.participants params:reporting params:source"
    return Pipeline([step(gather_exportable, reads, "bundle_contents")])
