"""Which bulk files there are, in any arrangement, and what they hold by their directories."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ukb_brain.imaging.bulk import DAMAGED_ZIP, plain_name

# As UK Biobank names them; endings in any case.
BULK_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(\d+)\.(zip|txt)", re.IGNORECASE)
COLUMNS = ["eid", "field", "instance", "array", "path", "size", "mtime_ns", "members"]
# Where scans lie on the Research Analysis Platform, and elsewhere.
PLACES = ("Bulk/Brain MRI", "bulk/Brain MRI", "bulk", "Bulk")
# A directory that cannot be read.
BROKEN = "\0broken"
THREADS = 8


def find_bulk(raw: Path) -> Path:
    """Find the folder of bulk files among raw files.

    Parameters
    ----------
    raw : Path
        The raw folder.

    Returns
    -------
    Path
        The first of ``Bulk/Brain MRI``, ``bulk`` and ``Bulk`` that is there; else the raw folder
        itself, in which they lie as ``ukbfetch`` leaves them.
    """
    return next((raw / place for place in PLACES if (raw / place).is_dir()), raw)


@dataclass(frozen=True)
class Listed:
    """One file under the folder.

    Attributes
    ----------
    path : str
        From the folder.
    size, mtime_ns : int
        0 for a link that leads nowhere.
    """

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """Without its folders."""
        return self.path.rpartition(os.sep)[2]


def list_files(folder: Path) -> Iterator[Listed]:
    """List all files of a folder, through links to files and to folders.

    Parameters
    ----------
    folder : Path
        It may be a link, or not be there.

    Yields
    ------
    Listed
        In no promised order. A folder that cannot be opened is passed over.
    """
    waiting, seen = [folder], set()
    while waiting:
        place = waiting.pop()
        try:
            about = place.stat()
            entries = list(os.scandir(place))
        except OSError:
            continue
        if (about.st_dev, about.st_ino) in seen:  # a link that leads back
            continue
        seen.add((about.st_dev, about.st_ino))
        for entry in entries:
            try:
                if entry.is_dir():
                    waiting.append(Path(entry.path))
                    continue
                found = entry.stat()
                size, changed = found.st_size, found.st_mtime_ns
            except OSError:
                size = changed = 0
            yield Listed(os.path.relpath(entry.path, folder), size, changed)


def index_bulk(
    folder: Path, fields: Collection[int], before: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """List bulk files, and read the directories of those zips that are new or changed.

    Parameters
    ----------
    folder : Path
        Of bulk files.
    fields : collection of int
        Whose zips' directories are read; other bulk files are only listed.
    before : DataFrame, optional
        An earlier index of the same folder.

    Returns
    -------
    index : DataFrame
        ``eid, field, instance, array`` (int64), ``path`` from the folder, ``size``, ``mtime_ns``,
        and ``members``: names in the zip, one a line, as categories since most zips hold the
        same; empty for text files and fields that are not asked for. Sorted; each eid, field,
        instance and array once.
    others : list of str
        Kinds of file that were not recognised: their names with digits as ``#``.
    """
    rows, others = [], set()
    for file in list_files(folder):
        match = BULK_NAME.fullmatch(file.name)
        if match is None:
            others.add(re.sub(r"\d", "#", file.name))
            continue
        rows.append((*(int(match[k]) for k in range(1, 5)), file.path, file.size, file.mtime_ns))
    index = pd.DataFrame(rows, columns=COLUMNS[:-1]).sort_values(
        ["eid", "field", "instance", "array", "path"], ignore_index=True
    )
    index = index.drop_duplicates(["eid", "field", "instance", "array"], ignore_index=True)
    index["members"] = _members(folder, index, fields, before).astype("category")
    return index, sorted(others)


def _members(
    folder: Path, index: pd.DataFrame, fields: Collection[int], before: pd.DataFrame | None
) -> pd.Series:
    members = pd.Series("", index=index.index, dtype=object)
    known = pd.Series(dtype=object)
    keys = ["path", "size", "mtime_ns"]
    if before is not None and len(before):
        known = before.set_index(keys)["members"].astype(object)
        known = known[~known.index.duplicated()]
    at = pd.MultiIndex.from_frame(index[keys])
    zips = index["path"].str.lower().str.endswith(".zip") & index["field"].isin(list(fields))
    old = zips & at.isin(known.index)
    # What could not be read, or was not asked for then, is looked at again.
    members[old] = known.reindex(at[old.to_numpy()]).to_numpy()
    new = zips & (~old | members.isin(["", BROKEN]))
    paths = [folder / path for path in index.loc[new, "path"]]
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(directory_of, paths, chunksize=64))
    members[new] = np.array(found, dtype=object)
    return members


def directory_of(path: Path) -> str:
    """Read a zip's directory.

    Parameters
    ----------
    path : Path
        Of a zip.

    Returns
    -------
    str
        Names of its files, one a line and without the participant's number; `BROKEN` where it
        cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [plain_name(n) for n in archive.namelist() if not n.endswith(("/", "\\"))]
    except (OSError, *DAMAGED_ZIP):
        return BROKEN
    eid = path.name.partition("_")[0]
    return "\n".join(sorted(name.replace(eid, "#") for name in names))


def states(index: pd.DataFrame, needed: Mapping[int, re.Pattern[str]]) -> pd.Series:
    """Judge each bulk file by its directory.

    Parameters
    ----------
    index : DataFrame
        As returned by `index_bulk`.
    needed : dict of int to pattern
        By field, the member that must be there; fields of text files have none.

    Returns
    -------
    Series of str
        ``ok``, ``missing``, ``unusable`` or ``broken``; ``ok`` for what is not asked for.
    """
    keys = ["field", "members"]
    kinds = index[keys].astype({"members": object}).drop_duplicates()
    kinds["state"] = [
        _state(members, needed[field]) if field in needed else "ok"
        for field, members in zip(kinds["field"], kinds["members"], strict=True)
    ]
    joined = index[keys].astype({"members": object}).merge(kinds, on=keys, how="left")
    found = joined["state"].set_axis(index.index)
    # A link that leads nowhere, or an empty file.
    return found.mask(index["size"] == 0, "broken")


def _state(members: str, wanted: re.Pattern[str]) -> str:
    if members == BROKEN:
        return "broken"
    found = [name for name in members.split("\n") if wanted.fullmatch(PurePosixPath(name).name)]
    if not found:
        return "missing"
    good = [name for name in found if "unusable" not in PurePosixPath(name).parts]
    return "ok" if good else "unusable"


def changed_since(folder: Path, index: pd.DataFrame) -> int:
    """Count bulk files that are new or changed since an index was made.

    Parameters
    ----------
    folder : Path
        Of bulk files.
    index : DataFrame
        As returned by `index_bulk`.

    Returns
    -------
    int
    """
    known = set(zip(index["path"], index["size"], index["mtime_ns"], strict=True))
    return sum(
        BULK_NAME.fullmatch(file.name) is not None
        and (file.path, file.size, file.mtime_ns) not in known
        for file in list_files(folder)
    )
