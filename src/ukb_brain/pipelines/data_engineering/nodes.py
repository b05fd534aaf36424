"""Nodes of data engineering: from the raw table to who is in, what is known, and the split."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ukb_brain.datasets.ukb_table import UKBTable
from ukb_brain.grid import Grid
from ukb_brain.statistics.people.participation import match_participation
from ukb_brain.tables import derivations, exclusions, splits, visits
from ukb_brain.tables.exclusions import DataEngineering, Withdrawals
from ukb_brain.tables.splits import Splitting


def select_cohort(
    table: UKBTable,
    withdrawals: Withdrawals,
    grid: Grid,
    settings: DataEngineering,
    source: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the columns that are needed and drop who is not in the cohort, the withdrawn first.

    Parameters
    ----------
    table : UKBTable
        The main table.
    withdrawals : Withdrawals
        The union of all lists.
    grid : Grid
        Whose targets say which fields are needed.
    settings : DataEngineering
        Imaging instances, and whether the user states that no list was issued.
    source : str
        ``synthetic`` or ``ukb``.

    Returns
    -------
    cohort : DataFrame
        One row a person: ``eid`` and columns such as ``21003-2.0``.
    flow : DataFrame
        ``step, reason, excluded, remaining``.

    Raises
    ------
    InputError
        If real data come without a withdrawal list or as synthetic ones, or a field is not in the
        table.
    """
    exclusions.require_withdrawals(withdrawals, source, settings.no_withdrawals_issued)
    visits.require_visit_fields(table.fields, str(table.path))
    derivations.require_fields(grid.targets, table.fields, str(table.path))
    fields = {target.field for target in grid.targets.values()}
    fields |= {*visits.REQUIRED_FIELDS, *visits.CONFOUND_FIELDS.values()}
    fields |= {*visits.GROUP_FIELDS.values()}
    people = table.read(fields)
    exclusions.require_synthetic(people["eid"], source)
    return exclusions.select_cohort(people, withdrawals, settings.imaging_instances)


def describe_participants(
    cohort: pd.DataFrame,
    relatedness: pd.DataFrame,
    weights: pd.DataFrame,
    settings: DataEngineering,
) -> pd.DataFrame:
    """List each person's imaging visits with family, site, date, age, sex and groups.

    Parameters
    ----------
    cohort : DataFrame
        As returned by `select_cohort`.
    relatedness : DataFrame
        ``ID1, ID2, Kinship``.
    weights : DataFrame
        ``eid, weight`` of participation; without columns where there is no such table.
    settings : DataEngineering
        Imaging instances and the kinship threshold.

    Returns
    -------
    DataFrame
        ``eid, instance, family, site, date, age, sex``, and where they are known
        ``ethnic_background, deprivation, participation_weight``.
    """
    people = visits.describe_participants(
        cohort, relatedness, settings.imaging_instances, settings.kinship_above
    )
    if not len(weights.columns):
        return people
    found = match_participation(people["eid"].to_numpy(np.int64), weights)
    return people.assign(participation_weight=found)


def derive_targets(
    cohort: pd.DataFrame, participants: pd.DataFrame, grid: Grid
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Derive every target for every imaging visit, and describe the targets.

    Parameters
    ----------
    cohort : DataFrame
        As returned by `select_cohort`.
    participants : DataFrame
        As returned by `describe_participants`.
    grid : Grid
        Whose targets are derived.

    Returns
    -------
    targets : DataFrame
        ``eid, instance`` and one float column a target.
    summary : DataFrame
        One row a target, at people's first imaging visit.
    """
    values, lags = derivations.derive_targets(cohort, participants, grid.targets)
    return values, derivations.summarise_targets(values, lags, grid.targets)


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


def make_splits(participants: pd.DataFrame, splitting: Splitting, seed: int) -> pd.DataFrame:
    """Split people by whole families, in proportion within age band, sex and site.

    Parameters
    ----------
    participants : DataFrame
        As returned by `describe_participants`.
    splitting : Splitting
        Scheme, fractions and age bands.
    seed : int
        The same seed and people give the same split.

    Returns
    -------
    DataFrame
        ``eid, fold, part``, with one fold or several.
    """
    return splits.make_splits(participants, splitting, seed)
