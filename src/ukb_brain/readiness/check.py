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
    """What a run would do, by its typed parameters, and whether it stops without scans."""

    grid: Grid
    engineering: DataEngineering
    reading: TableSettings
    codings: Codings
    imaging: ImagingPreprocess
    splitting: Splitting
    compute: Compute
    source: str
    reads_scans: bool = True


def look(tables: TableFolder, bulk: Path, before: pd.DataFrame, asked: Asked) -> Readiness:
    """Look at all raw files.

    ``before`` is an earlier index of bulk files, without columns where there is none.

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
        return ready
    raw.check_people(ready, people, withdrawals, pairs, index)
    try:
        exclusions.require_synthetic(people["eid"], asked.source)
        labels = asked.codings.extended(tables.codings)
        _check_cohort(ready, index, people, withdrawals, pairs, asked, labels)
    except InputError as error:
        ready.stop(str(error))
    return ready


def _check_cohort(
    ready: Readiness,
    index: pd.DataFrame,
    people: pd.DataFrame,
    withdrawals: Withdrawals,
    pairs: pd.DataFrame,
    asked: Asked,
    labels: Codings,
) -> None:
    settings, grid = asked.engineering, asked.grid
    fields = {m: asked.imaging.fields[m] for m in grid.modalities if m in asked.imaging.fields}
    scans = exclusions.usable_scans(index, fields)
    cohort, flow = exclusions.select_cohort(people, withdrawals, scans, pairs, settings)
    for reason, excluded, remaining in flow[["reason", "excluded", "remaining"]].to_numpy():
        if excluded:
            ready.found("cohort", str(reason), "people who leave", int(excluded))
        ready.found("cohort", str(reason), "people who stay", int(remaining))
    counts = exclusions.count_scans(scans, people, cohort, settings)
    lacked = f"a {'site' if settings.no_dates else 'date'} (field {settings.visit_field})"
    for modality, n, undated in counts[["modality", "people", "undated"]].to_numpy():
        if undated:
            ready.found("cohort", f"{modality} without {lacked}", "people", int(undated))
        ready.found("cohort", str(modality), "people of the table with a usable scan", int(n))
    if not ready.can_run:
        return
    there = visits.describe_participants(cohort, pairs, scans, settings)
    values, *_ = derivations.derive_targets(cohort, there, grid.targets)
    once = values[there["chosen"].to_numpy(bool)]
    ready.problems += problems_of_values(cohort, once, grid, labels)
    counted = people_of_cells(values, there, index, grid, fields)
    check_cells(ready, counted, grid, PARTS * asked.splitting.min_per_part)
    ready.people, ready.visits = len(cohort), len(there)
