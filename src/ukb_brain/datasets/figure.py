"""Figures as PNG files that are whole or not there."""

from __future__ import annotations

from typing import Any, ClassVar

from kedro_datasets.matplotlib import MatplotlibDataset
from matplotlib.figure import Figure

from ukb_brain.atomic import atomic_path


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
