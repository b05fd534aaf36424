"""Nodes of imaging: from bulk files to stores that training reads."""

from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from ukb_brain.cluster import Compute, run_items
from ukb_brain.grid import Grid
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.imaging.lacking import count_usable, problems_of_groups
from ukb_brain.imaging.preprocess import (
    VOLUME_FIELDS,
    Batch,
    ImagingPreprocess,
    Visit,
    find_parcellation,
    mean_volume,
    preprocess_batch,
)
from ukb_brain.imaging.store import INCOMPLETE, RecordStore
from ukb_brain.problems import stop_at

logger = logging.getLogger(__name__)

VISITS_PER_BATCH = 20
# A mean of fewer people could show one of them.
FEWEST_AVERAGED = 10
VOLUMES, CONNECTIVITY = "volumes.zarr", "connectivity.zarr"


def preprocess_scans(
    bulk: Path,
    index: pd.DataFrame,
    participants: pd.DataFrame,
    folder: Path,
    grid: Grid,
    settings: ImagingPreprocess,
    source: str,
    compute: Compute,
) -> tuple[RecordStore, RecordStore, pd.DataFrame]:
    """Preprocess every scan of the participants that is not in the stores yet.

    Records of people who are no longer participants, because they withdrew, are erased first.

    Parameters
    ----------
    bulk : Path
        Folder of bulk files.
    index : pandas.DataFrame
        As returned by `ukb_brain.imaging.bulk_index.index_bulk`.
    participants : pandas.DataFrame
        ``eid, instance`` and more; nobody else's scans are read.
    folder : Path
        Where the stores are.
    grid : Grid
        Whose modalities must have scans.
    settings : ImagingPreprocess
        The common grid.
    source : str
        Kind of data; a store of another source is refused.
    compute : Compute
        Workers.

    Returns
    -------
    volumes, connectivity : RecordStore
        Keyed by eid and instance.
    quality : pandas.DataFrame
        One row a visit and modality: status, reason and measures.

    Raises
    ------
    InputError
        If no scan of a modality of the grid can be used.
    """
    volumes, connectivity = RecordStore(folder / VOLUMES), RecordStore(folder / CONNECTIVITY)
    for store in (volumes, connectivity):
        store.claim(source)
        gone = store.eids() - set(participants["eid"].tolist())
        erased = sum(store.erase(eid) for eid in sorted(gone))
        if erased:
            logger.info("Records erased from %s of people who left: %s.", store.path.name, erased)
    visits = _visits(bulk, index, participants, settings)
    parcellation = find_parcellation(visits, settings)
    batches = [
        Batch(
            tuple(visits[start : start + VISITS_PER_BATCH]),
            settings,
            parcellation,
            volumes.path,
            connectivity.path,
        )
        for start in range(0, len(visits), VISITS_PER_BATCH)
    ]
    rows = [
        row
        for some in run_items(preprocess_batch, batches, compute, "Scans, in batches of visits")
        for row in some
    ]
    quality = pd.DataFrame(rows).sort_values(["eid", "instance", "modality"], ignore_index=True)
    usable = quality["status"] == "ok"
    require_scans(quality, grid, settings)
    connectivity.mark(INCOMPLETE, _incomplete(quality[usable]))
    logger.info("Scans in the stores: %s; left out: %s.", int(usable.sum()), int((~usable).sum()))
    return volumes, connectivity, quality


def _incomplete(usable: pd.DataFrame) -> bool:
    """Whether somebody in the stores lacks a region."""
    if "regions_of" not in usable:
        return False
    return bool((usable["regions"] < usable["regions_of"]).any())


def _visits(
    bulk: Path, index: pd.DataFrame, participants: pd.DataFrame, settings: ImagingPreprocess
) -> list[Visit]:
    keys = sorted(zip(participants["eid"], participants["instance"], strict=True))
    files: dict[tuple[int, int], dict[int, BulkFile]] = {
        (int(eid), int(instance)): {} for eid, instance in keys
    }
    mine = index[index["field"].isin(settings.fields.values()) & (index["array"] == 0)]
    columns = [mine[name].tolist() for name in ("eid", "instance", "field", "path")]
    for eid, instance, field, path in zip(*columns, strict=True):
        if (eid, instance) in files:
            files[eid, instance][field] = BulkFile(bulk / path)
    return [Visit(key, found) for key, found in files.items()]


def require_scans(quality: pd.DataFrame, grid: Grid, settings: ImagingPreprocess) -> None:
    """Check that somebody has each imaging group of the grid in full.

    Parameters
    ----------
    quality : pandas.DataFrame
        One row a visit and modality: ``eid, instance, modality, status, reason``.
    grid : Grid
        Its imaging groups.
    settings : ImagingPreprocess
        Fields of modalities.

    Raises
    ------
    InputError
        Naming every modality without a scan, with the most frequent reasons, and what groups need.
    """
    lacking = {}
    for modality in grid.modalities:
        mine = quality[quality["modality"] == modality]
        if not (mine["status"] == "ok").any():
            reasons = mine["reason"].value_counts().head(3)
            listed = "; ".join(f"{reason} ({n:,})" for reason, n in reasons.items())
            lacking[modality] = listed or "no visit"
    usable = count_usable(quality[quality["status"] == "ok"], grid)
    stop_at(problems_of_groups(usable, lacking, grid, settings.fields))


def summarise_quality(quality: pd.DataFrame) -> pd.DataFrame:
    """Count scans by modality and status.

    Parameters
    ----------
    quality : pandas.DataFrame
        One row a visit and modality.

    Returns
    -------
    pandas.DataFrame
        ``modality, status, n``.
    """
    counts = quality.groupby(["modality", "status"], sort=True).size()
    return counts.rename("n").reset_index()


def average_volumes(
    volumes: RecordStore,
    quality: pd.DataFrame,
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    settings: ImagingPreprocess,
) -> dict[str, nib.Nifti1Image]:
    """Average each modality's volumes over training people.

    Parameters
    ----------
    volumes : RecordStore
        Normalised volumes.
    quality : pandas.DataFrame
        Says which there are.
    splits : pandas.DataFrame
        ``eid, fold, part``; of the first fold.
    participants : pandas.DataFrame
        ``eid, instance, chosen``.
    settings : ImagingPreprocess
        The common grid.

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
    for modality in VOLUME_FIELDS:
        rows = usable[usable["modality"] == modality]
        keys = [(int(e), int(i)) for e, i in zip(rows["eid"], rows["instance"], strict=True)]
        if len(keys) >= FEWEST_AVERAGED:
            mean = mean_volume(volumes, modality, keys)
        else:
            logger.warning("Too few training people have a usable %s scan for a mean.", modality)
            mean = np.zeros(settings.shape, dtype=np.float32)
        means[modality] = nib.Nifti1Image(mean, settings.affine)
    return means
