"""Which bulk files there are, in any arrangement, and what they hold by their directories."""

import logging
import os
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from ukb_brain.imaging.bulk import DAMAGED_ZIP, is_unusable, leaves_the_zip, plain_name
from ukb_brain.imaging.roi_series import person_and_field, require_one_pipeline
from ukb_brain.imaging.time_series import Wanted, atlas_of
from ukb_brain.problems import Problem

logger = logging.getLogger(__name__)

# As UK Biobank names them; endings in any case.
BULK_NAME = re.compile(
    r"(\d{1,15})_(\d{1,7})_(\d{1,3})_(\d{1,5})\.(zip|txt)", re.IGNORECASE | re.ASCII
)
ONE = ["eid", "field", "instance", "array"]
AS_IT_WAS = ["path", "size", "mtime_ns"]
# Where scans lie on the Research Analysis Platform, and elsewhere.
PLACES = ("Bulk/Brain MRI", "bulk/Brain MRI", "bulk", "Bulk")
# A directory that cannot be read.
BROKEN = "\0broken"
# A zip that was listed and not opened.
UNOPENED = "\0unopened"
UNUSABLE = re.compile(r"(^|/)unusable/", re.IGNORECASE)
THREADS = 8
# Their files are plain text.
TEXT_FIELDS = (25750, 25751, 25752, 25753)


def find_bulk(raw: Path) -> Path:
    """Find the folder of bulk files among raw files.

    The first of `PLACES` that is there; else the raw folder itself, in which they lie as
    ``ukbfetch`` leaves them.
    """
    return next((raw / place for place in PLACES if (raw / place).is_dir()), raw)


def list_files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """List all files of a folder that may not be there, through links to files and to folders.

    Yields each path from the folder, its size and the time it was written, both 0 for a link that
    leads nowhere. Folders that cannot be opened are counted and passed over.
    """
    seen, errors = set(), list[OSError]()
    for place, folders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        about = _stat(Path(place))
        if about is None or (about.st_dev, about.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        for name in names:
            path = Path(place, name)
            found = _stat(path)
            size, changed = (found.st_size, found.st_mtime_ns) if found else (0, 0)
            yield str(path.relative_to(folder)), size, changed
    closed = sum(not isinstance(error, FileNotFoundError) for error in errors)
    if closed:
        logger.warning("Folders of bulk files that cannot be opened: %s.", closed)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def index_bulk(
    folder: Path,
    fields: Collection[int],
    before: pd.DataFrame | None = None,
    gone: Collection[int] = (),
    most: int | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """List bulk files, and read the directories of those zips that are new or changed.

    Parameters
    ----------
    folder : Path
    fields : collection of int
        Whose zips' directories are read; other bulk files are only listed.
    before : DataFrame, optional
        An earlier index of the same folder.
    gone : collection of int
        Who withdrew: their files are passed over.
    most : int, optional
        Of each field no more zips are opened than these, spread over the list; the others are only
        listed.

    Returns
    -------
    index : DataFrame
        ``eid, field, instance, array`` (int64), ``path`` from the folder, ``size``, ``mtime_ns``,
        and ``members``: names in the zip, one a line, as categories since most zips hold the
        same; empty for text files and fields that are not asked for, `UNOPENED` for what was only
        listed. Sorted; each eid, field, instance and array once.
    others : list of str
        Kinds of file that were not recognised: their names with digits as ``#``.
    """
    index, others = _listed(folder, gone)
    index["members"] = _members(folder, index, fields, before, most).astype("category")
    return index, others


def _listed(folder: Path, gone: Collection[int]) -> tuple[pd.DataFrame, list[str]]:
    rows, others = [], set()
    for file in list_files(folder):
        name = Path(file[0]).name
        if what := _what(name):
            rows.append((*what, *file))
        else:
            others.add(re.sub(r"\d", "#", name))
    index = pd.DataFrame(rows, columns=[*ONE, *AS_IT_WAS])
    numbers = index.columns.drop("path")
    index[numbers] = index[numbers].astype(np.int64)
    index = index[~index["eid"].isin(list(gone))]
    require_one_pipeline(index)
    # Links may show a file twice, and a log may have its name.
    text = index["path"].str.lower().str.endswith(".txt")
    index["odd"] = text != index["field"].isin(TEXT_FIELDS)
    # Of two files of one name a cut one is the smaller.
    order = {**dict.fromkeys([*ONE, "odd"], True), "size": False, "path": True}
    index = index.sort_values(list(order), ascending=list(order.values())).drop(columns="odd")
    return index.drop_duplicates(ONE, ignore_index=True), sorted(others)


def _what(name: str) -> tuple[int, int, int, int] | None:
    """Person, field, instance and array of a file, by its name."""
    if match := BULK_NAME.fullmatch(name):
        eid, field, instance, array = (int(match[k]) for k in range(1, 5))
        return eid, field, instance, array
    series = person_and_field(name)
    # There is one visit.
    return (*series, 0, 0) if series else None


def _members(
    folder: Path,
    index: pd.DataFrame,
    fields: Collection[int],
    before: pd.DataFrame | None,
    most: int | None,
) -> pd.Series:
    members = pd.Series("", index=index.index, dtype=object)
    known = pd.Series(dtype=object)
    if before is not None and len(before):
        known = before.drop_duplicates(AS_IT_WAS).set_index(AS_IT_WAS)["members"].astype(object)
    at = pd.MultiIndex.from_frame(index[AS_IT_WAS])
    zips = index["path"].str.lower().str.endswith(".zip") & index["field"].isin(list(fields))
    old = zips & at.isin(known.index)
    # What could not be read, or was not asked for then, is looked at again.
    members[old] = known.reindex(at[old.to_numpy()]).to_numpy()
    new = zips & (~old | members.isin(["", BROKEN, UNOPENED]))
    if most is not None:
        members[new] = UNOPENED
        place = index[new].groupby("field").cumcount()
        step = index[new].groupby("field")["eid"].transform("size").floordiv(most).clip(lower=1)
        new = new & (place % step == 0).reindex(index.index, fill_value=False)
    paths = [folder / path for path in index.loc[new, "path"]]
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(directory_of, paths, chunksize=64))
    members[new] = np.array(found, dtype=object)
    return members


def directory_of(path: Path) -> str:
    """Read the names in a zip, one a line and without the participant's number; or `BROKEN`."""
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
    found = found.mask(index["size"] == 0, "broken")
    leads_nowhere = (index["size"] == 0) & (index["mtime_ns"] == 0)
    return found.mask(leads_nowhere, "missing")


def lacks(index: pd.DataFrame, wanted: Mapping[str, tuple[int, re.Pattern[str]]]) -> pd.Series:
    """Name the modalities whose member a zip lacks while it holds another one's of its field.

    Parameters
    ----------
    index : DataFrame
        As returned by `index_bulk`.
    wanted : dict of str to (int, pattern)
        Field and member of each modality.

    Returns
    -------
    Series of str
        Names with a blank between them; empty for most.
    """
    keys = ["field", "members"]
    kinds = index[keys].astype({"members": object}).drop_duplicates()
    kinds["lacks"] = [
        " ".join(
            modality
            for modality, (own, pattern) in wanted.items()
            if own == field and _state(members, pattern) != "ok"
        )
        for field, members in zip(kinds["field"], kinds["members"], strict=True)
    ]
    joined = index[keys].astype({"members": object}).merge(kinds, on=keys, how="left")
    return joined["lacks"].set_axis(index.index).astype("category")


def _state(members: str, wanted: re.Pattern[str]) -> str:
    if members == UNOPENED:
        return "ok"
    if members == BROKEN:
        return "broken"
    names = members.split("\n")
    if any(leaves_the_zip(name) for name in names):
        return "broken"
    # Members are put aside in a folder beside where they belong.
    found = [n for n in names if wanted.fullmatch(UNUSABLE.sub(r"\1", n))]
    if not found:
        return "missing"
    good = [name for name in found if not is_unusable(name)]
    return "ok" if good else "unusable"


def problems_of_atlases(index: pd.DataFrame, series: Iterable[Wanted]) -> list[Problem]:
    """Find out whether it is clear which time series of zips are meant.

    Empty where a field's zips hold one atlas, or the one that is asked for.
    """
    return [problem for wanted in dict.fromkeys(series) for problem in _unclear(index, wanted)]


def _unclear(index: pd.DataFrame, asked: Wanted) -> list[Problem]:
    field, wanted, setting = asked
    held = index.loc[index["field"] == field, "members"].unique()
    of_zips = [
        {atlas for name in str(members).split("\n") if (atlas := atlas_of(name))}
        for members in held
    ]
    there = sorted({name for names in of_zips for name in names})
    remedy = f"name one of them: --params imaging_preprocess.{setting}={there[0]}" if there else ""
    what = f"zips of field {field} hold time series of {', '.join(there)}"
    if wanted is None and any(len(names) > 1 for names in of_zips):
        return [Problem("stop", f"{what}, and no atlas is named", remedy)]
    if wanted is not None and there and wanted not in there:
        return [Problem("stop", f"{what}, and none of atlas {wanted}", remedy)]
    return []


def changed_since(
    folder: Path, index: pd.DataFrame, fields: Collection[int], gone: Collection[int] = ()
) -> int:
    """Count bulk files of some fields that are new or changed since an index was made."""
    now = _listed(folder, gone)[0]
    now = now[now["field"].isin(list(fields))]
    same = pd.MultiIndex.from_frame(now[AS_IT_WAS]).isin(pd.MultiIndex.from_frame(index[AS_IT_WAS]))
    return int((~same).sum())
