"""The node that gathers what may leave."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from ukb_brain.figures.stamp import is_synthetic
from ukb_brain.pipelines.reporting.nodes import Reporting
from ukb_brain.reports.bundle import NAME, Rules, write_bundle

logger = logging.getLogger(__name__)


def gather_exportable(
    folder: Path, participants: pd.DataFrame, reporting: Reporting, source: str
) -> pd.DataFrame:
    """Check every report, and pack those that may leave.

    Parameters
    ----------
    folder : Path
        Of the reports.
    participants : pandas.DataFrame
        Whose eids may not occur.
    reporting : Reporting
        Smallest count that may be shown.
    source : str
        ``synthetic`` is said in the manifest.

    Returns
    -------
    pandas.DataFrame
        One row a file.
    """
    eids = frozenset(participants["eid"].tolist())
    rules = Rules(eids, reporting.suppress_below, is_synthetic(source))
    listed = write_bundle(folder, rules)
    included = int(listed["included"].sum())
    logger.info(
        "%s: %d of %d reports, %d counts suppressed.",
        folder / NAME,
        included,
        len(listed),
        int(listed["suppressed"].sum()),
    )
    return listed
