"""Everything that is looked at before a run, in the order in which a user can mend it."""

from pathlib import Path

import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging import bulk_index
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.readiness import raw
from ukb_brain.readiness.findings import Readiness
from ukb_brain.tables import derivations, exclusions, numbers, visits
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.exclusions import KEYS, DataEngineering
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.splits import PARTS, Splitting
from ukb_brain.tables.table_file import TableSettings
from ukb_brain.tables.target_checks import problems_of_values

NO_IMAGING = "no imaging"
# So many zips of each field are opened; all are listed.
SAMPLE = 500
# What is looked at, by name in the catalog: the arguments of `look`.
LOOKED_AT = (
    *("raw.table", "raw.bulk", "intermediate.bulk_index_before", "params:grid"),
    *("params:data_engineering", "params:tables", "params:codings", "params:imaging_preprocess"),
    *("params:splitting", "params:source"),
)


def look(
    tables: TableFolder,
    bulk: Path,
    before: pd.DataFrame,
    grid: Grid,
    engineering: DataEngineering,
    reading: TableSettings,
    codings: Codings,
    imaging: ImagingPreprocess,
    splitting: Splitting,
    source: str,
    *,
    reads_scans: bool = True,
) -> Readiness:
    """Look at all raw files.

    ``before`` is an earlier index of bulk files, without columns where there is none. A run that
    does not read scans itself goes on without them.

    Raises
    ------
    InputError
        If there is no main table: then there is nothing to look at.
    """
    ready, imaging = Readiness(), imaging.taking(grid.modalities)
    table, wanted = tables.open(reading, codings), numbers.fields_of(imaging.numbers)
    withdrawals, pairs = raw.check_lists(ready, tables.path, engineering, source)
    raw.check_tables(ready, table)
    people = raw.check_fields(ready, table, grid, engineering, wanted)
    earlier = before if len(before.columns) else None
    fields, gone = imaging.fields, withdrawals.eids
    index, others = bulk_index.index_bulk(bulk, fields.values(), earlier, gone, SAMPLE)
    index["state"] = bulk_index.states(index, imaging.members)
    index["lacks"] = bulk_index.lacks(index, imaging.members_of)
    ready.problems += bulk_index.problems_of_atlases(index, imaging.series.values())
    scans = exclusions.usable_scans(index, imaging.fields_of(grid.modalities))
    if people is not None:
        looked_at, visited = numbers.probes(wanted), engineering.imaging_instances
        scans = numbers.add_numbers(scans, people, looked_at, visited)
    of_table = scans[scans.columns.intersection(list(wanted))]
    lacking = raw.check_scans(ready, index, others, fields, of_table, grid)
    # Tables can be made before the scans are there.
    ready.problems += lacking if reads_scans else []
    if people is None:
        return ready
    raw.check_people(ready, people, withdrawals, pairs, index)
    try:
        exclusions.require_synthetic(people["eid"], source)
        cohort, flow = exclusions.select_cohort(people, withdrawals, scans, pairs, engineering)
        counts = exclusions.count_scans(scans, people, cohort, engineering)
        _check_cohort(ready, flow, counts, engineering)
        if not ready.can_run:
            return ready
        there = visits.describe_participants(cohort, pairs, scans, engineering)
        values, *_ = derivations.derive_targets(cohort, there, grid.targets)
        once = values[there["chosen"].to_numpy(bool)]
        labels = codings.extended(tables.codings)
        ready.problems += problems_of_values(cohort, once, grid, labels)
        _check_cells(ready, once, scans, grid, len(PARTS) * splitting.min_per_part)
        ready.people, ready.visits = len(cohort), len(there)
    except InputError as error:
        ready.stop(str(error))
    return ready


def _check_cohort(
    ready: Readiness, flow: pd.DataFrame, counts: pd.DataFrame, settings: DataEngineering
) -> None:
    """Note who leaves the cohort and who stays, and whose scans count."""
    for reason, excluded, remaining in flow[["reason", "excluded", "remaining"]].to_numpy():
        if excluded:
            ready.found("cohort", str(reason), "people who leave", int(excluded))
        ready.found("cohort", str(reason), "people who stay", int(remaining))
    lacked = f"a {'site' if settings.no_dates else 'date'} (field {settings.visit_field})"
    for modality, n, undated in counts[["modality", "people", "undated"]].to_numpy():
        if undated:
            ready.found("cohort", f"{modality} without {lacked}", "people", int(undated))
        ready.found("cohort", str(modality), "people of the table with a usable scan", int(n))


def _check_cells(
    ready: Readiness, targets: pd.DataFrame, scans: pd.DataFrame, grid: Grid, least: int
) -> None:
    """Note how many people cells have at their chosen visits, and which have too few for a split.

    Cells of a target and the same imaging groups have the same people: blocks leave nobody out,
    since their missing traits are filled.
    """
    listed = scans.reindex(pd.MultiIndex.from_frame(targets[KEYS]), fill_value=False)
    few = []
    for target, groups in dict.fromkeys((cell.target, cell.inputs.groups) for cell in grid.cells):
        modalities = [modality for group in groups for modality in grid.imaging[group]]
        has = listed.reindex(columns=modalities, fill_value=False).to_numpy(bool).all(axis=1)
        n = int((has & targets[target].notna().to_numpy()).sum())
        imaging = " + ".join(groups) or NO_IMAGING
        ready.found("cells", grid.targets[target].name, imaging, n)
        if n < least and target not in few:
            few.append(target)
    if few:
        ready.warn(
            f"cells of {', '.join(few[:3])}{' …' if len(few) > 3 else ''} have fewer than {least} "
            "people and would be left without a model",
            "see which scans or answers are missing, or leave the imaging group or the target out "
            "of the grid",
        )
