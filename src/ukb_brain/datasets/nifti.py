"""NIfTI images."""

import base64
import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure

from ukb_brain.atomic import atomic_path


class NiftiDataset(AbstractDataset[nib.Nifti1Image, nib.Nifti1Image]):
    """One image as ``.nii.gz``.

    Parameters
    ----------
    filepath : str
        Ends in ``.nii.gz``.
    metadata : dict, optional
        For kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> nib.Nifti1Image:
        """Read the image lazily.

        Returns
        -------
        nibabel.Nifti1Image
            Its values are read when they are asked for.
        """
        return nib.Nifti1Image.from_filename(self._filepath)

    def save(self, data: nib.Nifti1Image) -> None:
        """Write the image whole or not at all.

        Parameters
        ----------
        data : nibabel.Nifti1Image
            The image.
        """
        with atomic_path(self._filepath) as part:
            nib.save(data, part)

    def preview(self) -> ImagePreview:
        """Draw the three middle slices for kedro-viz.

        Returns
        -------
        ImagePreview
            A PNG, in base64.
        """
        volume = np.asarray(self.load().dataobj, dtype=np.float32)
        low, high = np.percentile(volume, (1, 99.5))
        figure = Figure(figsize=(7.5, 2.8), facecolor="black", layout="constrained")
        for axis, panel in enumerate(figure.subplots(1, 3)):
            middle = volume.take(volume.shape[axis] // 2, axis=axis)
            panel.imshow(middle.T, origin="lower", cmap="gray", vmin=low, vmax=high)
            panel.set_axis_off()
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=80)
        return ImagePreview(base64.b64encode(picture.getvalue()).decode())

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
