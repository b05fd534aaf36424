"""Readers of modalities: from one visit's bulk files to a normalised volume or a vector."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import nibabel as nib
import numpy as np
import torch
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
from ukb_brain.imaging.connectome import edges_of, parse_connectome
from ukb_brain.imaging.intensity import EQUAL, Code, Values, scaled
from ukb_brain.imaging.modalities import CONNECTIVITY, CONNECTOME, MNI, NUMBERS, ImagingPreprocess
from ukb_brain.imaging.quality import (
    Measures,
    measures_of_image,
    measures_of_place,
    template_brain,
)
from ukb_brain.imaging.regions import connectome_labels
from ukb_brain.imaging.resampling import Interpolation, resample
from ukb_brain.imaging.store import Key
from ukb_brain.imaging.tangent import shrinkage_of_time_series
from ukb_brain.imaging.time_series import TimeSeries


class Read(NamedTuple):
    """A record's array, what was measured of it, and what its numbers stand for if in 8 bits."""

    array: NDArray[Any]
    measures: Mapping[str, float | str]
    code: Code | None = None


# Of scans' numbers, those in which every device can look values up.
TAKEN_BY_ALL = (torch.uint8, torch.int16, torch.float32)
# Measured of time series, kept beside each vector: how far its correlations are to be shrunk.
SHRINKAGE = "shrinkage"
# Measured of numbers of the main table: how many a visit has, and of how many.
NUMBERS_THERE, NUMBERS_OF = "numbers", "numbers_of"
# An image that fills less of the grid than this was registered to the wrong place.
LEAST_FILLED = 0.08
# One voxel in so many is looked at first.
SPARSELY = 101
# Source voxels; a matrix that leads farther was not read right.
FARTHEST = 1e6
# Edges of a scan's voxels; smaller ones would be averaged for ever.
SMALLEST_MM, LARGEST_MM = 0.25, 25.0
# So many people's files tell which regions a cohort has.
ENOUGH = 25


@dataclass(frozen=True)
class Visit:
    """One person's bulk files of a visit, by field, and numbers of the main table, by modality."""

    key: Key
    files: Mapping[int, BulkFile]
    numbers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def file(self, field: int) -> BulkFile:
        """Give the file of a field; raises `ScanError` where there is none."""
        if field not in self.files:
            raise ScanError("missing", "no bulk file")
        return self.files[field]


@dataclass(frozen=True)
class Parcellation:
    """Regions of the cohort between which a modality has edges.

    Attributes
    ----------
    labels : tuple of str
        In the order in which vectors have them; empty where their names are not known.
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
    # Needed where scans are read from files, and nowhere that models are trained.
    from nitransforms.io.fsl import FSLLinearTransform

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
    only_inside: bool = False,
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
    only_inside : bool
        Whether intensities are wanted inside alone, which is quicker.

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
    source = _on_device(np.asarray(image.dataobj).T[None])
    edge = float(np.cbrt(abs(np.linalg.det(image.affine[:3, :3]))))
    if not SMALLEST_MM <= edge <= LARGEST_MM:
        raise ScanError("broken", f"its voxels of {edge:.3g} mm are no scan's")
    growth = settings.voxel_mm / edge
    how = (settings.shape, growth, settings.filter, interpolation, only_inside)
    values, inside = resample(source, to_source, *how)
    return values[0].cpu().numpy(), inside[0].cpu().numpy()


def _on_device(array: NDArray[Any]) -> torch.Tensor:
    """Put numbers where torch makes tensors; single precision is enough, and Apple's most."""
    tensor, device = torch.from_numpy(array), torch.get_default_device()
    if device.type == "cpu":
        return tensor
    return (tensor if tensor.dtype in TAKEN_BY_ALL else tensor.float()).to(device)


def read_volume(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    """Read an image into the common grid; its measures are from before scaling."""
    record = settings.modalities[modality]
    file = visit.file(settings.fields[modality])
    image = file.image(file.held(record.member), may_be_empty=record.sparse)
    world = np.eye(4)
    if record.space != MNI:
        registered = visit.file(settings.fields[record.space])
        world = flirt_to_world(registered.matrix(settings.modalities[record.space].matrix), image)
    volume, inside = to_common_grid(
        image, world, settings, record.interpolation, only_inside=not record.sparse
    )
    if record.sparse:
        # What is nothing of a mask is a value as well as what is all of it.
        inside = np.ones_like(inside)
    places = np.flatnonzero(inside)
    filled = len(places) / inside.size
    if filled < LEAST_FILLED:
        raise ScanError("broken", f"fills {filled:.0%} of the common grid")
    # Labels may all be one.
    labels = record.sparse or record.interpolation == "nearest"
    if not labels and _is_flat(np.asarray(image.dataobj)):
        raise ScanError("broken", EQUAL)
    brain = volume.reshape(-1)[places]
    values, outside = scaled(brain, record.intensity, settings.clamp_percentiles)
    measures = _measures(brain, settings.voxel_mm**3 / 1000, record.sparse)
    measures |= measures_of_image(np.asarray(image.dataobj)) | dict(image.extra)
    if not record.sparse:
        template = template_brain(settings.shape, settings.voxel_mm, settings.centre_mm)
        measures |= measures_of_place(inside, template)
    if settings.stored == "float16":
        return Read(_filled(inside.shape, places, values.astype(np.float16), outside), measures)
    code = Code.of(min(float(values.min()), outside), max(float(values.max()), outside))
    empty = code.encode(np.array([outside], dtype=np.float32))
    return Read(_filled(inside.shape, places, code.encode(values), empty), measures, code)


def _is_flat(data: NDArray[Any]) -> bool:
    """Whether all voxels that are not 0 are equal."""
    flat = data.reshape(-1, order="F")
    # Nearly every scan is told by a few of its voxels.
    for part in (flat[::SPARSELY], flat):
        filled = part[part != 0]
        if len(filled) and filled.min() != filled.max():
            return False
    return True


def _measures(brain: Values, voxel_ml: float, sparse: bool) -> Measures:
    if sparse:
        return {"volume_ml": float(brain.sum(dtype=np.float64) * voxel_ml)}
    mean = float(brain.mean())
    return {
        "brain_ml": float(len(brain) * voxel_ml),
        "mean_intensity": mean,
        "coefficient_of_variation": float(brain.std()) / mean if mean else 0.0,
    }


def _filled(
    shape: tuple[int, ...], places: NDArray[np.intp], values: NDArray[Any], elsewhere: Any
) -> NDArray[Any]:
    out = np.full(shape, elsewhere, dtype=values.dtype)
    out.reshape(-1)[places] = values
    return out


def find_parcellations(
    visits: Sequence[Visit], settings: ImagingPreprocess
) -> dict[str, Parcellation]:
    """Find the regions that most people have, of each modality that is edges between regions.

    They are of the first files that can be read. Labels of time series are sorted, so that no
    file's order matters; visits must be, so that the same cohort gives the same answer.
    """
    regions = {key: READERS[record.reader].regions for key, record in settings.modalities.items()}
    return {key: _most(key, of, visits, settings) for key, of in regions.items() if of is not None}


def _most(
    modality: str, regions: "Regions", visits: Sequence[Visit], settings: ImagingPreprocess
) -> Parcellation:
    found: Counter[Parcellation] = Counter()
    for visit in visits:
        try:
            found[regions(modality, visit.file(settings.fields[modality]), settings)] += 1
        except (ScanError, InputError):
            continue
        if found.total() >= ENOUGH:
            break
    # Of equally frequent ones the larger, so that nothing is lost.
    return max(found, key=lambda p: (found[p], p.edges), default=Parcellation())


def regions_of_connectivity(
    modality: str, file: BulkFile, settings: ImagingPreprocess
) -> Parcellation:
    """Tell the regions of one person's time series, or how many a matrix is of."""
    if modality not in settings.series:
        return Parcellation((), len(vector_of_matrix_file(file.text())))
    labels = tuple(sorted(file.time_series(settings.series[modality].atlas).labels))
    return Parcellation(labels, len(labels) * (len(labels) - 1) // 2)


def read_connectivity(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    """Make a vector of time series, or take one of UK Biobank's own matrices as it is."""
    file = visit.file(settings.fields[modality])
    try:
        if modality in settings.series:
            series = file.time_series(settings.series[modality].atlas)
            return _vector_of_series(series, settings, cohort)
        vector = vector_of_matrix_file(file.text())
    except InputError as error:
        raise ScanError("broken", str(error)) from error
    if len(vector) != cohort.edges:
        raise ScanError("broken", f"{len(vector)} numbers, most have {cohort.edges}")
    measures = {"mean_connectivity": float(vector.mean()), "regions": nodes_of(len(vector))}
    return Read(vector, measures)


def _vector_of_series(
    series: TimeSeries, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    values = matched(series.labels, series.values, cohort.labels)
    there, wanted = int(regions_there(values).sum()), len(cohort.labels)
    if wanted - there > settings.most_regions_missing * wanted:
        raise ScanError("broken", f"{there} of {wanted} regions have a time series that varies")
    vector = fisher_z_of_time_series(values)
    measures = {"mean_connectivity": float(np.nanmean(vector)), "regions": there}
    measures |= {"regions_of": wanted, SHRINKAGE: shrinkage_of_time_series(values)}
    return Read(vector, measures)


def regions_of_connectome(
    modality: str, file: BulkFile, settings: ImagingPreprocess
) -> Parcellation:
    """Tell the regions of one person's structural connectome, named where its field's are known."""
    regions = len(_connectome(modality, file, settings))
    labels = connectome_labels(settings.fields[modality])
    return Parcellation(labels if len(labels) == regions else (), regions * (regions - 1) // 2)


def read_connectome(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    """Make a vector of a structural connectome: an edge for each two regions."""
    matrix = _connectome(modality, visit.file(settings.fields[modality]), settings)
    vector = edges_of(matrix, settings.modalities[modality].scale)
    if len(vector) != cohort.edges:
        raise ScanError("broken", f"{len(matrix)} regions, most have {nodes_of(cohort.edges)}")
    # Of a region outside the scan there is no streamline.
    np.fill_diagonal(matrix, 0)
    there, wanted = int(matrix.any(axis=1).sum()), len(matrix)
    if wanted - there > settings.most_regions_missing * wanted:
        raise ScanError("broken", f"{there} of {wanted} regions have a streamline to another")
    return Read(vector, {"mean_connectivity": float(vector.mean()), "regions": there})


def _connectome(modality: str, file: BulkFile, settings: ImagingPreprocess) -> NDArray[np.float64]:
    try:
        return parse_connectome(file.table(file.held(settings.modalities[modality].member)))
    except InputError as error:
        raise ScanError("broken", str(error)) from error


def read_numbers(
    modality: str, visit: Visit, settings: ImagingPreprocess, cohort: Parcellation
) -> Read:
    """Take a visit's numbers of the main table, NaN where one is missing."""
    values = visit.numbers[modality]
    there, wanted = int(np.isfinite(values).sum()), len(values)
    if not there:
        raise ScanError("missing", "no number in the main table")
    if wanted - there > settings.modalities[modality].most_missing * wanted:
        raise ScanError("missing", f"{there} of {wanted} numbers are in the main table")
    return Read(values, {NUMBERS_THERE: there, NUMBERS_OF: wanted})


Regions = Callable[[str, BulkFile, ImagingPreprocess], Parcellation]


class Reader(NamedTuple):
    """A function that reads a visit's scan, and the store that its arrays go to.

    Where they are edges between regions, ``regions`` tells these of one file.
    """

    read: Callable[[str, Visit, ImagingPreprocess, Parcellation], Read]
    store: Literal["volumes", "vectors"]
    regions: Regions | None = None


READERS: dict[str, Reader] = {
    "volume": Reader(read_volume, "volumes"),
    CONNECTIVITY: Reader(read_connectivity, "vectors", regions_of_connectivity),
    CONNECTOME: Reader(read_connectome, "vectors", regions_of_connectome),
    NUMBERS: Reader(read_numbers, "vectors"),
}


def stored_in(store: Literal["volumes", "vectors"], settings: ImagingPreprocess) -> list[str]:
    """List the modalities whose records a store has."""
    records = settings.modalities.items()
    return [key for key, record in records if READERS[record.reader].store == store]
