"""Everything that is looked at before a run, in the order in which a user can mend it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging import bulk_index
from ukb_brain.imaging.preprocess import CONNECTIVITY, ImagingPreprocess
from ukb_brain.problems import Problem
from ukb_brain.readiness import raw
from ukb_brain.readiness.cells import check_cells, people_of_cells
from ukb_brain.readiness.findings import Readiness
from ukb_brain.tables import derivations, exclusions, visits
from ukb_brain.tables.codings import Codings
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.splits import Splitting
from ukb_brain.tables.table_file import TableSettings
from ukb_brain.tables.target_checks import problems_of_values

PARTS = 3
# So many zips of each field are opened; all are listed.
SAMPLE = 500
# What is looked at, by name in the catalog: the arguments of `look`, then those of `Asked`.
LOOKED_AT = (
    *("raw.table", "raw.bulk", "intermediate.bulk_index_before", "params:grid"),
    *("params:data_engineering", "params:tables", "params:codings", "params:imaging_preprocess"),
    *("params:splitting", "params:compute", "params:source"),
)


@dataclass(frozen=True)
class Asked:
    """What a run would do.

    Attributes
    ----------
    grid, engineering, reading, codings, imaging, splitting, compute
        Typed parameters of the run.
    source : str
        ``synthetic`` or ``ukb``.
    reads_scans : bool
        Whether the run itself reads scans, so that it stops without them.
    """

    grid: Grid
    engineering: DataEngineering
    reading: TableSettings
    codings: Codings
    imaging: ImagingPreprocess
    splitting: Splitting
    compute: Compute
    source: str
    reads_scans: bool = True


@dataclass(frozen=True)
class Looked:
    """What was found of raw files.

    Attributes
    ----------
    ready : Readiness
        Findings and problems.
    people, visits : int
        People with an imaging visit, and their visits; 0 where it did not come so far.
    """

    ready: Readiness
    people: int = 0
    visits: int = 0


def look(tables: TableFolder, bulk: Path, before: pd.DataFrame, asked: Asked) -> Looked:
    """Look at all raw files.

    Parameters
    ----------
    tables : TableFolder
        The raw folder.
    bulk : Path
        Of bulk files.
    before : DataFrame
        An earlier index of bulk files; without columns where there is none.
    asked : Asked
        What a run would do.

    Returns
    -------
    Looked

    Raises
    ------
    InputError
        If there is no main table: then there is nothing to look at.
    """
    ready, engineering = Readiness(), asked.engineering
    table = tables.open(asked.reading, asked.codings)
    withdrawals, pairs = raw.check_lists(ready, tables.path, engineering, asked.source)
    raw.check_tables(ready, table)
    people = raw.check_fields(ready, table, asked.grid, engineering)
    earlier = before if len(before.columns) else None
    fields, gone = asked.imaging.fields.values(), withdrawals.eids
    index, others = bulk_index.index_bulk(bulk, fields, earlier, gone, SAMPLE)
    index["state"] = bulk_index.states(index, asked.imaging.members)
    ready.problems += bulk_index.problems_of_atlas(
        index, asked.imaging.fields[CONNECTIVITY], asked.imaging.atlas
    )
    lacking = raw.check_scans(ready, index, others, asked.imaging.fields, asked.grid)
    # Tables can be made before the scans are there.
    ready.problems += lacking if asked.reads_scans else []
    if people is None:
        return Looked(ready)
    raw.check_people(ready, people, withdrawals, pairs, index)
    try:
        exclusions.require_synthetic(people["eid"], asked.source)
        labels = asked.codings.extended(tables.codings)
        return _cohort(ready, index, people, withdrawals, pairs, asked, labels)
    except InputError as error:
        ready.problems.append(Problem("stop", str(error)))
        return Looked(ready)


def _cohort(
    ready: Readiness,
    index: pd.DataFrame,
    people: pd.DataFrame,
    withdrawals: Withdrawals,
    pairs: pd.DataFrame,
    asked: Asked,
    labels: Codings,
) -> Looked:
    settings, grid = asked.engineering, asked.grid
    fields = {m: asked.imaging.fields[m] for m in grid.modalities if m in asked.imaging.fields}
    scans = exclusions.usable_scans(index, fields)
    cohort, flow = exclusions.select_cohort(people, withdrawals, scans, pairs, settings)
    for reason, excluded, remaining in flow[["reason", "excluded", "remaining"]].to_numpy():
        if excluded:
            ready.found("cohort", str(reason), "people who leave", int(excluded))
        ready.found("cohort", str(reason), "people who stay", int(remaining))
    instances, field = settings.imaging_instances, settings.visit_field
    counts = exclusions.count_scans(scans, people, cohort, instances, field)
    for modality, n, undated in counts[["modality", "people", "undated"]].to_numpy():
        if undated:
            told = f"{modality} without a {'site' if settings.no_dates else 'date'} (field {field})"
            ready.found("cohort", told, "people", int(undated))
        ready.found("cohort", str(modality), "people of the table with a usable scan", int(n))
    if any(problem.severity == "stop" for problem in ready.problems):
        return Looked(ready)
    there = visits.describe_participants(
        cohort, pairs, scans, instances, settings.kinship_above, field, settings.age_years
    )
    values, _ = derivations.derive_targets(cohort, there, grid.targets)
    once = values[there["chosen"].to_numpy(bool)]
    ready.problems += problems_of_values(cohort, once, grid, labels)
    counted = people_of_cells(values, there, index, grid, fields)
    check_cells(ready, counted, grid, PARTS * asked.splitting.min_per_part)
    return Looked(ready, len(cohort), len(there))
