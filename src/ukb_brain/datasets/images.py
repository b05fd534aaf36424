"""NIfTI images and figures, whole or not there."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
from kedro_datasets._typing import ImagePreview
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.partitions import PartitionedDataset
from matplotlib.figure import Figure

from ukb_brain.atomic import atomic_path
from ukb_brain.datasets.folders import PlacedDataset


class NiftiDataset(PlacedDataset):
    """One image as ``.nii.gz``."""

    def load(self) -> nib.Nifti1Image:
        """Open the image; its values are read when they are asked for."""
        return nib.Nifti1Image.from_filename(self._filepath)

    def save(self, data: nib.Nifti1Image) -> None:
        """Write the image whole or not at all."""
        with atomic_path(self._filepath) as part:
            nib.save(data, part)

    def preview(self) -> ImagePreview:
        """Draw the three middle slices for kedro-viz, as a PNG in base64."""
        return _slices([self.load()])

    def _exists(self) -> bool:
        return self._filepath.exists()


class NiftiFolderDataset(PartitionedDataset):
    """Images by name, one ``.nii.gz`` each."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        ending = ".nii.gz"
        super().__init__(path=path, dataset=NiftiDataset, filename_suffix=ending, metadata=metadata)

    def load(self) -> dict[str, Callable[[], nib.Nifti1Image]]:
        """Give what opens each image, by name; nothing where a grid has no volumes."""
        return super().load() if self._list_partitions() else {}

    def preview(self) -> ImagePreview:
        """Draw each image's three middle slices for kedro-viz, a row each."""
        return _slices([load() for _, load in sorted(self.load().items())])


def _slices(images: Sequence[nib.Nifti1Image]) -> ImagePreview:
    figure = Figure(figsize=(7.5, 2.8 * len(images)), facecolor="black", layout="constrained")
    for image, row in zip(images, figure.subplots(len(images), 3, squeeze=False), strict=True):
        volume = np.asarray(image.dataobj, dtype=np.float32)
        low, high = np.percentile(volume, (1, 99.5))
        for axis, panel in enumerate(row):
            middle = volume.take(volume.shape[axis] // 2, axis=axis)
            panel.imshow(middle.T, origin="lower", cmap="gray", vmin=low, vmax=high)
            panel.set_axis_off()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80)
    return ImagePreview(base64.b64encode(picture.getvalue()).decode())


class FigureDataset(MatplotlibDataset):
    """A matplotlib figure saved as PNG; Kedro-Viz shows it as a picture.

    The file names no program version, so that the same figure gives the same bytes.
    """

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {
        "format": "png",
        "dpi": 150,
        "facecolor": "white",
        "metadata": {"Software": None},
    }

    def _save_to_fs(self, full_key_path: str, plot: Figure) -> None:
        with atomic_path(full_key_path) as partial:
            plot.savefig(partial, **self._save_args)
