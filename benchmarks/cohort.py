"""The cohort benchmark: from a main table of 502,000 people to blocks, beyond reading the table.

Every node of data_engineering and of feature_tabular but the listing of bulk files, in a process
of its own, on random answers of which only the cost means anything.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.record import WORK, Figure, show
from benchmarks.runs import PROJECT
from benchmarks.skills import parameters, study_grid
from benchmarks.watch import watch
from ukb_brain.tables.dictionary import field_of
from ukb_brain.tables.raw_problems import wanted_fields
from ukb_brain.tables.target_checks import MEDIANS

PEOPLE, IMAGED, AGAIN, PAIRS, GONE = 502_000, 100_000, 10_000, 107_000, 180
FIRST, SEED = 9_000_001, 7
BULK = (20252, 20253, 20250, 31016)
MOST_SECONDS, MOST_MB = 120.0, 3_000.0
PIPELINES = ("data_engineering", "feature_tabular")
# Answers at which field; of all others there is one a visit.
SEVERAL = {6150: 4, 6152: 5, 20002: 10}
AT_IMAGING_ONLY = range(25_000, 26_000)
RESULT, INDEX = "cohort.json", "index.parquet"


def write_raw(raw: Path) -> int:
    """Write a main table, of which the columns are counted, relatives and who withdrew."""
    random = np.random.default_rng(SEED)
    raw.mkdir(parents=True)
    eid = random.permutation(np.arange(FIRST, FIRST + PEOPLE))
    people = {0: PEOPLE, 2: IMAGED, 3: AGAIN}
    grid = study_grid()
    columns: dict[str, pa.Array] = {"eid": pa.array(eid)}
    for field in sorted(wanted_fields(grid)):
        for instance in (2, 3) if field in AT_IMAGING_ONLY else (0, 2, 3):
            n = people[instance]
            for array in range(SEVERAL.get(field, 1)):
                answers = _answers(field, n, random)
                answers[random.random(n) < (0.05 if array == 0 else 0.8)] = np.nan
                column = np.full(PEOPLE, np.nan)
                column[:n] = answers
                columns[f"{field}-{instance}.{array}"] = pa.array(column, from_pandas=True)
    for instance, n in people.items():
        days = np.full(PEOPLE, np.datetime64("NaT"), dtype="datetime64[D]")
        days[:n] = np.datetime64("2008-01-01") + 1_300 * instance + random.integers(0, 900, n)
        columns[f"53-{instance}.0"] = pa.array(days)
        columns[f"31-{instance}.0"] = pa.array(random.integers(0, 2, PEOPLE))
    pq.write_table(pa.table(columns), raw / "participants.parquet")
    pairs = pd.DataFrame({"ID1": random.choice(eid, PAIRS), "ID2": random.choice(eid, PAIRS)})
    pairs = pairs[pairs["ID1"] != pairs["ID2"]].assign(HetHet=0.02, IBS0=0.01)
    pairs["Kinship"] = random.uniform(0.03, 0.3, len(pairs))
    pairs.to_csv(raw / "ukb_rel_a12345_s488130.dat", sep=" ", index=False)
    listed = "".join(f"{number}\n" for number in random.choice(eid[:IMAGED], GONE, replace=False))
    (raw / "w12345_20260101.csv").write_text(listed)
    _index(eid, random).to_parquet(raw.parent / INDEX)
    return len(columns)


def _answers(field: int, n: int, random: np.random.Generator) -> np.ndarray:
    if field == 21003:
        return random.integers(45, 82, n).astype(float)
    entry = field_of(field)
    codes = _codings().get(entry.coding or 0, {}) if entry else {}
    if not codes or not entry or entry.value_type in ("continuous", "integer"):
        low, high = MEDIANS[field][:2] if field in MEDIANS else (40.0, 60.0)
        return random.normal((low + high) / 2, (high - low) / 6, n)
    return random.choice([float(code) for code in codes], n)


@cache
def _codings() -> dict[int, dict[int, str]]:
    return parameters("codings")["codings"]


def _index(eid: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """List scans of nearly everybody who was imaged, as the listing of bulk files would."""
    found = []
    for instance, n in ((2, IMAGED), (3, AGAIN)):
        for field in BULK:
            who = eid[:n][random.random(n) < 0.9]
            found.append(pd.DataFrame({"eid": who, "field": field, "instance": instance}))
    return pd.concat(found, ignore_index=True).assign(array=0, state="ok")


class TimedReading:
    """The raw folder, or a table in it, of which the seconds of finding and reading are added."""

    def __init__(self, of: Any, spent: list[float]) -> None:
        self._of, self._spent = of, spent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)

    def open(self, *given: Any) -> TimedReading:
        """Find the table; see `ukb_brain.tables.main_table.TableFolder.open`."""
        started = time.monotonic()
        table = self._of.open(*given)
        self._spent.append(time.monotonic() - started)
        return TimedReading(table, self._spent)

    def read(self, fields: Collection[int]) -> pd.DataFrame:
        """Read columns; see `ukb_brain.tables.main_table.MainTable.read`."""
        started = time.monotonic()
        found = self._of.read(fields)
        self._spent.append(time.monotonic() - started)
        return found


def run_nodes(root: Path) -> None:
    """Run every node on what lies in a data root, and write its seconds there."""
    from kedro.framework.project import pipelines
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project
    from kedro.pipeline import Pipeline

    bootstrap_project(PROJECT)
    took: dict[str, float] = {}
    with KedroSession.create(PROJECT, runtime_params={"data_root": str(root)}) as session:
        catalog = session.load_context().catalog
        pipeline = sum((pipelines[name] for name in PIPELINES), start=Pipeline([]))
        known: dict[str, Any] = {"intermediate.bulk_index": pd.read_parquet(root / INDEX)}
        spent: list[float] = []
        known["raw.table"] = TimedReading(catalog.load("raw.table"), spent)
        for node in pipeline.nodes:
            if node.name == "index_bulk":
                continue
            asked = {n: known[n] if n in known else catalog.load(n) for n in node.inputs}
            before, started = sum(spent), time.monotonic()
            known |= node.run(asked)
            took[node.name] = time.monotonic() - started - (sum(spent) - before)
    took["read the table"] = sum(spent)
    counts = {"people": len(known["primary.participants"].drop_duplicates("eid"))}
    (root / RESULT).write_text(json.dumps({"seconds": took} | counts))


def measure() -> list[Figure]:
    """Run all nodes on a table of UK Biobank's size: seconds beyond reading, and peak memory."""
    root = WORK / "cohort"
    shutil.rmtree(root, ignore_errors=True)
    columns = write_raw(root / "01_raw")
    print(f"{PEOPLE:,} people, {columns} columns, {IMAGED:,} imaged …", flush=True)
    watched = watch([sys.executable, "-m", "benchmarks.cohort", str(root)], root / "run.log")
    found = json.loads((root / RESULT).read_text())
    reading = found["seconds"].pop("read the table")
    rows = [[name, f"{seconds:.1f}"] for name, seconds in found["seconds"].items()]
    rows.append(["reading the table, not counted", f"{reading:.1f}"])
    title = "Data engineering and tabular features of 502,000 people"
    show(title, ("node", "seconds"), rows)
    seconds = sum(found["seconds"].values())
    print(f"{seconds:.1f} s beyond reading (goal: {MOST_SECONDS:.0f}); peak {watched.peak:.0f} MB")
    more = {"people": PEOPLE, "in_cohort": found["people"], "columns": columns}
    more |= {"reading": round(reading, 1)}
    shutil.rmtree(root, ignore_errors=True)
    beyond = "cohort: data engineering and tabular features beyond reading"
    memory = "cohort: peak memory, reading included"
    return [
        Figure.at_most(beyond, seconds, MOST_SECONDS, "s", more),
        Figure.at_most(memory, watched.peak, MOST_MB, "MB", more),
    ]


if __name__ == "__main__":
    run_nodes(Path(sys.argv[1]))
