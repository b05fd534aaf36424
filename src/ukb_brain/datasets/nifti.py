"""NIfTI images."""

from pathlib import Path
from typing import Any

import nibabel as nib
from kedro.io import AbstractDataset

from ukb_brain.datasets.atomic import atomic_path


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

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
