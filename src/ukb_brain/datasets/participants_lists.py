"""Lists of people who withdrew, and of pairs of relatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from ukb_brain.tables.people_lists import WITHDRAWN, Withdrawals, raw_files, read_withdrawals
from ukb_brain.tables.relatives import PAIR_COLUMNS, find_relatedness, read_relatedness


class WithdrawalsDataset(AbstractDataset[Any, Withdrawals]):
    """The union of all withdrawal lists under the raw folder.

    Parameters
    ----------
    path : str
        The raw folder.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> Withdrawals:
        """Read all lists; see `ukb_brain.tables.people_lists.read_withdrawals`.

        Returns
        -------
        Withdrawals
        """
        return read_withdrawals(self._path)

    def save(self, data: Any) -> None:
        """Refuse: raw files are only read.

        Parameters
        ----------
        data : Any
            Not written.
        """
        raise NotImplementedError("withdrawal lists are raw files and only read")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}

    def _exists(self) -> bool:
        return any(WITHDRAWN.fullmatch(path.name) for path in raw_files(self._path))


class RelatednessDataset(AbstractDataset[Any, pd.DataFrame]):
    """Pairs of relatives, from whichever file under the raw folder has them.

    Parameters
    ----------
    path : str
        The raw folder.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the pairs.

        Returns
        -------
        DataFrame
            ``ID1, ID2`` (int64) and ``Kinship`` (float64); without columns where there is no such
            file, which the caller judges.
        """
        path = find_relatedness(self._path)
        return pd.DataFrame() if path is None else read_relatedness(path)[list(PAIR_COLUMNS)]

    def save(self, data: Any) -> None:
        """Refuse: raw files are only read.

        Parameters
        ----------
        data : Any
            Not written.
        """
        raise NotImplementedError("the relatedness file is a raw file and only read")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}

    def _exists(self) -> bool:
        return find_relatedness(self._path) is not None
