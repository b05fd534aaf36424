"""From one person's bulk files to normalised volumes and a connectivity vector."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nitransforms.io.fsl import FSLLinearTransform
from nitransforms.linear import Affine as LinearTransform
from nitransforms.resampling import apply as resample
from numpy.typing import NDArray
from pydantic import Field

from ukb_brain.errors import InputError
from ukb_brain.imaging.affines import common_grid, fsl_mni
from ukb_brain.imaging.bulk import BulkFile, ScanError
from ukb_brain.imaging.connectivity import (
    fisher_z_of_time_series,
    matched,
    nodes_of,
    regions_there,
    vector_of_matrix_file,
)
from ukb_brain.imaging.roi_series import ROI_FIELDS
from ukb_brain.imaging.store import Key, RecordStore
from ukb_brain.imaging.tangent import shrinkage_of_time_series
from ukb_brain.imaging.time_series import SERIES_FIELDS, TimeSeries
from ukb_brain.settings_base import Settings

Volume = NDArray[np.float32]

T1_IMAGE = "T1/T1_unbiased_brain.nii.gz"
T1_MATRIX = "T1/transforms/T1_to_MNI_linear.mat"
FLAIR_IMAGE = "T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz"
FA_IMAGE = "dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz"
VOLUME_FIELDS = {"t1": 20252, "flair": 20253, "dwi": 20250}
CONNECTIVITY = "rsfmri"
# Measured of time series, kept beside each vector: how far its correlations are to be shrunk.
SHRINKAGE = "shrinkage"

# UK Biobank's time series and matrices, and atlases of ABIDE's time series.
Source = (
    Literal[31014, 31015, 31016, 31018, 31019, 25750, 25751, 25752, 25753]
    | Literal["aal", "cc200", "cc400", "dosenbach160", "ez", "ho", "tt"]
)

# FA is a physical measure, so all volumes share one scale; about its mean and SD in the brain.
FA_CENTRE, FA_SPREAD = 0.25, 0.15
# An image that fills less of the grid than this was registered to the wrong place.
LEAST_FILLED = 0.08
# So many people's files tell which regions a cohort has.
ENOUGH = 25


class ImagingPreprocess(Settings):
    """The common grid and the source of connectivity.

    Attributes
    ----------
    shape : tuple of int
        Voxels of the common grid in x, y and z.
    voxel_mm : float
        Their edge.
    centre_mm : tuple of float
        Middle of the grid in MNI space.
    averaged : int
        Volumes are resampled to a grid so many times as fine, of which cubes are averaged, so that
        a coarse grid loses no signal between its points; 1 samples at the points.
    clamp_percentiles : tuple of float
        T1 and FLAIR are clamped at these percentiles of the brain before they are z-scored.
    connectivity_field : int or str
        Time series (31014 to 31019 but for 31017, the global signal), one of UK Biobank's own
        matrices (25750 to 25753), or an atlas of ABIDE's time series (cc200, ho, …).
    atlas : str, optional
        Of the time series, such as ``Glasser``; must be given where a zip holds several.
    most_regions_missing : float
        Share of the cohort's regions that a person may lack. Their correlations are filled with
        the mean of each fold's training people; who lacks more is left out.
    """

    shape: tuple[int, int, int]
    voxel_mm: float = Field(gt=0)
    centre_mm: tuple[float, float, float] = (0.0, -18.0, 8.0)
    averaged: int = Field(default=1, ge=1, le=4)
    clamp_percentiles: tuple[float, float] = (0.5, 99.5)
    connectivity_field: Source = 31016
    atlas: str | None = None
    most_regions_missing: float = Field(default=0.05, ge=0, lt=1)

    @property
    def fields(self) -> dict[str, int]:
        """Bulk field of each modality."""
        source = self.connectivity_field
        number = ROI_FIELDS[source] if isinstance(source, str) else source
        return {**VOLUME_FIELDS, CONNECTIVITY: number}

    @property
    def has_series(self) -> bool:
        """Whether connectivity is made of time series."""
        return self.connectivity_field in (*SERIES_FIELDS, *ROI_FIELDS)

    @property
    def members(self) -> dict[int, re.Pattern[str]]:
        """Pattern of the member that each field's zips must hold; text files have none."""
        named = {20252: T1_IMAGE, 20253: FLAIR_IMAGE, 20250: FA_IMAGE}
        needed = {f: re.compile(rf"(?:.*/)?{re.escape(m)}") for f, m in named.items()}
        if self.connectivity_field in SERIES_FIELDS:
            atlas = re.escape(self.atlas) if self.atlas else ".+"
            needed[self.fields[CONNECTIVITY]] = re.compile(rf"(?:.*/)?fMRI\.{atlas}\.csv\.gz")
        return needed

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel to world of the common grid."""
        return common_grid(self.shape, self.voxel_mm, self.centre_mm)


@dataclass(frozen=True)
class Visit:
    """One person's bulk files of one visit."""

    key: Key
    files: Mapping[int, BulkFile]


@dataclass(frozen=True)
class Parcellation:
    """Regions of the cohort's connectivity.

    Attributes
    ----------
    labels : tuple of str
        In the order in which vectors have them; empty for matrices without labels.
    edges : int
        Length of a connectivity vector; 0 where nobody has one.
    """

    labels: tuple[str, ...] = ()
    edges: int = 0


@dataclass(frozen=True)
class Batch:
    """Some visits that one worker preprocesses."""

    visits: tuple[Visit, ...]
    settings: ImagingPreprocess
    parcellation: Parcellation
    volumes: Path
    connectivity: Path


def flirt_transform(matrix: NDArray[np.float64], moving: nib.Nifti1Image) -> LinearTransform:
    """Read a FLIRT matrix as an affine in world coordinates.

    Parameters
    ----------
    matrix : ndarray of shape (4, 4)
        As stored by FLIRT; takes `moving` to FSL's MNI152 at 1 mm.
    moving : nibabel.Nifti1Image
        The image that was registered. Both images are needed: FLIRT's coordinates depend on
        their shapes and voxel sizes.

    Returns
    -------
    nitransforms.linear.Affine
        From the reference's world coordinates to those of `moving`.
    """
    shape, affine = fsl_mni()
    reference = nib.Nifti1Image(np.broadcast_to(np.uint8(0), shape), affine)
    stored = FSLLinearTransform()
    stored["parameters"] = matrix
    return LinearTransform(stored.to_ras(moving=moving, reference=reference), reference=reference)


def to_common_grid(
    image: nib.Nifti1Image, transform: LinearTransform, settings: ImagingPreprocess
) -> Volume:
    """Resample an image once into the common grid, by linear interpolation, and average cubes.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        Native or MNI space.
    transform : nitransforms.linear.Affine
        From MNI world coordinates to those of the image.
    settings : ImagingPreprocess
        The grid.

    Returns
    -------
    ndarray of shape settings.shape
        Intensities; 0 outside the image.
    """
    n, (x, y, z) = settings.averaged, settings.shape
    fine = (n * x, n * y, n * z)
    affine = common_grid(fine, settings.voxel_mm / n, settings.centre_mm)
    grid = nib.Nifti1Image(np.zeros(fine, dtype=np.float32), affine)
    moved = resample(transform, image, reference=grid, order=1, mode="constant", cval=0.0)
    values = np.asarray(moved.dataobj, dtype=np.float32)
    return values.reshape(x, n, y, n, z, n).mean(axis=(1, 3, 5))


def normalise(volume: Volume, percentiles: tuple[float, float]) -> Volume:
    """Clamp at percentiles of the brain and z-score within it.

    Parameters
    ----------
    volume : ndarray of shape (X, Y, Z)
        Brain-extracted: 0 outside the brain.
    percentiles : (float, float)
        Where to clamp.

    Returns
    -------
    ndarray of shape (X, Y, Z)
        Mean 0 and SD 1 within the brain; outside, where no signal lies on that scale.

    Raises
    ------
    ScanError
        If there is nothing to scale.
    """
    inside = volume > 0
    if inside.mean() < LEAST_FILLED:
        raise ScanError("broken", f"fills {inside.mean():.0%} of the common grid")
    low, high = np.percentile(volume[inside], percentiles)
    values = np.clip(volume[inside], low, high)
    if values.std() == 0:
        raise ScanError("broken", "all voxels of the brain are equal")
    scaled = np.where(inside, np.clip(volume, low, high), 0.0)
    return ((scaled - values.mean()) / values.std()).astype(np.float32)


def _measures(raw: Volume, voxel_mm: float) -> dict[str, float]:
    inside = raw > 0
    values = raw[inside]
    return {
        "brain_ml": float(inside.sum() * voxel_mm**3 / 1000),
        "mean_intensity": float(values.mean()) if inside.any() else 0.0,
        "coefficient_of_variation": float(values.std() / values.mean()) if inside.any() else 0.0,
    }


def _file(visit: Visit, field: int) -> BulkFile:
    if field not in visit.files:
        raise ScanError("missing", "no bulk file")
    return visit.files[field]


def _volume(
    modality: str, visit: Visit, settings: ImagingPreprocess
) -> tuple[NDArray[np.float16], dict[str, float]]:
    file = _file(visit, VOLUME_FIELDS[modality])
    if modality == "dwi":
        image, transform = file.image(FA_IMAGE), LinearTransform(np.eye(4))
    else:
        image = file.image(T1_IMAGE if modality == "t1" else FLAIR_IMAGE)
        # FLAIR is already in T1 space, so the same matrix takes both to MNI.
        t1 = _file(visit, VOLUME_FIELDS["t1"])
        transform = flirt_transform(t1.matrix(T1_MATRIX), image)
    raw = to_common_grid(image, transform, settings)
    measures = _measures(raw, settings.voxel_mm)
    if modality == "dwi":
        if (raw > 0).mean() < LEAST_FILLED:
            raise ScanError("broken", f"fills {(raw > 0).mean():.0%} of the common grid")
        volume = (np.clip(raw, 0, 1) - FA_CENTRE) / FA_SPREAD
    else:
        volume = normalise(raw, settings.clamp_percentiles)
    return volume.astype(np.float16), measures


def find_parcellation(visits: Sequence[Visit], settings: ImagingPreprocess) -> Parcellation:
    """Find the regions that most people have, from the first files that can be read.

    Parameters
    ----------
    visits : sequence of Visit
        Sorted, so that the same cohort gives the same answer.
    settings : ImagingPreprocess
        Field and atlas.

    Returns
    -------
    Parcellation
        Of the majority. Labels are sorted, so that no file's order matters.
    """
    found: Counter[Parcellation] = Counter()
    for visit in visits:
        try:
            file = _file(visit, settings.fields[CONNECTIVITY])
            if settings.has_series:
                labels = tuple(sorted(file.time_series(settings.atlas).labels))
                found[Parcellation(labels, len(labels) * (len(labels) - 1) // 2)] += 1
            else:
                found[Parcellation((), len(vector_of_matrix_file(file.text())))] += 1
        except (ScanError, InputError):
            continue
        if found.total() >= ENOUGH:
            break
    # Of equally frequent ones the larger, so that nothing is lost.
    return max(found, key=lambda p: (found[p], p.edges), default=Parcellation())


def _vector(
    visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> tuple[NDArray[np.float32], dict[str, float]]:
    file = _file(visit, settings.fields[CONNECTIVITY])
    try:
        if settings.has_series:
            return _vector_of_series(file.time_series(settings.atlas), settings, cohort)
        vector = vector_of_matrix_file(file.text())
    except InputError as error:
        raise ScanError("broken", str(error)) from error
    if len(vector) != cohort.edges:
        raise ScanError("broken", f"{len(vector)} numbers, most have {cohort.edges}")
    return vector, {"mean_connectivity": float(vector.mean()), "regions": nodes_of(len(vector))}


def _vector_of_series(
    series: TimeSeries, settings: ImagingPreprocess, cohort: Parcellation
) -> tuple[NDArray[np.float32], dict[str, float]]:
    values = matched(series.labels, series.values, cohort.labels)
    there, wanted = int(regions_there(values).sum()), len(cohort.labels)
    if wanted - there > settings.most_regions_missing * wanted:
        raise ScanError("broken", f"{there} of {wanted} regions have a time series that varies")
    vector = fisher_z_of_time_series(values)
    measures: dict[str, float] = {"mean_connectivity": float(np.nanmean(vector))}
    measures |= {"regions": there, "regions_of": wanted}
    return vector, measures | {SHRINKAGE: shrinkage_of_time_series(values)}


def _fingerprint(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> str:
    needed = {settings.fields[modality]}
    if modality == "flair":
        needed.add(VOLUME_FIELDS["t1"])
    parts = [f"{f}:{visit.files[f].fingerprint}" for f in sorted(needed) if f in visit.files]
    regions = f"{SHRINKAGE}{cohort.labels}{cohort.edges}" if modality == CONNECTIVITY else ""
    text = settings.model_dump_json() + modality + "|".join(parts) + regions
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def preprocess_batch(batch: Batch) -> list[dict[str, Any]]:
    """Preprocess some visits; what is already in the stores and unchanged is not made again.

    Parameters
    ----------
    batch : Batch
        Visits and where results go.

    Returns
    -------
    list of dict
        One row of the quality table a visit and modality. A scan that cannot be used is a row
        with its reason, never an error.
    """
    volumes, connectivity = RecordStore(batch.volumes), RecordStore(batch.connectivity)
    rows = []
    for visit in batch.visits:
        for modality in batch.settings.fields:
            store = connectivity if modality == CONNECTIVITY else volumes
            rows.append(_one(modality, visit, batch, store))
    return rows


def _one(modality: str, visit: Visit, batch: Batch, store: RecordStore) -> dict[str, Any]:
    settings, cohort = batch.settings, batch.parcellation
    row: dict[str, Any] = {"eid": visit.key[0], "instance": visit.key[1], "modality": modality}
    array: NDArray[np.generic]
    try:
        fingerprint = _fingerprint(modality, visit, settings, cohort)
        there = store.about(modality, visit.key)
        if there and there["fingerprint"] == fingerprint:
            return row | {"status": "ok", "reason": ""} | there["measures"]
        if modality == CONNECTIVITY:
            array, measures = _vector(visit, settings, cohort)
        else:
            array, measures = _volume(modality, visit, settings)
    except ScanError as error:
        # An older record of a scan that is no longer usable must not be read by training.
        store.discard(modality, visit.key)
        return row | {"status": error.status, "reason": str(error)}
    store.write(modality, visit.key, array, {"fingerprint": fingerprint, "measures": measures})
    return row | {"status": "ok", "reason": ""} | measures


def mean_volume(store: RecordStore, modality: str, keys: list[Key]) -> Volume:
    """Average volumes one at a time.

    Parameters
    ----------
    store : RecordStore
        Of volumes.
    modality : str
        Name of the modality.
    keys : list of (int, int)
        People and visits; at least one.

    Returns
    -------
    ndarray of shape (X, Y, Z)
        Their mean.
    """
    total = np.zeros_like(store.read(modality, keys[0]), dtype=np.float64)
    for key in keys:
        total += store.read(modality, key).astype(np.float64)
    return (total / len(keys)).astype(np.float32)
