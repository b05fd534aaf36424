"""Numbers of the main table that are an imaging group: imaging-derived phenotypes, by visit."""

import logging
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.problems import Problem
from ukb_brain.tables.dictionary import fields_of_numbers, known_of
from ukb_brain.tables.exclusions import KEYS
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.main_table import MainTable

logger = logging.getLogger(__name__)

# By modality.
Fields = Mapping[str, tuple[int, ...]]

# Fields read at first; then as many as make so many cells with all people, of some 50 bytes each.
FIRST_READ, CELLS = 50, 25_000_000
# So many of a modality's fields tell whether a visit has its numbers.
PROBES = 8
NAMES_SHOWN = 5
# In any unit; a value beyond is none.
LARGEST_NUMBER = 1e9


def fields_of(asked: Mapping[str, tuple[Iterable[int | str], Iterable[int]]]) -> Fields:
    """List the fields of each modality, of its ranges and categories: `listed_fields`."""
    return {modality: listed_fields(*of) for modality, of in asked.items()}


def listed_fields(asked: Iterable[int | str], categories: Iterable[int]) -> tuple[int, ...]:
    """List the fields that ranges and categories of the dictionary name, ascending.

    A range takes what the dictionary has of numbers in it; a field that is named by itself stays.

    Raises
    ------
    InputError
        If a range or a category has none.

    Examples
    --------
    >>> listed_fields(["25019-25021", 9], [])
    (9, 25019, 25020, 25021)
    """
    found: set[int] = set()
    for one in asked:
        first, _, last = str(one).partition("-")
        held = fields_of_numbers(int(first), int(last)) if last else [int(first)]
        if not held:
            raise InputError(f"UK Biobank's dictionary has no field of numbers in {one}.")
        found.update(held)
    for category in categories:
        held = fields_of_numbers(0, 10**7, category)
        if not held:
            raise InputError(
                f"UK Biobank's dictionary has no field of numbers in category {category}."
            )
        found.update(held)
    return tuple(sorted(found))


def in_ranges(fields: Collection[int]) -> str:
    """Write fields as ranges, which settings take: ``25001-25003+25010``."""
    ordered = sorted(fields)
    cuts = [k + 1 for k, (a, b) in enumerate(pairwise(ordered)) if b != a + 1]
    runs = [ordered[a:b] for a, b in pairwise([0, *cuts, len(ordered)])]
    return "+".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs if run)


def problems_of_numbers(
    columns: Collection[FieldColumn], wanted: Fields, instances: Collection[int]
) -> list[Problem]:
    """Tell which fields the table lacks at the imaging visit, once for each modality.

    That is the first of the visits; at repeat visits few people were.
    """
    instances = sorted(instances)
    there = {column.field for column in columns if column.instance == instances[0]}
    problems = []
    for modality, fields in wanted.items():
        lacking = [field for field in fields if field not in there]
        if not lacking:
            continue
        setting = f"imaging_preprocess.modalities.{modality}"
        remedy = f"export them at instances {' and '.join(map(str, instances))}"
        if held := [field for field in fields if field in there]:
            remedy += (
                f", or name those that you have: --params {setting}.fields={in_ranges(held)}"
                f",{setting}.categories=[]"
            )
        remedy += f", or go on without {modality} (grid.also, grid.leave_out={modality})"
        what = (
            f"the main table lacks {len(lacking):,} of {len(fields):,} fields of {modality} at the "
            f"imaging visit, instance {instances[0]}: {in_ranges(lacking)}"
        )
        problems.append(Problem("stop", what, remedy))
    return problems


def probes(wanted: Fields) -> dict[str, tuple[int, ...]]:
    """Pick some of each modality's fields, spread over them."""
    return {modality: fields[:: -(-len(fields) // PROBES)] for modality, fields in wanted.items()}


def add_numbers(
    scans: pd.DataFrame, people: pd.DataFrame, looked_at: Fields, instances: Collection[int]
) -> pd.DataFrame:
    """Add to the modalities that visits have by bulk files those that they have by numbers.

    Parameters
    ----------
    scans : DataFrame
        Indexed by eid and instance, a bool column a modality.
    people : DataFrame
        ``eid`` and columns such as ``25001-2.0``.
    looked_at : dict of str to tuple of int
        As returned by `probes`: where one of them is there, the others are taken to be.
    instances : collection of int
        Imaging visits.

    Returns
    -------
    DataFrame
        As ``scans``, with a further column a modality and visits that have numbers only.
    """
    if not looked_at:
        return scans
    found = []
    for instance in instances:
        has = {
            modality: people.reindex(columns=[f"{field}-{instance}.0" for field in fields])
            .notna()
            .any(axis=1)
            for modality, fields in looked_at.items()
        }
        found.append(pd.DataFrame({"eid": people["eid"], "instance": instance, **has}))
    every = pd.concat(found).astype(dict.fromkeys(KEYS, np.int64)).set_index(KEYS).sort_index()
    return scans.join(every[every.any(axis=1)], how="outer").fillna(False).astype(bool)


def read_numbers(table: MainTable, wanted: Fields, participants: pd.DataFrame) -> pd.DataFrame:
    """Read the numbers of participants' imaging visits, some columns at a time.

    Fields of which nobody has a number are told once. Raises `InputError` if one holds numbers
    beyond `LARGEST_NUMBER`.

    Returns
    -------
    DataFrame
        ``eid, instance`` as participants have them, and a float32 column a field, named by its
        number, NaN where there is none.
    """
    fields = sorted({field for held in wanted.values() for field in held})
    visits = participants[KEYS].sort_values(KEYS, ignore_index=True)
    columns: dict[str, np.ndarray] = {}
    size = FIRST_READ
    while len(columns) < len(fields):
        some = fields[len(columns) : len(columns) + size]
        read = table.read(some)
        size = max(FIRST_READ, CELLS // max(1, len(read)))
        columns |= _at_visits(read.set_index("eid"), some, visits)
    absurd = {f: int((np.abs(columns[str(f)]) > LARGEST_NUMBER).sum()) for f in fields}
    if found := [f"{f} ({n:,})" for f, n in absurd.items() if n]:
        raise InputError(
            f"Of the main table's numbers that are an imaging group, {len(found):,} field(s) hold "
            f"values beyond {LARGEST_NUMBER:.0e}, which are no measures: "
            f"{', '.join(found[:NAMES_SHOWN])}. Correct the table, or leave these fields out of "
            "imaging_preprocess.modalities."
        )
    empty = [field for field in fields if np.isnan(columns[str(field)]).all()]
    if empty:
        named = "; ".join(f"{f} {known_of(f).title}".strip() for f in empty[:NAMES_SHOWN])
        more = " …" if len(empty) > NAMES_SHOWN else ""
        logger.warning("Nobody has a number of %s field(s): %s%s", f"{len(empty):,}", named, more)
    return pd.concat([visits, pd.DataFrame(columns)], axis=1)


def _at_visits(
    read: pd.DataFrame, fields: Iterable[int], visits: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Take fields at visits of ``eid, instance``, of a table of a row a person."""
    rows = read.index.get_indexer(pd.Index(visits["eid"]))
    found = {str(field): np.full(len(visits), np.nan, dtype=np.float32) for field in fields}
    for instance in visits["instance"].unique():
        mine = np.flatnonzero((visits["instance"] == instance) & (rows >= 0))
        for field in fields:
            if (name := f"{field}-{instance}.0") in read:
                # Beyond single precision numbers become infinite, which is told of.
                with np.errstate(over="ignore"):
                    found[str(field)][mine] = read[name].to_numpy()[rows[mine]]
    return found
