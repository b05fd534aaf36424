"""Lists of people who withdrew, and of pairs of relatives, from anywhere in the raw folder."""

from __future__ import annotations

import pandas as pd

from ukb_brain.datasets.folders import RawDataset
from ukb_brain.tables.people_lists import WITHDRAWN, Withdrawals, raw_files, read_withdrawals
from ukb_brain.tables.relatives import PAIR_COLUMNS, find_relatedness, read_relatedness


class WithdrawalsDataset(RawDataset):
    """The union of all withdrawal lists."""

    def load(self) -> Withdrawals:
        """Read all lists; see `ukb_brain.tables.people_lists.read_withdrawals`."""
        return read_withdrawals(self._path)

    def _exists(self) -> bool:
        return any(WITHDRAWN.fullmatch(path.name) for path in raw_files(self._path))


class RelatednessDataset(RawDataset):
    """Pairs of relatives, from whichever file has them."""

    def load(self) -> pd.DataFrame:
        """Read ``ID1, ID2`` (int64) and ``Kinship`` (float64).

        Without columns where there is no such file, which the caller judges.
        """
        path = find_relatedness(self._path)
        return pd.DataFrame() if path is None else read_relatedness(path)[list(PAIR_COLUMNS)]

    def _exists(self) -> bool:
        return find_relatedness(self._path) is not None
