"""Kedro's datasets for tables and text, made to write in full or not at all."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
from kedro.io import DatasetError
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.text import TextDataset

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError


class AtomicParquet(ParquetDataset):
    """A pandas table as Parquet, on a local disk."""

    def save(self, data: pd.DataFrame) -> None:
        """Write the table.

        Parameters
        ----------
        data : DataFrame
            Replaces what was there once it is written in full.
        """
        with atomic_path(self._get_save_path()) as partial:
            data.to_parquet(partial, **self._save_args)
        self._invalidate_cache()


class OptionalParquet(AtomicParquet):
    """A table that another pipeline may have written; without its file, an empty one."""

    def load(self) -> pd.DataFrame:
        """Read the table.

        Returns
        -------
        DataFrame
            Without rows and columns where there is no file.
        """
        return super().load() if self._exists() else pd.DataFrame()


class AtomicCSV(CSVDataset):
    """A pandas table as CSV with its index as the first column, on a local disk."""

    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {"index_col": 0}
    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {"index": True}

    def save(self, data: pd.DataFrame) -> None:
        """Write the table.

        Parameters
        ----------
        data : DataFrame
            Replaces what was there once it is written in full.
        """
        with atomic_path(self._get_save_path()) as partial:
            data.to_csv(partial, **self._save_args)
        self._invalidate_cache()


class GivenCSV(CSVDataset):
    """A table of the user's as CSV."""

    def load(self) -> pd.DataFrame:
        """Read the table.

        Returns
        -------
        DataFrame

        Raises
        ------
        InputError
            If the file is no CSV.
        """
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


class OptionalCSV(GivenCSV):
    """A table of the user's as CSV; without its file, an empty one."""

    def load(self) -> pd.DataFrame:
        """Read the table.

        Returns
        -------
        DataFrame
            Without rows and columns where there is no file.
        """
        return super().load() if self._exists() else pd.DataFrame()


class AtomicText(TextDataset):
    """A text in UTF-8, on a local disk."""

    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {
        "open_args_save": {"mode": "w", "encoding": "utf-8"},
        "open_args_load": {"mode": "r", "encoding": "utf-8"},
    }

    def save(self, data: str) -> None:
        """Write the text.

        Parameters
        ----------
        data : str
            Replaces what was there once it is written in full.
        """
        with atomic_path(self._get_save_path()) as partial:
            partial.write_text(data, encoding="utf-8")
        self._invalidate_cache()
