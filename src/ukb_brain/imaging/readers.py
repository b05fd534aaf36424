"""Readers of modalities: from one visit's bulk files to a normalised volume or a vector."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import nibabel as nib
import numpy as np
from nitransforms.io.fsl import FSLLinearTransform
from nitransforms.linear import Affine as LinearTransform
from nitransforms.resampling import apply as resample
from numpy.typing import NDArray

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
from ukb_brain.imaging.modalities import MNI, ImagingPreprocess, Scale
from ukb_brain.imaging.store import Key
from ukb_brain.imaging.tangent import shrinkage_of_time_series

Volume = NDArray[np.float32]
Read = tuple[NDArray[Any], dict[str, float]]

# Measured of time series, kept beside each vector: how far its correlations are to be shrunk.
SHRINKAGE = "shrinkage"
# An image that fills less of the grid than this was registered to the wrong place.
LEAST_FILLED = 0.08
# So many people's files tell which regions a cohort has.
ENOUGH = 25
ORDER = {"nearest": 0, "linear": 1}


@dataclass(frozen=True)
class Visit:
    """One person's bulk files of one visit, by field."""

    key: Key
    files: Mapping[int, BulkFile]

    def file(self, field: int) -> BulkFile:
        """Give the file of a field; raises `ScanError` where there is none."""
        if field not in self.files:
            raise ScanError("missing", "no bulk file")
        return self.files[field]


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


def flirt_transform(matrix: NDArray[np.float64], moving: nib.Nifti1Image) -> LinearTransform:
    """Read a FLIRT matrix as an affine from MNI world coordinates to those of an image.

    Parameters
    ----------
    matrix : ndarray of shape (4, 4)
        As stored by FLIRT; takes `moving` to FSL's MNI152 at 1 mm.
    moving : nibabel.Nifti1Image
        The image that was registered: FLIRT's coordinates depend on its shape and voxel size.
    """
    shape, affine = fsl_mni()
    reference = nib.Nifti1Image(np.broadcast_to(np.uint8(0), shape), affine)
    stored = FSLLinearTransform()
    stored["parameters"] = matrix
    return LinearTransform(stored.to_ras(moving=moving, reference=reference), reference=reference)


def to_common_grid(
    image: nib.Nifti1Image,
    transform: LinearTransform,
    settings: ImagingPreprocess,
    interpolation: Literal["linear", "nearest"] = "linear",
) -> Volume:
    """Resample an image once into the common grid, and average cubes.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        Native or MNI space.
    transform : nitransforms.linear.Affine
        From MNI world coordinates to those of the image.
    settings : ImagingPreprocess
        The grid.
    interpolation : {"linear", "nearest"}

    Returns
    -------
    ndarray of shape settings.shape
        Intensities; 0 outside the image.
    """
    n, (x, y, z) = settings.averaged, settings.shape
    fine = (n * x, n * y, n * z)
    affine = common_grid(fine, settings.voxel_mm / n, settings.centre_mm)
    grid = nib.Nifti1Image(np.zeros(fine, dtype=np.float32), affine)
    order = ORDER[interpolation]
    moved = resample(transform, image, reference=grid, order=order, mode="constant", cval=0.0)
    values = np.asarray(moved.dataobj, dtype=np.float32)
    return values.reshape(x, n, y, n, z, n).mean(axis=(1, 3, 5))


def scaled(
    volume: Volume, intensity: Literal["z_score"] | Scale, percentiles: tuple[float, float]
) -> Volume:
    """Put a brain's intensities on a scale.

    Parameters
    ----------
    volume : ndarray of shape (X, Y, Z)
        Brain-extracted: 0 outside the brain.
    intensity : {"z_score"} or Scale
        As a modality's record has it.
    percentiles : (float, float)
        Of the brain, at which a z-score clamps.

    Returns
    -------
    ndarray of shape (X, Y, Z)
        Outside the brain, where no signal lies on that scale. A z-score has mean 0 and SD 1 within.

    Raises
    ------
    ScanError
        If there is nothing to scale.
    """
    inside = volume > 0
    if inside.mean() < LEAST_FILLED:
        raise ScanError("broken", f"fills {inside.mean():.0%} of the common grid")
    if isinstance(intensity, Scale):
        return (np.clip(volume, *intensity.clamp) - intensity.centre) / intensity.spread
    low, high = np.percentile(volume[inside], percentiles)
    values = np.clip(volume[inside], low, high)
    if values.std() == 0:
        raise ScanError("broken", "all voxels of the brain are equal")
    clamped = np.where(inside, np.clip(volume, low, high), 0.0)
    return ((clamped - values.mean()) / values.std()).astype(np.float32)


def read_volume(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    """Read an image into the common grid; its measures are of the brain before scaling."""
    record = settings.modalities[modality]
    image = visit.file(settings.fields[modality]).image(record.member)
    transform = LinearTransform(np.eye(4))
    if record.space != MNI:
        registered = visit.file(settings.fields[record.space])
        matrix = registered.matrix(settings.modalities[record.space].matrix)
        transform = flirt_transform(matrix, image)
    raw = to_common_grid(image, transform, settings, record.interpolation)
    inside = raw[raw > 0]
    mean = float(inside.mean()) if inside.size else 0.0
    measures = {
        "brain_ml": float(inside.size * settings.voxel_mm**3 / 1000),
        "mean_intensity": mean,
        "coefficient_of_variation": float(inside.std() / inside.mean()) if inside.size else 0.0,
    }
    volume = scaled(raw, record.intensity, settings.clamp_percentiles)
    return volume.astype(np.float16), measures


def find_parcellation(visits: Sequence[Visit], settings: ImagingPreprocess) -> Parcellation:
    """Find the regions that most people have, from the first files that can be read.

    Labels are sorted, so that no file's order matters; visits must be, so that the same cohort
    gives the same answer.
    """
    found: Counter[Parcellation] = Counter()
    for visit in visits:
        try:
            file = visit.file(settings.source)
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


def read_connectivity(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    """Make a vector of time series, or take one of UK Biobank's own matrices as it is."""
    file = visit.file(settings.fields[modality])
    try:
        if settings.has_series:
            return _vector_of_series(file, settings, cohort)
        vector = vector_of_matrix_file(file.text())
    except InputError as error:
        raise ScanError("broken", str(error)) from error
    if len(vector) != cohort.edges:
        raise ScanError("broken", f"{len(vector)} numbers, most have {cohort.edges}")
    return vector, {"mean_connectivity": float(vector.mean()), "regions": nodes_of(len(vector))}


def _vector_of_series(file: BulkFile, settings: ImagingPreprocess, cohort: Parcellation) -> Read:
    series = file.time_series(settings.atlas)
    values = matched(series.labels, series.values, cohort.labels)
    there, wanted = int(regions_there(values).sum()), len(cohort.labels)
    if wanted - there > settings.most_regions_missing * wanted:
        raise ScanError("broken", f"{there} of {wanted} regions have a time series that varies")
    vector = fisher_z_of_time_series(values)
    measures = {"mean_connectivity": float(np.nanmean(vector)), "regions": there}
    measures |= {"regions_of": wanted, SHRINKAGE: shrinkage_of_time_series(values)}
    return vector, measures


class Reader(NamedTuple):
    """A function that reads a visit's scan, and the store that its arrays go to."""

    read: Callable[[str, Visit, ImagingPreprocess, Parcellation], Read]
    store: Literal["volumes", "connectivity"]


READERS: dict[str, Reader] = {
    "volume": Reader(read_volume, "volumes"),
    "connectivity": Reader(read_connectivity, "connectivity"),
}


def stored_in(store: Literal["volumes", "connectivity"], settings: ImagingPreprocess) -> list[str]:
    """List the modalities whose records a store has."""
    records = settings.modalities.items()
    return [key for key, record in records if READERS[record.reader].store == store]
