"""Nodes of data engineering: from the raw table to who is in, what is known, and the split.

What stands against a run in what the raw files hold is told before by
`ukb_brain.readiness.check.look`, where a run begins with them.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.imaging import bulk_index
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.problems import stop_at
from ukb_brain.statistics.people.participation import match_participation
from ukb_brain.tables import derivations, exclusions, numbers, visits
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.raw_problems import problems_of_table, wanted_fields
from ukb_brain.tables.table_file import TableSettings
from ukb_brain.tables.target_checks import problems_of_values

logger = logging.getLogger(__name__)


def index_bulk(
    bulk: Path,
    before: pd.DataFrame,
    grid: Grid,
    imaging: ImagingPreprocess,
    withdrawals: Withdrawals,
) -> pd.DataFrame:
    """List the bulk files, reading the directories of those zips that are new or changed.

    Files of who withdrew are passed over. Gives what `ukb_brain.imaging.bulk_index.index_bulk`
    does, ``state`` and ``lacks``.

    Raises
    ------
    InputError
        If zips hold several atlases and none is named, or not the one that is.
    """
    earlier, imaging = before if len(before.columns) else None, imaging.taking(grid.modalities)
    fields, gone = imaging.fields.values(), withdrawals.eids
    index, others = bulk_index.index_bulk(bulk, fields, earlier, gone)
    stop_at(bulk_index.problems_of_atlases(index, imaging.series.values()))
    index["state"] = bulk_index.states(index, imaging.members)
    index["lacks"] = bulk_index.lacks(index, imaging.members_of)
    logger.info("Bulk files in %s: %s.", bulk, f"{len(index):,}")
    if len(others) and len(index):
        logger.info("Other files there are of %s kind(s), such as %s.", len(others), others[0])
    return index


def select_cohort(
    tables: TableFolder,
    withdrawals: Withdrawals,
    relatedness: pd.DataFrame,
    index: pd.DataFrame,
    grid: Grid,
    settings: DataEngineering,
    reading: TableSettings,
    codings: Codings,
    imaging: ImagingPreprocess,
    source: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read the columns that are needed and drop who is not in the cohort, the withdrawn first.

    Returns
    -------
    cohort : pandas.DataFrame
        One row a person: ``eid`` and columns such as ``21003-2.0``.
    scans : pandas.DataFrame
        ``eid, instance`` and a bool column a modality of the grid.
    flow : pandas.DataFrame
        ``step, reason, excluded, remaining``.
    counts : pandas.DataFrame
        ``modality, people, undated, in_cohort``.

    Raises
    ------
    InputError
        If real data come without a withdrawal list or as synthetic ones, relatives are not known,
        or fields or instances are not in the table.
    """
    table, imaging = tables.open(reading, codings), imaging.taking(grid.modalities)
    wanted = numbers.fields_of(imaging.numbers)
    exclusions.require_withdrawals(withdrawals, source, settings.no_withdrawals_issued)
    exclusions.require_relatedness(relatedness, settings.no_relatedness)
    stop_at(problems_of_table(table.columns, grid, settings))
    stop_at(numbers.problems_of_numbers(table.columns, wanted, settings.imaging_instances))
    looked_at = numbers.probes(wanted)
    people = table.read(wanted_fields(grid).union(*looked_at.values()))
    exclusions.require_synthetic(people["eid"], source)
    scans = exclusions.usable_scans(index, imaging.fields_of(grid.modalities))
    scans = numbers.add_numbers(scans, people, looked_at, settings.imaging_instances)
    cohort, flow = exclusions.select_cohort(people, withdrawals, scans, relatedness, settings)
    counts = exclusions.count_scans(scans, people, cohort, settings)
    return cohort, scans.reset_index(), flow, counts


def describe_participants(
    cohort: pd.DataFrame,
    relatedness: pd.DataFrame,
    scans: pd.DataFrame,
    weights: pd.DataFrame,
    settings: DataEngineering,
) -> pd.DataFrame:
    """List each person's imaging visits; see `ukb_brain.tables.visits.describe_participants`.

    Where weights (``eid, weight``) of participation are given, ``participation_weight`` is added.
    """
    scans = scans.set_index(["eid", "instance"])
    people = visits.describe_participants(cohort, relatedness, scans, settings)
    if not len(weights.columns):
        return people
    found = match_participation(people["eid"].to_numpy(np.int64), weights)
    return people.assign(participation_weight=found)


def gather_numbers(
    tables: TableFolder,
    participants: pd.DataFrame,
    grid: Grid,
    imaging: ImagingPreprocess,
    reading: TableSettings,
    codings: Codings,
) -> pd.DataFrame:
    """Read the numbers of the main table that the grid has as an imaging group.

    Gives ``eid, instance`` of every imaging visit of participants, and a column a field; no rows
    where the grid has no such group.
    """
    wanted = numbers.fields_of(imaging.taking(grid.modalities).numbers)
    if not wanted:
        return participants[exclusions.KEYS].iloc[:0]
    return numbers.read_numbers(tables.open(reading, codings), wanted, participants)


def derive_targets(
    cohort: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    tables: TableFolder,
    codings: Codings,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Derive every target for every imaging visit, and describe the targets.

    Returns
    -------
    targets : DataFrame
        ``eid, instance`` and one float column a target.
    summary : DataFrame
        One row a target, at the chosen visit of each person.
    lags, sources : DataFrame
        As ``targets``: years from the answer to the scan, and the instance it is of.

    Raises
    ------
    InputError
        If the table holds something else than targets ask for.
    """
    values, lags, sources = derivations.derive_targets(cohort, participants, grid.targets)
    chosen = participants["chosen"].to_numpy(bool)
    # A run may begin here, with another grid.
    labels = codings.extended(tables.codings)
    stop_at(problems_of_values(cohort, values[chosen], grid, labels))
    summary = derivations.summarise_targets(values, lags, grid.targets, chosen)
    return values, summary, lags, sources
