"""Families: people who are joined by a chain of related pairs."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ukb_brain.errors import InputError
from ukb_brain.tables.people_lists import WHOLE_NUMBER, raw_files

PAIR_COLUMNS = ("ID1", "ID2", "Kinship")
HEADER_BYTES = 200
# Other files, of which there may be many, have these endings.
NO_TEXT = (".zip", ".gz", ".parquet", ".nii", ".1d")


def find_relatedness(folder: Path) -> Path | None:
    """Find the relatedness file of a raw folder by its header, if there is one.

    Raises
    ------
    InputError
        If there are several.
    """
    found = [path for path in raw_files(folder) if set(PAIR_COLUMNS) <= set(_header(path))]
    if len(found) > 1:
        raise InputError(
            f"There are {len(found)} relatedness files ({', '.join(p.name for p in found)}), and "
            "they may be of different applications: keep that of the tables."
        )
    return found[0] if found else None


def _header(path: Path) -> list[str]:
    if path.suffix.lower() in NO_TEXT or not path.is_file():
        return []
    return [name.strip('"') for name in _first_line(path).replace(",", " ").split()]


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
    except OSError:
        return ""
    return start.split(b"\n")[0].decode("utf-8-sig", errors="replace")


def read_relatedness(path: Path) -> pd.DataFrame:
    """Read related pairs.

    Parameters
    ----------
    path : Path
        Columns ``ID1 ID2 HetHet IBS0 Kinship``, separated by blanks, tabs or commas.

    Returns
    -------
    DataFrame
        ``ID1, ID2`` (int64) and ``Kinship`` (float64); pairs with a withdrawn person, whose
        number is negative, are left out.

    Raises
    ------
    InputError
        If its columns are not as expected.
    """
    try:
        raw = pd.read_csv(path, sep="," if "," in _first_line(path) else r"\s+", dtype=str)
        pairs = raw[list(PAIR_COLUMNS)]
        whole = pairs[["ID1", "ID2"]].apply(lambda ids: ids.str.fullmatch(WHOLE_NUMBER))
        kinship = pd.to_numeric(pairs["Kinship"], errors="coerce")
        # KING's estimate is at most a half, and for strangers may be well below 0.
        sound = whole.fillna(False).all(axis=1) & kinship.between(-5, 0.51)
        if not isinstance(raw.index, pd.RangeIndex):
            raise ValueError("more columns than names")
    except (ValueError, KeyError, OSError):
        # The reader's own message may quote a value, and with it an eid.
        raise InputError(
            f"The relatedness file {path} cannot be read: columns ID1 ID2 HetHet IBS0 Kinship, "
            "separated by spaces or commas, with whole numbers as IDs were expected. Fetch it "
            "again with UK Biobank's `gfetch rel`."
        ) from None
    if not sound.all():
        raise InputError(
            f"The relatedness file {path} is cut short or damaged: {int((~sound).sum()):,} of "
            f"{len(raw):,} rows lack a kinship up to 0.5, or IDs, where columns ID1 ID2 HetHet "
            "IBS0 Kinship with whole numbers as IDs were expected, and relatives would be parted. "
            "Fetch it again with UK Biobank's `gfetch rel`."
        )
    pairs = pairs.astype({"ID1": "int64", "ID2": "int64"}).assign(Kinship=kinship.astype(float))
    return pairs[(pairs["ID1"] > 0) & (pairs["ID2"] > 0)].reset_index(drop=True)


def known_pairs(pairs: pd.DataFrame, eids: npt.NDArray[np.int64]) -> int:
    """Count pairs of which both people are among some eids."""
    return int((pairs["ID1"].isin(eids) & pairs["ID2"].isin(eids)).sum())


def find_families(
    eids: npt.NDArray[np.int64], pairs: pd.DataFrame, kinship_above: float
) -> npt.NDArray[np.int64]:
    """Label each person's family.

    Pairs with a person outside the cohort are left out, so that families depend on the cohort only
    and can but shrink when somebody withdraws.

    Parameters
    ----------
    eids : ndarray of int, shape (n,)
        The cohort, each once.
    pairs : DataFrame
        ``ID1, ID2, Kinship`` as in UK Biobank's relatedness file; without columns there is none.
    kinship_above : float
        Pairs with a larger kinship coefficient are related.

    Returns
    -------
    ndarray of int, shape (n,)
        0, 1, 2, … in the order of each family's smallest eid, whatever the order of rows. A person
        without relatives is a family of one.
    """
    order = np.argsort(eids, kind="stable")
    people = pd.Index(eids[order])
    pairs = pairs.reindex(columns=[*PAIR_COLUMNS])
    related = pairs[pairs["Kinship"] > kinship_above]
    first, second = (people.get_indexer(pd.Index(related[side])) for side in ("ID1", "ID2"))
    inside = (first >= 0) & (second >= 0)
    links = coo_array(
        (np.ones(inside.sum(), dtype=np.int8), (first[inside], second[inside])),
        shape=(len(people), len(people)),
    )
    _, component = connected_components(links, directed=False)
    # Numbered by first appearance among sorted eids: scipy promises no order of its own.
    labels = np.empty(len(eids), dtype=np.int64)
    labels[order] = pd.factorize(component)[0]
    return labels
