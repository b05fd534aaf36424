"""Nodes of imaging: from bulk files to stores that training reads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from ukb_brain.cluster import Compute, run_items
from ukb_brain.datasets.folders import BULK_NAME
from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.imaging.preprocess import (
    VOLUME_FIELDS,
    Batch,
    ImagingPreprocess,
    Visit,
    mean_volume,
    preprocess_batch,
)
from ukb_brain.imaging.store import RecordStore

logger = logging.getLogger(__name__)

VISITS_PER_BATCH = 20
# A mean of fewer people could show one of them.
FEWEST_AVERAGED = 10
VOLUMES, CONNECTIVITY = "volumes.zarr", "connectivity.zarr"


def preprocess_scans(
    bulk: dict[str, Callable[[], BulkFile]],
    participants: pd.DataFrame,
    folder: Path,
    settings: ImagingPreprocess,
    source: str,
    compute: Compute,
) -> tuple[RecordStore, RecordStore, pd.DataFrame]:
    """Preprocess every scan of the participants that is not in the stores yet.

    Records of people who are no longer participants, because they withdrew, are erased first.

    Parameters
    ----------
    bulk : dict of str to callable
        Bulk files by ``<field>/<file name>``.
    participants : pandas.DataFrame
        ``eid, instance`` and more; nobody else's scans are read.
    folder : Path
        Where the stores are.
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
        If no scan of any modality can be used.
    """
    volumes, connectivity = RecordStore(folder / VOLUMES), RecordStore(folder / CONNECTIVITY)
    for store in (volumes, connectivity):
        store.claim(source)
        gone = store.eids() - set(participants["eid"].tolist())
        erased = sum(store.erase(eid) for eid in sorted(gone))
        if erased:
            logger.info("Records erased from %s of people who left: %s.", store.path.name, erased)
    keys = sorted(zip(participants["eid"], participants["instance"], strict=True))
    visits = _visits(bulk, [(int(eid), int(instance)) for eid, instance in keys], settings)
    batches = [
        Batch(
            tuple(visits[start : start + VISITS_PER_BATCH]),
            settings,
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
    if not usable.any():
        raise InputError(
            f"None of {len(quality)} scans of {len(visits)} visits can be used; reasons: "
            f"{', '.join(sorted(quality['reason'].unique())[:3])}. Check the bulk folder."
        )
    check_one_parcellation(quality)
    logger.info("Scans in the stores: %s; left out: %s.", int(usable.sum()), int((~usable).sum()))
    return volumes, connectivity, quality


def _visits(
    bulk: dict[str, Callable[[], BulkFile]],
    keys: list[tuple[int, int]],
    settings: ImagingPreprocess,
) -> list[Visit]:
    files: dict[tuple[int, int], dict[int, BulkFile]] = {key: {} for key in keys}
    wanted = set(settings.fields.values())
    for name, load in bulk.items():
        matched = BULK_NAME.match(name)
        if matched is None:
            continue
        eid, field, instance = (int(matched[k]) for k in (1, 2, 3))
        if field in wanted and (eid, instance) in files:
            files[eid, instance][field] = load()
    return [Visit(key, files[key]) for key in keys]


def check_one_parcellation(quality: pd.DataFrame) -> None:
    """Check that all connectivity vectors are of one parcellation.

    Parameters
    ----------
    quality : pandas.DataFrame
        With the measure ``regions`` of connectivity vectors.

    Raises
    ------
    InputError
        If their lengths differ.
    """
    if "regions" not in quality:
        return
    counts = quality["regions"].dropna().astype(int).value_counts()
    if len(counts) > 1:
        found = ", ".join(f"{n} of {regions} regions" for regions, n in counts.items())
        raise InputError(
            f"Connectivity is of different parcellations ({found}). Keep one of them in the bulk "
            "folder."
        )


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
    volumes: RecordStore, quality: pd.DataFrame, splits: pd.DataFrame, settings: ImagingPreprocess
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
    # The first visit of each person, so that nobody counts twice.
    usable = usable.sort_values(["eid", "instance"]).drop_duplicates(["eid", "modality"])
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
