"""The table benchmark: the 60 columns that a run needs, out of a table of the real one's size.

The reader, pyarrow and pandas read the same columns of the same file, each in a process of its own,
one after another while the file is in memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv

from benchmarks.record import Figure, show
from benchmarks.runs import PROJECT
from benchmarks.skills import study_grid
from ukb_brain.tables.dictionary import Codings, FieldEntry, field_of
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.main_table import MainTable
from ukb_brain.tables.raw_problems import wanted_fields
from ukb_brain.tables.table_file import TableFile

PEOPLE, COLUMNS, NEEDED = 502_000, 3_000, 60
# People differ from one another within so many rows, which are written again and again.
DISTINCT = 4_000
ANSWERED = 0.4
REPEATS = 3
MOST_OF_PYARROW, LEAST_OF_PANDAS, MOST_MB = 1.2, 3.0, 1_500


def columns() -> tuple[list[FieldColumn], list[FieldColumn]]:
    """Choose the file's columns, in order, and those of them that the base grid asks for."""
    wanted = sorted(wanted_fields(study_grid()))
    needed = _of(wanted)[:NEEDED]
    others = [number for number in range(3, 40_000) if number not in wanted and field_of(number)]
    # The real table has them between the others.
    return sorted([*needed, *_of(others)[: COLUMNS - len(needed)]]), needed


def _of(fields: list[int]) -> list[FieldColumn]:
    entries = [entry for number in fields if (entry := field_of(number))]
    # The visits of all fields in turn: those of the scan are among the needed ones.
    return [
        FieldColumn(entry.field, instance, array)
        for instance in (2, 0, 1, 3)
        for entry in entries
        if instance in entry.instances
        for array in entry.arrays[:3]
    ]


def _answers(entry: FieldEntry, rng: np.random.Generator) -> list[str]:
    if entry.value_type == "date":
        days = rng.integers(0, 4_000, DISTINCT)
        written = np.datetime_as_string(np.datetime64("2010-01-01") + days)
    elif entry.value_type == "continuous":
        written = np.char.mod("%.2f", rng.normal(50, 10, DISTINCT))
    elif entry.value_type in ("text", "time", "compound"):
        written = rng.choice(["none", "C50.9", "2016-05-01T10:11:12"], DISTINCT)
    else:
        written = rng.integers(0, 5, DISTINCT).astype(str)
    return np.where(rng.random(DISTINCT) < ANSWERED, written, "").tolist()


def write_file(path: Path) -> None:
    """Write a table as ``ukbconv … csv`` does: everything quoted, most cells empty."""
    every, _ = columns()
    rng = np.random.default_rng(0)
    cells = []
    for column in every:
        entry = field_of(column.field)
        assert entry is not None
        cells.append(_answers(entry, rng))
    rows = [('","'.join(row) + '"\n').encode() for row in zip(*cells, strict=True)]
    with path.open("wb", buffering=1 << 24) as file:
        file.write(('"eid","' + '","'.join(c.name for c in every) + '"\n').encode())
        for k in range(PEOPLE):
            file.write(b'"%d","' % (9_000_001 + k) + rows[k % DISTINCT])


def _with_reader(path: Path, needed: list[FieldColumn]) -> int:
    table = MainTable((TableFile.open(path),), Codings({}))
    return len(table.read({column.field for column in needed}))


def _with_pyarrow(path: Path, needed: list[FieldColumn]) -> int:
    wanted = ["eid", *(column.name for column in needed)]
    options = pyarrow.csv.ConvertOptions(include_columns=wanted)
    # Blocks of the reader's size take it half as long again.
    read = pyarrow.csv.ReadOptions(block_size=1 << 25)
    return pyarrow.csv.read_csv(path, read_options=read, convert_options=options).num_rows


def _with_pandas(path: Path, needed: list[FieldColumn]) -> int:
    wanted = ["eid", *(column.name for column in needed)]
    return len(pd.read_csv(path, usecols=wanted))


READERS: dict[str, Callable[[Path, list[FieldColumn]], int]] = {
    "reader": _with_reader,
    "pyarrow": _with_pyarrow,
    "pandas": _with_pandas,
}


def timed(name: str, path: Path) -> dict[str, float]:
    """Read the needed columns in this process: ``seconds``, and ``mb`` at the peak."""
    _, needed = columns()
    started = time.monotonic()
    rows = READERS[name](path, needed)
    seconds = time.monotonic() - started
    if rows != PEOPLE:
        sys.exit(f"{name} read {rows:,} rows of {PEOPLE:,}.")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mb": peak}


def _apart(name: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.tables", name, str(path)]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure() -> list[Figure]:
    """Write the table, read it with each reader in turn, and take medians."""
    with tempfile.TemporaryDirectory(prefix="tables_") as folder:
        path = Path(folder) / "ukb12345.csv"
        print(f"writing {PEOPLE:,} × {COLUMNS:,} …", flush=True)
        write_file(path)
        gigabytes = path.stat().st_size / 1e9
        found: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
        for _ in range(REPEATS):
            for name in READERS:
                found[name].append(_apart(name, path))
                print(name, found[name][-1], flush=True)
    return _figures(found, gigabytes)


def _figures(found: dict[str, list[dict[str, float]]], gigabytes: float) -> list[Figure]:
    seconds = {n: float(np.median([r["seconds"] for r in runs])) for n, runs in found.items()}
    peaks = {name: max(run["mb"] for run in runs) for name, runs in found.items()}
    rows = [[name, f"{seconds[name]:.1f}", f"{peaks[name]:,.0f}"] for name in READERS]
    title = f"{NEEDED} of {COLUMNS:,} columns, {PEOPLE:,} people, {gigabytes:.1f} GB"
    show(title, ("with", "seconds", "peak, MB"), rows)
    more = {"columns": COLUMNS, "needed": NEEDED, "gb": round(gigabytes, 1), "repeats": REPEATS}
    slower = seconds["reader"] / seconds["pyarrow"]
    faster = seconds["pandas"] / seconds["reader"]
    return [
        *(Figure(f"table, seconds with {n}", seconds[n], "s", more=more) for n in READERS),
        Figure.at_most("table, time against pyarrow", slower, MOST_OF_PYARROW, "×"),
        Figure.at_least("table, times faster than pandas", faster, LEAST_OF_PANDAS, "×"),
        Figure.at_most("table, peak memory", peaks["reader"], MOST_MB, "MB"),
    ]


if __name__ == "__main__":
    print(json.dumps(timed(sys.argv[1], Path(sys.argv[2]))))
