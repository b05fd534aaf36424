"""Erasing people who withdrew from files that earlier runs made: rows, texts, databases."""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError
from ukb_brain.tables.splits import PEOPLE_LEFT

# What runs write under the data root, and logs there; all else is the user's, and is left alone.
MADE = re.compile(r"0[2-8]_\w+|mlflow")
STORE = ".store"
TABLES = (".parquet", ".csv")
LOGS = (".log", ".out", ".err")
# These cannot be read any more where one number is masked; the next run writes them anew.
WHOLE = (".json", ".html")
SQLITE = b"SQLite format 3\0"
# Fewer digits are numbers of many other things.
NUMBER = re.compile(r"(?<![0-9A-Za-z.])\d{6,9}(?![0-9A-Za-z]|\.\d*[1-9])")
NUMBER_OF_BYTES = re.compile(NUMBER.pattern.encode())
EID, MASK = "eid", "#######"
HEAD_BYTES = 8192
# Erased last: whoever is still in them is not erased everywhere.
LAST = ("splits.parquet", "participants.parquet")


def made_files(root: Path) -> Iterator[Path]:
    """List the files that runs made under the data root, without those of record stores.

    Tables of participants and the splits come last, since they tell who is not erased yet.
    """
    if not root.is_dir():
        return
    found = [path for path in root.iterdir() if path.suffix in LOGS]
    for folder in made_folders(root):
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.endswith(STORE)]
            found += [Path(place, name) for name in names]
    yield from sorted(
        (path for path in found if not path.is_symlink()),
        key=lambda path: (LAST.index(path.name) if path.name in LAST else -1, path),
    )


def made_folders(root: Path) -> list[Path]:
    """List the folders that runs write: ``02_intermediate`` to ``08_reporting``, and MLflow's."""
    return sorted(path for path in root.glob("*/") if MADE.fullmatch(path.name))


def people_of(path: Path) -> np.ndarray:
    """Read the column ``eid`` of a Parquet or CSV file; empty where it has none.

    Raises
    ------
    InputError
        If the file cannot be read, since it may hold anybody's rows.
    """
    if path.suffix == ".parquet":
        try:
            if EID not in pq.read_schema(path).names:
                return np.array([], dtype=np.int64)
            return pq.read_table(path, columns=[EID])[EID].to_numpy().astype(np.int64)
        except pa.ArrowInvalid:
            raise InputError(
                f"{path} cannot be read, so that nobody can be erased from it: remove it and run "
                "this again; `kedro run` makes it anew."
            ) from None
    with path.open(encoding="utf-8", errors="replace") as lines:
        if EID not in [name.strip().strip('"') for name in lines.readline().split(",")]:
            return np.array([], dtype=np.int64)
    column = pd.read_csv(path, usecols=[EID])[EID]
    return pd.to_numeric(column, errors="coerce").fillna(0).to_numpy(np.int64)


def leavers(eids: np.ndarray, gone: frozenset[int]) -> np.ndarray:
    """Mark who is on the lists, bool (rows,); a negative eid is somebody who withdrew, too."""
    return (eids < 0) | np.isin(eids, np.fromiter(gone, dtype=np.int64))


def erase_rows(path: Path, gone: frozenset[int]) -> int:
    """Write a table anew without the rows of those who withdrew, and give their number.

    A Parquet or CSV file that holds none of them is left as it is.
    """
    leave = leavers(people_of(path), gone)
    if not leave.any():
        return 0
    with atomic_path(path) as part:
        if path.name == LAST[0]:
            splits = pd.read_parquet(path)
            # Whoever stays keeps their part, although they would be dealt another one now.
            splits.attrs[PEOPLE_LEFT] = True
            splits[~leave].to_parquet(part, index=False)
        elif path.suffix == ".parquet":
            pq.write_table(pq.read_table(path).filter(pa.array(~leave)), part)
        else:
            text = pd.read_csv(path, dtype=str, keep_default_na=False)
            text[~leave].to_csv(part, index=False)
    return int(leave.sum())


def names_somebody(name: str, gone: frozenset[int]) -> bool:
    """Tell whether the name of a file or folder holds the number of somebody who withdrew."""
    return any(int(found) in gone for found in NUMBER.findall(name))


def erase_numbers(path: Path, gone: frozenset[int]) -> bool:
    """Erase numbers of those who withdrew from a text file or an SQLite database, if one is there.

    JSON and HTML files are removed whole, what stood in others is masked; files of other kinds are
    left as they are.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(SQLITE):
        return _erase_from_database(path, gone)
    if b"\0" in head:
        return False
    content = path.read_bytes()
    masked = NUMBER_OF_BYTES.sub(
        lambda found: MASK.encode() if int(found[0]) in gone else found[0], content
    )
    if masked == content:
        return False
    if path.suffix in WHOLE:
        path.unlink()
    else:
        with atomic_path(path) as part:
            part.write_bytes(masked)
    return True


def _erase_from_database(path: Path, gone: frozenset[int]) -> bool:
    """Mask numbers in all columns of text, and write the file anew so that no page keeps them."""

    def masked(text: str | bytes | float | None) -> str | bytes | float | None:
        if not isinstance(text, str):
            return text
        return NUMBER.sub(lambda found: MASK if int(found[0]) in gone else found[0], text)

    changed = 0
    with closing(sqlite3.connect(path)) as database:
        database.create_function("masked", 1, masked)
        with database:
            for table, column in _columns_of_text(database):
                # Names of the database's own schema; SQL has no other way to give them.
                update = f'UPDATE "{table}" SET "{column}" = masked("{column}") '  # noqa: S608
                where = f'WHERE "{column}" IS NOT masked("{column}")'
                changed += database.execute(update + where).rowcount
        if changed:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("VACUUM")
    return changed > 0


def _columns_of_text(database: sqlite3.Connection) -> Iterable[tuple[str, str]]:
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    for (table,) in database.execute(names).fetchall():
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if re.search("CHAR|TEXT|CLOB|JSON", kind, re.IGNORECASE):
                yield table, column


def fitted_on(path: Path) -> set[str]:
    """Read the fingerprints of training people on whom what a table holds was fitted."""
    if path.suffix != ".parquet" or "training_people" not in pq.read_schema(path).names:
        return set()
    return set(pc.unique(pq.read_table(path, columns=["training_people"])[0]).to_pylist())
