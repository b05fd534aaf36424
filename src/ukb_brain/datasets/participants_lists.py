"""Lists of people who withdrew, and of pairs of relatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from ukb_brain.datasets.ukb_table import absent_raw_file
from ukb_brain.errors import InputError
from ukb_brain.tables.exclusions import Withdrawals

PAIR_COLUMNS = ("ID1", "ID2", "Kinship")


class WithdrawalsDataset(AbstractDataset[Any, Withdrawals]):
    """The union of all withdrawal lists of a folder.

    Parameters
    ----------
    path : str
        The folder.
    pattern : str
        Which files are lists: without a header, one eid a line.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(
        self, *, path: str, pattern: str = "w*.csv", metadata: dict[str, Any] | None = None
    ) -> None:
        self._path = Path(path)
        self._pattern = pattern
        self.metadata = metadata

    def load(self) -> Withdrawals:
        """Read all lists.

        Returns
        -------
        Withdrawals
            With no list where none is there; the caller decides whether that is right.

        Raises
        ------
        InputError
            If a line is not a whole number.
        """
        lists = sorted(self._path.glob(self._pattern))
        eids = frozenset(eid for path in lists for eid in _read_list(path))
        return Withdrawals(eids, len(lists), str(self._path))

    def save(self, data: Any) -> None:
        """Refuse: raw files are only read.

        Parameters
        ----------
        data : Any
            Not written.
        """
        raise NotImplementedError("withdrawal lists are raw files and only read")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "pattern": self._pattern}

    def _exists(self) -> bool:
        return any(self._path.glob(self._pattern))


def _read_list(path: Path) -> list[int]:
    eids = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        text = line.strip().strip('"')
        if not text:
            continue
        try:
            eids.append(int(text))
        except ValueError:
            # Skipping the line could keep somebody who withdrew.
            raise InputError(
                f"Line {number} of the withdrawal list {path} is not a whole number; one eid a "
                "line without a header was expected. Correct the line, or move the file away if "
                "it is not a withdrawal list."
            ) from None
    return eids


class RelatednessDataset(AbstractDataset[Any, pd.DataFrame]):
    """Pairs of relatives: ``ID1 ID2 HetHet IBS0 Kinship``, separated by spaces.

    Parameters
    ----------
    filepath : str
        UK Biobank's relatedness file.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the pairs.

        Returns
        -------
        DataFrame
            ``ID1, ID2`` (int64) and ``Kinship`` (float64).

        Raises
        ------
        InputError
            If the file is not there, or its columns are not as expected.
        """
        if not self._filepath.is_file():
            raise absent_raw_file("relatedness file", self._filepath)
        try:
            return pd.read_csv(
                self._filepath,
                sep=r"\s+",
                usecols=list(PAIR_COLUMNS),
                dtype={"ID1": "int64", "ID2": "int64", "Kinship": "float64"},
            )
        except ValueError:
            # The reader's own message may quote a value, and with it an eid.
            raise InputError(
                f"The relatedness file {self._filepath} cannot be read: columns ID1 ID2 HetHet "
                "IBS0 Kinship, separated by spaces, with whole numbers as IDs were expected. "
                "Fetch it again with UK Biobank's `gfetch rel`."
            ) from None

    def save(self, data: Any) -> None:
        """Refuse: raw files are only read.

        Parameters
        ----------
        data : Any
            Not written.
        """
        raise NotImplementedError("the relatedness file is a raw file and only read")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._filepath.is_file()
