"""People who withdrew, erased from everything that earlier runs made."""

import logging
from pathlib import Path

import pandas as pd
from kedro.pipeline import Pipeline

from ukb_brain.ledger.purge import erase_people
from ukb_brain.pipelines.wiring import step
from ukb_brain.tables.exclusions import DataEngineering, require_withdrawals
from ukb_brain.tables.people_lists import Withdrawals

logger = logging.getLogger(__name__)


def erase_withdrawn(
    folder: Path, withdrawals: Withdrawals, settings: DataEngineering, source: str
) -> pd.DataFrame:
    """Erase whoever is on a withdrawal list from all that earlier runs made, and count it.

    Raises
    ------
    InputError
        If real data come without a withdrawal list.
    """
    require_withdrawals(withdrawals, source, settings.no_withdrawals_issued)
    counts = erase_people(folder, withdrawals.eids)
    told = "; ".join(f"{what}: {n:,}" for what, n in counts.itertuples(index=False))
    logger.info(
        "Erased from %s of the %s people on %s withdrawal list(s): %s.",
        folder,
        f"{len(withdrawals.eids):,}",
        withdrawals.n_lists,
        told or "nothing, since nothing of them was there",
    )
    if len(counts):
        logger.info("`kedro run` now makes everything anew that rested on them.")
    logger.info("Their raw files are yours to delete: %s is never written.", withdrawals.folder)
    return counts


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node, from the withdrawal lists to a data root without those people."""
    reads = "purge.folder raw.withdrawals params:data_engineering params:source"
    return Pipeline([step(erase_withdrawn, reads, "purge_counts")])
