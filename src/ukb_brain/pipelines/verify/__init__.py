"""Whether the stores of scans still hold what was written into them."""

import logging
from pathlib import Path

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ukb_brain.errors import InputError
from ukb_brain.imaging.store import open_store
from ukb_brain.pipelines.wiring import step
from ukb_brain.tables.purge import STORE

logger = logging.getLogger(__name__)


def verify_stores(folder: Path, quality: pd.DataFrame) -> pd.DataFrame:
    """Read every record and compare it with the sum that was kept of it; damaged ones are erased.

    Returns
    -------
    pandas.DataFrame
        ``modality, records, damaged, absent``: how many were read, how many of them were damaged,
        and of how many scans that the quality table calls usable there is no other record.
    """
    usable = quality[quality["status"] == "ok"]
    rows = []
    for store in (open_store(path) for path in sorted(folder.glob(f"*{STORE}"))):
        for modality in store.modalities():
            records = len(store.keys(modality))
            damaged = len(store.remove_damaged(modality))
            own = usable[usable["modality"] == modality]
            wanted = {(int(e), int(i)) for e, i in zip(own["eid"], own["instance"], strict=True)}
            absent = len(wanted - set(store.keys(modality))) - damaged
            rows.append((modality, records, damaged, max(0, absent)))
            logger.info("%s: %s records read, %s damaged.", modality, f"{records:,}", damaged)
    return pd.DataFrame(rows, columns=["modality", "records", "damaged", "absent"])


def require_sound(found: pd.DataFrame) -> None:
    """End with an `InputError` where records were damaged, or are absent."""
    damaged, absent = int(found["damaged"].sum()), int(found["absent"].sum())
    if damaged or absent:
        raise InputError(
            f"{damaged:,} of {int(found['records'].sum()):,} records in the stores were damaged, "
            f"and were erased; {absent:,} more that the quality table calls usable are not there: "
            "`kedro run --pipelines imaging_preprocess` makes them anew from the raw files, and "
            "no others. Then look at the disk."
        )
    logger.info("Every record is what was written.")


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from the stores to an exit status."""
    reads = "intermediate.folder primary.quality"
    return Pipeline(
        [
            step(verify_stores, reads, "verified"),
            Node(require_sound, ["verified"], None, name="require_sound"),
        ]
    )
