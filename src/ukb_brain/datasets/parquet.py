"""Kedro's datasets for tables and text, made to write in full or not at all."""

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from kedro.io import DatasetError
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.text import TextDataset

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError


# These two are mixed into datasets of Kedro, whose methods a checker cannot know of them alone.
class _Atomic:
    """What is saved, each format by its `_write`, replaces what was there once it is whole."""

    def save(self, data: Any) -> None:
        """Write the file."""
        with atomic_path(self._get_save_path()) as partial:  # type: ignore[attr-defined]
            self._write(data, partial)  # type: ignore[attr-defined]
        self._invalidate_cache()  # type: ignore[attr-defined]


class _Optional:
    """A table that may be absent."""

    def load(self) -> pd.DataFrame:
        """Read the table; without rows and columns where there is no file."""
        there = self._exists()  # type: ignore[attr-defined]
        return super().load() if there else pd.DataFrame()  # type: ignore[misc]


class AtomicParquet(_Atomic, ParquetDataset):
    """A pandas table as Parquet."""

    def _write(self, data: pd.DataFrame, partial: Path) -> None:
        data.to_parquet(partial, **self._save_args)


class OptionalParquet(_Optional, AtomicParquet):
    """A table that another pipeline may have written."""


class AtomicCSV(_Atomic, CSVDataset):
    """A pandas table as CSV with its index as the first column."""

    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {"index_col": 0}
    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {"index": True}

    def _write(self, data: pd.DataFrame, partial: Path) -> None:
        data.to_csv(partial, **self._save_args)


class GivenCSV(CSVDataset):
    """A table of the user's as CSV."""

    def load(self) -> pd.DataFrame:
        """Read the table; `InputError` if the file is no CSV."""
        try:
            return super().load()
        except DatasetError:
            if not self._exists():
                raise
            # Their own words may quote a row, and with it an eid.
            raise InputError(
                f"{self._filepath} cannot be read as CSV; expected a header and rows. "
                "Export it again, or remove it."
            ) from None


class OptionalCSV(_Optional, GivenCSV):
    """A table of the user's as CSV that may be absent."""


class AtomicText(_Atomic, TextDataset):
    """A text in UTF-8."""

    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {
        "open_args_save": {"mode": "w", "encoding": "utf-8"},
        "open_args_load": {"mode": "r", "encoding": "utf-8"},
    }

    def _write(self, data: str, partial: Path) -> None:
        partial.write_text(data, encoding="utf-8")
