"""A folder of NIfTI images."""

from pathlib import Path
from typing import Any

from kedro_datasets._typing import ImagePreview
from kedro_datasets.partitions import PartitionedDataset

from ukb_brain.datasets.nifti import NiftiDataset

ENDING = ".nii.gz"


class NiftiFolderDataset(PartitionedDataset):
    """Images by name, one ``.nii.gz`` each."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(path=path, dataset=NiftiDataset, filename_suffix=ENDING, metadata=metadata)

    def preview(self) -> ImagePreview:
        """Draw the first image for kedro-viz."""
        first = min(Path(self._path).glob(f"*{ENDING}"))
        return NiftiDataset(filepath=str(first)).preview()
