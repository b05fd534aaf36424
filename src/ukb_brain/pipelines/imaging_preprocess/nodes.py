"""Nodes of imaging: from bulk files to stores that training reads."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from ukb_brain.cluster import Compute, run_items
from ukb_brain.grid import Grid
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.imaging.lacking import count_usable, problems_of_groups
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.preprocess import VisitBatch, mean_volume, preprocess_batch
from ukb_brain.imaging.readers import Visit, find_parcellations, stored_in
from ukb_brain.imaging.store import INCOMPLETE, Key, RecordStore, open_store, refuse_earlier
from ukb_brain.problems import stop_at
from ukb_brain.tables.numbers import Fields, fields_of

logger = logging.getLogger(__name__)

VISITS_PER_BATCH = 20
# A mean of fewer people could show one of them.
FEWEST_AVERAGED = 10
STORES = ("volumes.store", "vectors.store")


def preprocess_scans(
    bulk: Path,
    index: pd.DataFrame,
    participants: pd.DataFrame,
    numbers: pd.DataFrame,
    folder: Path,
    grid: Grid,
    settings: ImagingPreprocess,
    source: str,
    compute: Compute,
) -> tuple[RecordStore, RecordStore, pd.DataFrame]:
    """Preprocess every scan of the participants that is not in the stores yet.

    ``numbers`` are those of the main table that are an imaging group. Only modalities of the grid
    are read. Records of people who are no longer participants, because they withdrew, are erased
    first. A store of another source is refused.

    Returns
    -------
    volumes, vectors : RecordStore
    quality : pandas.DataFrame
        One row a visit and modality: ``eid, instance, modality, status, reason`` and measures.

    Raises
    ------
    InputError
        If no scan of a modality of the grid can be used.
    """
    refuse_earlier(folder)
    settings = settings.taking(grid.modalities)
    volumes, vectors = (open_store(folder / name) for name in STORES)
    for store in (volumes, vectors):
        store.claim(source)
        gone = store.eids() - set(participants["eid"].tolist())
        erased = sum(store.erase(eid) for eid in sorted(gone))
        store.tidy()
        if erased:
            logger.info("Records erased from %s of people who left: %s.", store.path.name, erased)
    fields = fields_of(settings.numbers)
    for modality, held in fields.items():
        vectors.name_values(modality, held)
    visits = _visits(bulk, index, participants, numbers, settings, fields)
    found = find_parcellations(visits, settings)
    for modality, parcellation in found.items():
        vectors.name_values(modality, parcellation.labels)
    shared = (settings, found, volumes.path, vectors.path, fields)
    batches = [
        VisitBatch(tuple(visits[start : start + VISITS_PER_BATCH]), *shared)
        for start in range(0, len(visits), VISITS_PER_BATCH)
    ]
    done = run_items(preprocess_batch, batches, compute, "Scans, in batches of visits")
    for store in (volumes, vectors):
        store.tidy()
    quality = pd.DataFrame([row for rows in done for row in rows])
    quality = quality.sort_values(["eid", "instance", "modality"], ignore_index=True)
    usable = quality["status"] == "ok"
    require_scans(quality, grid, settings)
    for modality in stored_in("vectors", settings):
        own = quality[usable & (quality["modality"] == modality)]
        vectors.mark(INCOMPLETE.format(modality), _somebody_lacks_some(own))
    logger.info("Scans in the stores: %s; left out: %s.", int(usable.sum()), int((~usable).sum()))
    return volumes, vectors, quality


def _somebody_lacks_some(usable: pd.DataFrame) -> bool:
    """Tell whether somebody with a modality lacks a region or a number that others have."""
    pairs = [(what, f"{what}_of") for what in ("regions", "numbers") if what in usable]
    return any(bool((usable[there] < usable[of]).any()) for there, of in pairs)


def _keys(rows: pd.DataFrame) -> list[Key]:
    return [(int(e), int(i)) for e, i in zip(rows["eid"], rows["instance"], strict=True)]


def _visits(
    bulk: Path,
    index: pd.DataFrame,
    participants: pd.DataFrame,
    numbers: pd.DataFrame,
    settings: ImagingPreprocess,
    fields: Fields,
) -> list[Visit]:
    files: dict[Key, dict[int, BulkFile]] = {key: {} for key in sorted(_keys(participants))}
    mine = index[index["field"].isin(settings.fields.values()) & (index["array"] == 0)]
    for key, field, path in zip(_keys(mine), mine["field"], mine["path"], strict=True):
        if key in files:
            files[key][int(field)] = BulkFile(bulk / path)
    rows = {key: row for row, key in enumerate(_keys(numbers))}
    values = {m: numbers[[str(field) for field in of]].to_numpy() for m, of in fields.items()}
    return [
        Visit(key, found, {m: held[rows[key]] for m, held in values.items()})
        for key, found in files.items()
    ]


def require_scans(quality: pd.DataFrame, grid: Grid, settings: ImagingPreprocess) -> None:
    """Raise an `InputError` unless somebody has each imaging group of the grid in full.

    It names every modality without a scan, with the most frequent reasons, and what groups need.
    """
    usable = quality[quality["status"] == "ok"]
    lacking = {}
    for modality in set(grid.modalities) - set(usable["modality"]):
        reasons = quality.loc[quality["modality"] == modality, "reason"].value_counts().head(3)
        listed = "; ".join(f"{reason} ({n:,})" for reason, n in reasons.items())
        lacking[modality] = listed or "no visit"
    stop_at(problems_of_groups(count_usable(usable, grid), lacking, grid, settings.fields))


def summarise_quality(quality: pd.DataFrame) -> pd.DataFrame:
    """Count scans: ``modality, status, n``."""
    return quality.groupby(["modality", "status"], sort=True).size().rename("n").reset_index()


def average_volumes(
    volumes: RecordStore,
    quality: pd.DataFrame,
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    settings: ImagingPreprocess,
) -> dict[str, nib.Nifti1Image]:
    """Average each modality's volumes over the first fold's training people, at chosen visits.

    Returns
    -------
    dict of str to nibabel.Nifti1Image
        By modality; zero where fewer than ten training people have it.
    """
    first = splits["fold"] == splits["fold"].min()
    training = splits.loc[first & (splits["part"] == "train"), "eid"]
    usable = quality[(quality["status"] == "ok") & quality["eid"].isin(training)]
    # One visit of each person, so that nobody counts twice.
    chosen = participants.loc[participants["chosen"], ["eid", "instance"]]
    usable = usable.merge(chosen, on=["eid", "instance"])
    means = {}
    for modality in stored_in("volumes", settings.taking(grid.modalities)):
        keys = _keys(usable[usable["modality"] == modality])
        if len(keys) >= FEWEST_AVERAGED:
            mean = mean_volume(volumes, modality, keys)
        else:
            logger.warning("Too few training people have a usable %s scan for a mean.", modality)
            mean = np.zeros(settings.shape, dtype=np.float32)
        means[modality] = nib.Nifti1Image(mean, settings.affine)
    return means
