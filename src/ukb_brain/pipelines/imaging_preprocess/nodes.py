"""Nodes of imaging: from bulk files to stores that training reads."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.cluster import Compute, run_items
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.imaging.connectivity import nodes_of
from ukb_brain.imaging.judging import KEYS, READ, judge, same_images, with_own_measures
from ukb_brain.imaging.lacking import count_usable, problems_of_groups
from ukb_brain.imaging.likeness import Change, correlations, far_below, mean_record
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.partial import partial_z
from ukb_brain.imaging.preprocess import VisitBatch, preprocess_batch
from ukb_brain.imaging.quality import template_brain
from ukb_brain.imaging.readers import READERS, SHRINKAGE, Visit, find_parcellations, stored_in
from ukb_brain.imaging.store import INCOMPLETE, Key, RecordStore, open_store, refuse_earlier
from ukb_brain.imaging.tangent import covariances
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
    scans : pandas.DataFrame
        One row a visit and modality: ``eid, instance, modality, status, reason`` and measures.
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
    shared = (settings, found, volumes.path, vectors.path, fields, compute.device)
    batches = [
        VisitBatch(tuple(visits[start : start + VISITS_PER_BATCH]), *shared)
        for start in range(0, len(visits), VISITS_PER_BATCH)
    ]
    done = run_items(preprocess_batch, batches, compute, "Scans, in batches of visits")
    for store in (volumes, vectors):
        store.tidy()
    scans = pd.DataFrame([row for rows in done for row in rows])
    scans = scans.sort_values(["eid", "instance", "modality"], ignore_index=True)
    read = scans["status"] == "ok"
    for modality in stored_in("vectors", settings):
        own = scans[read & (scans["modality"] == modality)]
        # Whether somebody in the store lacks a region.
        lacking = own.get("regions", 0) < own.get("regions_of", 0)
        vectors.mark(INCOMPLETE.format(modality), bool(np.any(lacking)))
    logger.info("Scans in the stores: %s; not read: %s.", int(read.sum()), int((~read).sum()))
    return volumes, vectors, scans


def judge_scans(
    scans: pd.DataFrame, confounds: pd.DataFrame, grid: Grid, settings: ImagingPreprocess
) -> pd.DataFrame:
    """Leave out scans beyond limits, and one image that is there twice.

    Gives the rows of `preprocess_scans` with UK Biobank's own measures, where the table has them;
    ``poor`` is left out, although the stores keep it.

    Raises
    ------
    InputError
        If no scan of a modality of the grid can be used.
    """
    spaces = {m: record.space for m, record in settings.modalities.items() if record.space != m}
    quality = judge(with_own_measures(scans, confounds, settings.fields), settings.quality, spaces)
    require_scans(quality, grid, settings)
    poor = quality["status"] == "poor"
    if poor.any():
        logger.warning("Scans that were read and are left out as poor: %s.", int(poor.sum()))
    return quality


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
    lacking = {str(field) for of in fields.values() for field in of} - {*numbers}
    if fields and (lacking or not files.keys() <= rows.keys()):
        raise InputError(
            f"primary.imaging_numbers lacks {len(lacking):,} field(s) or visits of "
            f"{', '.join(fields)}: it is of another run. Run `kedro run` with the same --params."
        )
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


def _training(
    quality: pd.DataFrame, splits: pd.DataFrame, participants: pd.DataFrame
) -> pd.DataFrame:
    """List usable scans of the first fold's training people, one visit of each."""
    first = splits["fold"] == splits["fold"].min()
    training = splits.loc[first & (splits["part"] == "train"), "eid"]
    usable = quality[(quality["status"] == "ok") & quality["eid"].isin(training)]
    # One visit of each person, so that nobody counts twice.
    chosen = participants.loc[participants["chosen"], ["eid", "instance"]]
    return usable.merge(chosen, on=["eid", "instance"])


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
    usable, means = _training(quality, splits, participants), {}
    for modality in stored_in("volumes", settings.taking(grid.modalities)):
        keys = _keys(usable[usable["modality"] == modality])
        if len(keys) >= FEWEST_AVERAGED:
            mean = mean_record(volumes, modality, keys)
        else:
            logger.warning("Too few training people have a usable %s scan for a mean.", modality)
            mean = np.zeros(settings.shape, dtype=np.float32)
        means[modality] = nib.Nifti1Image(mean, settings.affine)
    return means


def average_edges(
    vectors: RecordStore,
    quality: pd.DataFrame,
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    settings: ImagingPreprocess,
) -> pd.DataFrame:
    """Average edges between regions over the first fold's training people, at chosen visits.

    Returns
    -------
    pandas.DataFrame
        ``modality, region, other, mean``: an edge a row, by names of regions, or by their numbers
        where these are not known; NaN where fewer than ten training people have one, and nothing
        of modalities of which they have none.
    """
    usable, tables = _training(quality, splits, participants), []
    for modality, record in settings.taking(grid.modalities).modalities.items():
        keys = _keys(usable[usable["modality"] == modality])
        if READERS[record.reader].regions is None or len(keys) < FEWEST_AVERAGED:
            continue
        change = _partial_of(vectors, modality) if record.kind == "partial" else None
        mean = mean_record(vectors, modality, keys, FEWEST_AVERAGED, change)
        if np.isnan(mean).all():
            continue
        regions = nodes_of(len(mean))
        names = np.array(vectors.names_of(modality) or range(1, regions + 1)).astype(str)
        rows, columns = np.tril_indices(regions, -1)
        edges = {"region": names[columns], "other": names[rows], "mean": mean.astype(float)}
        tables.append(pd.DataFrame({"modality": modality, **edges}))
    empty = pd.DataFrame({name: [] for name in ("modality", "region", "other")}, dtype=str)
    return pd.concat([empty.assign(mean=np.zeros(0)), *tables], ignore_index=True)


def _partial_of(vectors: RecordStore, modality: str) -> Change:
    """Take partial correlations of those who have all regions."""

    def change(z: NDArray[np.floating], keys: Sequence[Key]) -> NDArray[np.floating]:
        about = (vectors.about(modality, key) or {} for key in keys)
        shrinkage = np.array([each["measures"][SHRINKAGE] for each in about])
        whole = np.isfinite(z).all(axis=1)
        return partial_z(covariances(z[whole], shrinkage[whole]))

    return change


def flag_scans(
    volumes: RecordStore,
    vectors: RecordStore,
    quality: pd.DataFrame,
    means: dict[str, Callable[[], nib.Nifti1Image]],
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    settings: ImagingPreprocess,
) -> pd.DataFrame:
    """Say which scans in the stores to look at; none is left out for it.

    Returns
    -------
    pandas.DataFrame
        ``eid, instance, modality``; ``correlation`` with the mean of the first fold's training
        people, NaN where they are too few for one; ``flags``: ``correlation`` where it is below
        Tukey's outer fence of theirs, ``duplicate`` for one image that is there twice, both, or "".
    """
    there = quality[quality["status"].isin(READ)].reset_index(drop=True)
    training = _training(quality, splits, participants)
    brain = template_brain(settings.shape, settings.voxel_mm, settings.centre_mm)
    correlation = pd.Series(np.nan, there.index)
    unlike = pd.Series(False, there.index)
    for modality in settings.modalities:
        rows = there[there["modality"] == modality]
        fitted_on = _keys(training[training["modality"] == modality])
        if len(fitted_on) < FEWEST_AVERAGED:
            continue
        if modality in means:
            how = (np.asarray(means[modality]().dataobj), brain)
            found = correlations(volumes, modality, _keys(rows), *how)
        else:
            mean = mean_record(vectors, modality, fitted_on)
            found = correlations(vectors, modality, _keys(rows), mean)
        of_training = pd.MultiIndex.from_frame(rows[KEYS]).isin(fitted_on)
        correlation[rows.index] = found
        unlike[rows.index] = far_below(found, found[of_training])
    words = np.where(unlike, "correlation ", "") + np.where(
        same_images(there) != "", "duplicate", ""
    )
    flags = pd.Series(words, there.index).str.strip().str.replace(" ", ", ")
    return there[[*KEYS, "modality"]].assign(correlation=correlation, flags=flags)
