"""Readers of modalities: from one visit's bulk files to a normalised volume or a vector."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import nibabel as nib
import numpy as np
import torch
from nitransforms.io.fsl import FSLLinearTransform
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.imaging.affines import Affine, fsl_mni
from ukb_brain.imaging.bulk import BulkFile, ScanError
from ukb_brain.imaging.connectivity import (
    fisher_z_of_time_series,
    matched,
    nodes_of,
    regions_there,
    vector_of_matrix_file,
)
from ukb_brain.imaging.intensity import Code, Values, scaled
from ukb_brain.imaging.modalities import MNI, ImagingPreprocess
from ukb_brain.imaging.resampling import Interpolation, resample
from ukb_brain.imaging.store import Key
from ukb_brain.imaging.tangent import shrinkage_of_time_series


class Read(NamedTuple):
    """A record's array, what was measured of it, and what its numbers stand for if in 8 bits."""

    array: NDArray[Any]
    measures: dict[str, float]
    code: Code | None = None


# Measured of time series, kept beside each vector: how far its correlations are to be shrunk.
SHRINKAGE = "shrinkage"
# An image that fills less of the grid than this was registered to the wrong place.
LEAST_FILLED = 0.08
# Source voxels; a matrix that leads farther was not read right.
FARTHEST = 1e6
# Edges of a scan's voxels; smaller ones would be averaged for ever.
SMALLEST_MM, LARGEST_MM = 0.25, 25.0
# So many people's files tell which regions a cohort has.
ENOUGH = 25


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


def flirt_to_world(matrix: Affine, moving: nib.Nifti1Image) -> Affine:
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
    return np.asarray(stored.to_ras(moving=moving, reference=reference))


def to_common_grid(
    image: nib.Nifti1Image,
    world: Affine,
    settings: ImagingPreprocess,
    interpolation: Interpolation = "linear",
) -> tuple[Values, NDArray[np.bool_]]:
    """Resample an image once into the common grid.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        Native or MNI space.
    world : ndarray of shape (4, 4)
        From MNI world coordinates to those of the image.
    settings : ImagingPreprocess
        The grid and the filter.
    interpolation : {"linear", "nearest"}

    Returns
    -------
    volume : ndarray of shape settings.shape
        Intensities; 0 outside the image.
    inside : ndarray of shape settings.shape
        Where the image's nearest voxel is not 0, which is the brain of one that was extracted.

    Raises
    ------
    ScanError
        If the grid lies out of reach of numbers.
    """
    to_source = (np.linalg.inv(image.affine) @ world @ settings.affine)[None]
    if not (np.abs(to_source) < FARTHEST).all():
        raise ScanError("broken", "its place in MNI space is out of reach")
    source = torch.from_numpy(np.asarray(image.dataobj).T[None])
    edge = float(np.cbrt(abs(np.linalg.det(image.affine[:3, :3]))))
    if not SMALLEST_MM <= edge <= LARGEST_MM:
        raise ScanError("broken", f"its voxels of {edge:.3g} mm are no scan's")
    growth = settings.voxel_mm / edge
    how = (settings.shape, growth, settings.filter, interpolation)
    values, inside = resample(source, to_source, *how)
    return values[0].numpy(), inside[0].numpy()


def read_volume(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    """Read an image into the common grid; its measures are of the brain before scaling."""
    record = settings.modalities[modality]
    image = visit.file(settings.fields[modality]).image(record.member)
    world = np.eye(4)
    if record.space != MNI:
        registered = visit.file(settings.fields[record.space])
        world = flirt_to_world(registered.matrix(settings.modalities[record.space].matrix), image)
    volume, inside = to_common_grid(image, world, settings, record.interpolation)
    places = np.flatnonzero(inside)
    filled = len(places) / inside.size
    if filled < LEAST_FILLED:
        raise ScanError("broken", f"fills {filled:.0%} of the common grid")
    brain = volume.reshape(-1)[places]
    mean = float(brain.mean())
    measures = {
        "brain_ml": float(len(brain) * settings.voxel_mm**3 / 1000),
        "mean_intensity": mean,
        "coefficient_of_variation": float(brain.std()) / mean if mean else 0.0,
    }
    values, outside = scaled(brain, record.intensity, settings.clamp_percentiles)
    if settings.stored == "float16":
        return Read(_filled(inside.shape, places, values.astype(np.float16), outside), measures)
    code = Code.of(min(float(values.min()), outside), max(float(values.max()), outside))
    empty = code.encode(np.array([outside], dtype=np.float32))
    return Read(_filled(inside.shape, places, code.encode(values), empty), measures, code)


def _filled(
    shape: tuple[int, ...], places: NDArray[np.intp], values: NDArray[Any], elsewhere: Any
) -> NDArray[Any]:
    out = np.full(shape, elsewhere, dtype=values.dtype)
    out.reshape(-1)[places] = values
    return out


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
    measures = {"mean_connectivity": float(vector.mean()), "regions": nodes_of(len(vector))}
    return Read(vector, measures)


def _vector_of_series(file: BulkFile, settings: ImagingPreprocess, cohort: Parcellation) -> Read:
    series = file.time_series(settings.atlas)
    values = matched(series.labels, series.values, cohort.labels)
    there, wanted = int(regions_there(values).sum()), len(cohort.labels)
    if wanted - there > settings.most_regions_missing * wanted:
        raise ScanError("broken", f"{there} of {wanted} regions have a time series that varies")
    vector = fisher_z_of_time_series(values)
    measures = {"mean_connectivity": float(np.nanmean(vector)), "regions": there}
    measures |= {"regions_of": wanted, SHRINKAGE: shrinkage_of_time_series(values)}
    return Read(vector, measures)


class Reader(NamedTuple):
    """A function that reads a visit's scan, and the store that its arrays go to."""

    read: Callable[[str, Visit, ImagingPreprocess, Parcellation], Read]
    store: Literal["volumes", "vectors"]


READERS: dict[str, Reader] = {
    "volume": Reader(read_volume, "volumes"),
    "connectivity": Reader(read_connectivity, "vectors"),
}


def stored_in(store: Literal["volumes", "vectors"], settings: ImagingPreprocess) -> list[str]:
    """List the modalities whose records a store has."""
    records = settings.modalities.items()
    return [key for key, record in records if READERS[record.reader].store == store]
