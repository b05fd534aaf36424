"""What the raw files hold: tables, fields, lists, relatives and scans."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging.bulk_index import UNOPENED
from ukb_brain.imaging.lacking import count_usable, place, problems_of_groups
from ukb_brain.problems import Problem
from ukb_brain.readiness.findings import USE, Readiness
from ukb_brain.tables import exclusions, visits
from ukb_brain.tables.dictionary import known_of
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.headers import parse_header
from ukb_brain.tables.main_table import MainTable
from ukb_brain.tables.numbers import Fields, probes, problems_of_numbers
from ukb_brain.tables.people_lists import Withdrawals, read_withdrawals
from ukb_brain.tables.raw_problems import (
    needed_fields,
    problems_of_lists,
    problems_of_table,
    wanted_fields,
)
from ukb_brain.tables.relatives import find_relatedness, known_pairs, read_relatedness
from ukb_brain.tables.table_file import TableFile
from ukb_brain.tables.text_lines import count_lines

DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
OTHERS_SHOWN = 5
# What is so wide may be a part of the main table.
WIDE = 10
USED_AS = "for"


def check_tables(ready: Readiness, table: MainTable) -> None:
    """Note each file of the main table, and count its rows."""
    for file in table.files:
        form = file.form
        written = f"{DELIMITERS[form.delimiter]}, {form.encoding}" if form else "Parquet"
        words = f"style {file.style}, {written}, {len(file.header):,} columns"
        ready.found("tables", file.path.name, words, _rows(file))
    for file in table.passed:
        words = f"passed over: none of its {len(file.header):,} columns is an eid beside fields"
        ready.found("tables", file.path.name, words)
        if len(file.header) >= WIDE:
            ready.warn(
                f"{file.path.name} has {len(file.header):,} columns and is passed over, since its "
                "first line is not the header of a table of participants",
                "if it is a part of the main table, export it again with its header",
            )


def _rows(file: TableFile) -> int:
    if file.form is None:
        return int(pyarrow.parquet.read_metadata(file.path).num_rows)
    return count_lines(file.path, file.form.encoding) - 1


def check_fields(
    ready: Readiness, table: MainTable, grid: Grid, settings: DataEngineering, numbers: Fields
) -> pd.DataFrame | None:
    """Note every field that grid and confounds need, with its answers, and how many of numbers.

    Gives the columns that a run reads; None where they cannot be read.
    """
    needed = needed_fields(grid, settings.no_dates)
    ready.problems += problems_of_table(table.columns, grid, settings)
    ready.problems += problems_of_numbers(table.columns, numbers, settings.imaging_instances)
    held = {column.field for column in table.columns}
    for modality, fields in numbers.items():
        there = f"the table has {len(held & {*fields}):,} of {len(fields):,} fields"
        ready.found("scans", f"{modality} ({place(modality, {})})", there)
    try:
        people = table.read(wanted_fields(grid).union(*probes(numbers).values()))
    except InputError as error:
        ready.stop(str(error))
        return None
    answered = people.notna().sum()
    columns = [(*column, answered[column.name]) for column in parse_header(people.columns)]
    answers = pd.DataFrame(columns, columns=["field", "instance", "array", "n"])
    most = answers.groupby(["field", "instance"])["n"].max()
    uses = [(field, name) for name, (field, _) in needed.items()]
    for name, field in {**visits.CONFOUND_FIELDS, **visits.GROUP_FIELDS}.items():
        uses.append((field, f"{name.replace('_', ' ')}, if there"))
    uses += [(field, "medication, if there") for field in visits.MEDICATION_FIELDS]
    used = pd.DataFrame(uses, columns=["field", "use"]).groupby("field")["use"].agg(", ".join)
    for field in sorted(dict(uses)):
        title = f"{field} {known_of(field).title}".strip()
        ready.found("fields", title, f"{USE}{used[field]}")
        for instance, n in most.get(field, pd.Series(dtype=int)).items():
            ready.found("fields", title, f"instance {instance}", int(n))
    return people


def check_lists(
    ready: Readiness, raw: Path, settings: DataEngineering, source: str
) -> tuple[Withdrawals, pd.DataFrame]:
    """Read withdrawal lists and the relatedness file.

    Returns
    -------
    withdrawals : Withdrawals
        Empty where a list cannot be read.
    pairs : DataFrame
        Without columns where there are none.
    """
    withdrawals, pairs = Withdrawals(frozenset(), 0, str(raw)), pd.DataFrame()
    try:
        withdrawals = read_withdrawals(raw)
        exclusions.require_withdrawals(withdrawals, source, settings.no_withdrawals_issued)
    except InputError as error:
        ready.stop(str(error))
    try:
        path = find_relatedness(raw)
        if path is not None:
            pairs = read_relatedness(path)
            ready.found("relatives", path.name, "pairs in the file", len(pairs))
        exclusions.require_relatedness(pairs, settings.no_relatedness)
    except InputError as error:
        ready.stop(str(error))
    return withdrawals, pairs


def check_people(
    ready: Readiness,
    people: pd.DataFrame,
    withdrawals: Withdrawals,
    pairs: pd.DataFrame,
    index: pd.DataFrame,
) -> None:
    """Note what lists, relatives and bulk files have in common with the table."""
    eids = people["eid"].to_numpy(np.int64)
    listed = np.fromiter(withdrawals.eids, dtype=np.int64)
    ready.found("withdrawals", "lists", f"{withdrawals.n_lists} withdrawal list(s) are applied")
    ready.found("withdrawals", "on the lists", "people", len(listed))
    ready.found("withdrawals", "in the table", "of them", int(np.isin(eids, listed).sum()))
    ready.found("withdrawals", "negative eids", "withdrawn too", int((eids < 0).sum()))
    for reason, excluded in withdrawals.excluded.items():
        mine = int(np.isin(eids, list(excluded)).sum())
        ready.found("withdrawals", f"left out: {reason}", "people of the table", mine)
    if len(pairs):
        ready.found("relatives", "both in the table", "of the pairs", known_pairs(pairs, eids))
    ready.problems += problems_of_lists(people["eid"], withdrawals, pairs, index)


def check_scans(
    ready: Readiness,
    index: pd.DataFrame,
    others: list[str],
    fields: Mapping[str, int],
    numbers: pd.DataFrame,
    grid: Grid,
) -> list[Problem]:
    """Note scans by modality and visit, and kinds of files that were not recognised.

    Gives problems of imaging groups that nobody has in full. ``index`` has ``state`` and ``lacks``;
    ``fields`` is the bulk field of each modality that has one; ``numbers``, indexed by eid and
    instance, has a bool column for each that is numbers of the main table.
    """
    ready.found("scans", "bulk files", f"{len(index):,} of all fields")
    zips = index["members"].astype(str) != ""
    unopened = int((index["members"].astype(str) == UNOPENED).sum())
    opened = f"{int(zips.sum()) - unopened:,} of {int(zips.sum()):,} zips of modalities"
    ready.found("scans", "opened", f"{opened}; others count as they are listed")
    lacking, usable = {}, []
    for modality in grid.modalities:
        if modality in numbers:
            mine = numbers.index[numbers[modality]].to_frame(index=False).assign(state="ok")
        else:
            mine = index[(index["field"] == fields.get(modality)) & (index["array"] == 0)]
            without = mine["lacks"].astype(str).str.split().map(lambda names: modality in names)  # noqa: B023
            mine = mine.assign(state=mine["state"].mask(without, "missing"))
        where = f"{modality} ({place(modality, fields)})"
        for (instance, state), some in mine.groupby(["instance", "state"], observed=True):
            ready.found("scans", where, f"visit {instance}, {state}", len(some))
        usable.append(mine[mine["state"] == "ok"].assign(modality=modality))
        if usable[-1].empty:
            states = ", ".join(f"{n:,} {s}" for s, n in mine["state"].value_counts().items())
            lacking[modality] = states or "no file"
    second = int((index["array"] > 0).sum())
    if second:
        ready.found("scans", "second files of a visit", "listed, not used", second)
    for name in others[:OTHERS_SHOWN]:
        ready.found("scans", "not recognised", f"such as {name} (# is a digit)")
    if len(others) > OTHERS_SHOWN:
        ready.found("scans", "not recognised", f"{len(others) - OTHERS_SHOWN} more kinds of file")
    counted = count_usable(pd.concat(usable), grid)
    return problems_of_groups(counted, lacking, grid, fields)
