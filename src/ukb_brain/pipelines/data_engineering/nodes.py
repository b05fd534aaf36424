"""Nodes of data engineering: from the raw table to who is in, what is known, and the split."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.imaging import bulk_index
from ukb_brain.imaging.preprocess import CONNECTIVITY, ImagingPreprocess
from ukb_brain.problems import stop_at
from ukb_brain.statistics.people.participation import match_participation
from ukb_brain.tables import data_dictionary, derivations, exclusions, splits, visits
from ukb_brain.tables.codings import Codings
from ukb_brain.tables.derivations import problems_of_fields
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.raw_problems import (
    needed_fields,
    not_needed,
    problems_of_lists,
    wanted_fields,
)
from ukb_brain.tables.splits import Splitting
from ukb_brain.tables.table_file import TableSettings
from ukb_brain.tables.target_checks import problems_of_values

logger = logging.getLogger(__name__)


def index_bulk(
    bulk: Path, before: pd.DataFrame, imaging: ImagingPreprocess, withdrawals: Withdrawals
) -> pd.DataFrame:
    """List the bulk files, reading the directories of those zips that are new or changed.

    Parameters
    ----------
    bulk : Path
        Folder of bulk files.
    before : pandas.DataFrame
        The index of the run before; without columns where there is none.
    imaging : ImagingPreprocess
        Fields of modalities, and what their zips must hold.
    withdrawals : Withdrawals
        Whose files are passed over.

    Returns
    -------
    pandas.DataFrame
        See `ukb_brain.imaging.bulk_index.index_bulk`, and ``state``.

    Raises
    ------
    InputError
        If zips hold several atlases and none is named, or not the one that is.
    """
    earlier = before if len(before.columns) else None
    fields, gone = imaging.fields.values(), withdrawals.eids
    index, others = bulk_index.index_bulk(bulk, fields, earlier, gone)
    stop_at(bulk_index.problems_of_atlas(index, imaging.fields[CONNECTIVITY], imaging.atlas))
    index["state"] = bulk_index.states(index, imaging.members)
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

    Parameters
    ----------
    tables : TableFolder
        Where the main table lies.
    withdrawals : Withdrawals
        The union of all lists.
    relatedness : pandas.DataFrame
        ``ID1, ID2, Kinship``; without columns where there is no such file.
    index : pandas.DataFrame
        As returned by `index_bulk`.
    grid : Grid
        Whose targets say which fields are needed.
    settings : DataEngineering
        Imaging instances, cohort rule, and what the user states is not there.
    reading : TableSettings
        How tables are read, where that shall not be found out.
    codings : Codings
        Labels that may stand in place of codes.
    imaging : ImagingPreprocess
        Fields of modalities.
    source : str
        ``synthetic`` or ``ukb``.

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
    table = tables.open(reading, codings)
    exclusions.require_withdrawals(withdrawals, source, settings.no_withdrawals_issued)
    exclusions.require_relatedness(relatedness, settings.no_relatedness)
    needed, instances = needed_fields(grid, settings.no_dates), settings.imaging_instances
    stop_at(
        problems_of_fields(needed, table.columns, instances, not_needed(grid), len(grid.targets))
    )
    people = table.read({*wanted_fields(grid)})
    exclusions.require_synthetic(people["eid"], source)
    for problem in problems_of_lists(people["eid"], withdrawals, relatedness, index):
        logger.warning("%s", problem)
    modalities = {m: imaging.fields[m] for m in grid.modalities if m in imaging.fields}
    scans = exclusions.usable_scans(index, modalities)
    cohort, flow = exclusions.select_cohort(people, withdrawals, scans, relatedness, settings)
    instances, field = settings.imaging_instances, settings.visit_field
    counts = exclusions.count_scans(scans, people, cohort, instances, field)
    return cohort, scans.reset_index(), flow, counts


def describe_participants(
    cohort: pd.DataFrame,
    relatedness: pd.DataFrame,
    scans: pd.DataFrame,
    weights: pd.DataFrame,
    settings: DataEngineering,
) -> pd.DataFrame:
    """List each person's imaging visits with family, site, date, age, sex and groups.

    Parameters
    ----------
    cohort : pandas.DataFrame
        As returned by `select_cohort`.
    relatedness : pandas.DataFrame
        ``ID1, ID2, Kinship``.
    scans : pandas.DataFrame
        As returned by `select_cohort`.
    weights : pandas.DataFrame
        ``eid, weight`` of participation; without columns where there is no such table.
    settings : DataEngineering
        Imaging instances and the kinship threshold.

    Returns
    -------
    pandas.DataFrame
        ``eid, instance, chosen, family, site, date, age, sex``, and where they are known
        ``ethnic_background, deprivation, participation_weight``.
    """
    people = visits.describe_participants(
        cohort,
        relatedness,
        scans.set_index(["eid", "instance"]),
        settings.imaging_instances,
        settings.kinship_above,
        settings.visit_field,
        settings.age_years,
    )
    if not len(weights.columns):
        return people
    found = match_participation(people["eid"].to_numpy(np.int64), weights)
    return people.assign(participation_weight=found)


def derive_targets(
    cohort: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    tables: TableFolder,
    codings: Codings,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Derive every target for every imaging visit, and describe the targets.

    Parameters
    ----------
    cohort : DataFrame
        As returned by `select_cohort`.
    participants : DataFrame
        As returned by `describe_participants`.
    grid : Grid
        Whose targets are derived.
    tables : TableFolder
        Where the user's own files of codings lie.
    codings : Codings
        What codes mean.

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
    values, lags, sources = derivations.derive_with_sources(cohort, participants, grid.targets)
    chosen = participants["chosen"].to_numpy(bool)
    labels = codings.extended(tables.codings)
    problems = problems_of_values(cohort, values[chosen], grid, labels)
    stop_at(problems)
    for problem in problems:
        logger.warning("%s", problem)
    summary = derivations.summarise_targets(values, lags, grid.targets, chosen)
    return values, summary, lags, sources


def derive_confounds(cohort: pd.DataFrame, participants: pd.DataFrame) -> pd.DataFrame:
    """Collect what may confound a scan.

    Parameters
    ----------
    cohort : DataFrame
        As returned by `select_cohort`.
    participants : DataFrame
        As returned by `describe_participants`.

    Returns
    -------
    DataFrame
        ``eid, instance`` and float columns.
    """
    return visits.derive_confounds(cohort, participants)


def describe_data(
    targets: pd.DataFrame,
    lags: pd.DataFrame,
    sources: pd.DataFrame,
    confounds: pd.DataFrame,
    participants: pd.DataFrame,
    splits: pd.DataFrame,
    grid: Grid,
    tables: TableFolder,
    codings: Codings,
) -> pd.DataFrame:
    """Describe every target, confound and covariate.

    Parameters
    ----------
    targets, lags, sources, confounds, participants, splits : pandas.DataFrame
        Of this pipeline.
    grid : Grid
        Its targets.
    tables : TableFolder
        Where the user's own files of codings lie.
    codings : Codings
        What codes mean.

    Returns
    -------
    pandas.DataFrame
        See `ukb_brain.tables.data_dictionary.describe`.
    """
    labels = codings.extended(tables.codings)
    return data_dictionary.describe(
        targets, lags, sources, confounds, participants, splits, grid, labels
    )


def make_splits(
    participants: pd.DataFrame, given: pd.DataFrame, splitting: Splitting, seed: int
) -> pd.DataFrame:
    """Split people by whole families, in proportion within age band, sex and site.

    Parameters
    ----------
    participants : pandas.DataFrame
        As returned by `describe_participants`.
    given : pandas.DataFrame
        The user's own ``eid, fold, part``; without columns where there is no such table.
    splitting : Splitting
        Scheme, fractions and age bands.
    seed : int
        The same seed and people give the same split.

    Returns
    -------
    pandas.DataFrame
        ``eid, fold, part``, with one fold or several.
    """
    return splits.make_splits(participants, splitting, seed, given)
