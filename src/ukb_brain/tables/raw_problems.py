"""What raw tables must hold, and what their lists have in common with them."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.problems import Problem
from ukb_brain.tables import visits
from ukb_brain.tables.dictionary import DATE
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.relatives import known_pairs

OTHER_APPLICATION = "each application has its own eids, so that it is likely another application's"


def needed_fields(grid: Grid, no_dates: bool = False) -> dict[str, tuple[int, str]]:
    """List fields without which there is no run: field and rule of visits, by what needs it."""
    targets = {
        key if len(target.fields) == 1 else f"{key} of {field}": (field, target.visit)
        for key, target in grid.targets.items()
        for field in target.fields
    }
    always = {use: of for use, of in visits.NEEDED.items() if of[0] != DATE or not no_dates}
    return always | targets


def problems_of_table(
    columns: Collection[FieldColumn], grid: Grid, settings: DataEngineering
) -> list[Problem]:
    """List what a table with these columns lacks of what grid and cohort need, all of it at once.

    One problem tells of all absent fields, and one of all that lack the instance of their rule.
    """
    wanted, visited = needed_fields(grid, settings.no_dates), settings.imaging_instances
    instances: dict[int, set[int]] = {}
    for column in columns:
        instances.setdefault(column.field, set()).add(column.instance)
    absent = {name: field for name, (field, _) in wanted.items() if field not in instances}
    late = {
        name: f"{field} ({name}: instances {sorted(instances[field])})"
        for name, (field, rule) in wanted.items()
        if field in instances
        and (
            not instances[field] & set(visited)
            if rule == "imaging"
            else min(instances[field]) > max(visited)
        )
    }
    without = _without({*absent, *late}, grid)
    lacking = ", ".join(f"{field} ({name})" for name, field in absent.items())
    told = (
        (
            absent,
            f"the main table lacks field(s) {lacking}",
            "add them to your basket and export the table again, or correct `field` in "
            f"conf/base/parameters_grid.yml{without}",
        ),
        (
            late,
            f"the main table lacks the imaging visit (instance {min(visited)}) of "
            f"field(s) {', '.join(late.values())}",
            "export these fields at all instances, or set `visit: latest` for a target whose "
            f"earlier answer will do{'' if absent else without}",
        ),
    )
    return [Problem("stop", what, remedy) for found, what, remedy in told if found]


def _without(names: Collection[str], grid: Grid) -> str:
    """Say how to run without some targets, unless it is also something else that is needed."""
    # A target of several fields is named with each of them.
    lacking = {name.partition(" of ")[0] for name in names}
    # Sex and age describe people in any case.
    keys = [key for key in grid.targets if key in lacking and key not in visits.NEEDED]
    if not keys or len(keys) < len(lacking) or len(keys) == len(grid.targets):
        return ""
    return f", or go on without these targets: --params grid.leave_out={'+'.join(keys)}"


def wanted_fields(grid: Grid) -> frozenset[int]:
    """List all fields that are read where the table holds them."""
    needed = {field for field, _ in needed_fields(grid).values()}
    groups = {*visits.GROUP_FIELDS.values(), *visits.STAND_INS.values(), *visits.MEDICATION_FIELDS}
    return frozenset(needed | groups | {*visits.CONFOUND_FIELDS.values()})


def problems_of_lists(
    eids: pd.Series, withdrawals: Withdrawals, relatedness: pd.DataFrame, index: pd.DataFrame
) -> list[Problem]:
    """Warn of withdrawals, relatives and scans of which none matches anybody of the table.

    Parameters
    ----------
    eids : Series of int
        Of the main table.
    withdrawals : Withdrawals
        The union of all lists.
    relatedness : DataFrame
        ``ID1, ID2, Kinship``; without columns where there is no such file.
    index : DataFrame
        Bulk files: ``eid`` and more.
    """
    people = eids.to_numpy(np.int64)
    told = (
        (
            withdrawals.eids and not np.isin(people, list(withdrawals.eids)).any(),
            f"none of the {len(withdrawals.eids):,} people on the withdrawal list(s) is in the "
            "main table",
            "either the table was made after they had left, which is well, or "
            f"{OTHER_APPLICATION} list: compare its number with yours",
        ),
        (
            len(relatedness) and not known_pairs(relatedness, people),
            f"of {len(relatedness):,} pairs of the relatedness file none has both people in the "
            "main table, so that relatives would not be kept together",
            f"{OTHER_APPLICATION} file: fetch your own with `gfetch rel`",
        ),
        (
            len(index) and not np.isin(index["eid"].unique(), people).any(),
            f"none of the {index['eid'].nunique():,} people with bulk files is in the main table",
            f"{OTHER_APPLICATION} folder, or the table is",
        ),
    )
    return [Problem("warning", what, remedy) for holds, what, remedy in told if holds]
