"""Figures as PNG files that are whole or not there."""

from __future__ import annotations

from typing import Any

from kedro_datasets.matplotlib import MatplotlibDataset
from matplotlib.figure import Figure

from ukb_brain.atomic import atomic_path


class FigureDataset(MatplotlibDataset):
    """A matplotlib figure saved as PNG; Kedro-Viz shows it as a picture.

    The file names no program version, so that the same figure gives the same bytes.

    Parameters
    ----------
    filepath : str
        Ends in ``.png``, on a local disk.
    dpi : int
        Dots an inch.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(
        self, *, filepath: str, dpi: int = 150, metadata: dict[str, Any] | None = None
    ) -> None:
        save_args = {
            "format": "png",
            "dpi": dpi,
            "facecolor": "white",
            "metadata": {"Software": None},
        }
        super().__init__(filepath=filepath, save_args=save_args, metadata=metadata)

    def _save_to_fs(self, full_key_path: str, plot: Figure) -> None:
        with atomic_path(full_key_path) as partial:
            plot.savefig(partial, **self._save_args)
