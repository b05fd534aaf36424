"""What is found among the files of the raw folder, and only read."""

from pathlib import Path
from typing import Any

import pandas as pd

from ukb_brain.datasets.folders import PlacedDataset
from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk_index import find_bulk
from ukb_brain.tables.main_table import TableFolder, candidates
from ukb_brain.tables.people_lists import WITHDRAWN, Withdrawals, raw_files, read_withdrawals
from ukb_brain.tables.relatives import find_relatedness, read_relatedness


class RawDataset(PlacedDataset):
    """Something under the raw folder ``path``."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=path, metadata=metadata)

    def save(self, data: Any) -> None:
        """Refuse."""
        raise NotImplementedError("raw files are only read")


class UKBTableDataset(RawDataset):
    """The main table: loading it names the folder, and nothing is read until asked for.

    ``codings`` is the folder of the showcase's coding files.
    """

    def __init__(self, *, path: str, codings: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(path=path, metadata=metadata)
        self._codings = Path(codings)

    def load(self) -> TableFolder:
        """Name the folder."""
        return TableFolder(self._filepath, self._codings)

    def _exists(self) -> bool:
        return next(candidates(self._filepath), None) is not None


class WithdrawalsDataset(RawDataset):
    """The union of all withdrawal lists."""

    def load(self) -> Withdrawals:
        """Read all lists; see `ukb_brain.tables.people_lists.read_withdrawals`."""
        return read_withdrawals(self._filepath)

    def _exists(self) -> bool:
        return any(WITHDRAWN.fullmatch(path.name) for path in raw_files(self._filepath))


class RelatednessDataset(RawDataset):
    """Pairs of relatives, from whichever file has them."""

    def load(self) -> pd.DataFrame:
        """Read ``ID1, ID2`` (int64) and ``Kinship`` (float64).

        Without columns where there is no such file, which the caller judges.
        """
        path = find_relatedness(self._filepath)
        return pd.DataFrame() if path is None else read_relatedness(path)

    def _exists(self) -> bool:
        return find_relatedness(self._filepath) is not None


class BulkFolderDataset(RawDataset):
    """The folder of bulk files, in whatever arrangement; nothing of it is read until asked for.

    They lie in the raw folder, themselves or in a folder, or in another ``folder``.
    """

    def __init__(
        self, *, path: str, folder: str | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(path=path, metadata=metadata)
        self._folder = folder

    def load(self) -> Path:
        """Find the folder; `InputError` if one was named that is not there."""
        if self._folder and not self._exists():
            raise InputError(f"There is no folder {self._folder}, which bulk_folder names.")
        return self._place()

    def _place(self) -> Path:
        return find_bulk(self._filepath) if self._folder is None else Path(self._folder)

    def _exists(self) -> bool:
        return self._place().is_dir()
