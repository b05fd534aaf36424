"""Who is in the cohort: withdrawn people leave first, then people who were never scanned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from ukb_brain.errors import InputError
from ukb_brain.grid import Frozen

# UK Biobank's own numbers are lower.
FIRST_SYNTHETIC_EID = 9_000_001

DATE_OF_VISIT = 53


class DataEngineering(Frozen):
    """Settings of the cohort.

    Attributes
    ----------
    kinship_above : float
        Pairs with a larger kinship coefficient are relatives; 0.0442 is third degree or closer
        (Manichaikul et al., Bioinformatics 26:2867, 2010).
    no_withdrawals_issued : bool
        The user states that UK Biobank issued no withdrawal list for this application.
    imaging_instances : tuple of int
        Instances that are imaging visits.
    """

    kinship_above: float = Field(default=0.0442, ge=0, lt=0.5)
    no_withdrawals_issued: bool = False
    imaging_instances: tuple[int, ...] = Field(default=(2, 3), min_length=1)


@dataclass(frozen=True)
class Withdrawals:
    """The union of all withdrawal lists.

    Attributes
    ----------
    eids : frozenset of int
        People who withdrew.
    n_lists : int
        Number of lists that were read.
    folder : str
        Where lists were looked for.
    """

    eids: frozenset[int]
    n_lists: int
    folder: str


def require_withdrawals(withdrawals: Withdrawals, source: str, none_issued: bool) -> None:
    """Stop a run on real data that has no withdrawal list.

    Parameters
    ----------
    withdrawals : Withdrawals
        As read.
    source : str
        ``synthetic`` or ``ukb``.
    none_issued : bool
        Whether the user states that no list was issued.

    Raises
    ------
    InputError
        If the data are real, no list is there, and the user did not say that none was issued.
    """
    if source != "synthetic" and withdrawals.n_lists == 0 and not none_issued:
        raise InputError(
            f"No withdrawal list (w*.csv) in {withdrawals.folder}: excluding people who withdrew "
            "is a legal duty. Put the latest list there, or, if UK Biobank issued none for your "
            "application, run with --params data_engineering.no_withdrawals_issued=true"
        )


def require_synthetic(eids: pd.Series, source: str) -> None:
    """Stop a run that would take real people for a synthetic cohort.

    Parameters
    ----------
    eids : Series of int
        Of the main table.
    source : str
        ``synthetic`` or ``ukb``.

    Raises
    ------
    InputError
        If the run is of synthetic data and somebody's number is not a synthetic one.
    """
    if source != "synthetic":
        return
    foreign = int(eids.between(1, FIRST_SYNTHETIC_EID - 1).sum())
    if foreign:
        raise InputError(
            f"{foreign} of {len(eids)} participants have numbers that no synthetic cohort has, and "
            "this environment holds synthetic data: run with --env ukb (or --env rap), so that "
            "results are not stamped SYNTHETIC and withdrawal lists are required."
        )


def select_cohort(
    table: pd.DataFrame, withdrawals: Withdrawals, imaging_instances: tuple[int, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop withdrawn people, then people without an imaging visit.

    Parameters
    ----------
    table : DataFrame
        One row a person: ``eid`` and columns such as ``53-2.0``.
    withdrawals : Withdrawals
        A negative eid counts as withdrawn too.
    imaging_instances : tuple of int
        Instances that are imaging visits; a visit took place if it has a date (field 53).

    Returns
    -------
    cohort : DataFrame
        The rows that stay, sorted by ``eid``.
    flow : DataFrame
        ``step, reason, excluded, remaining``; each row's ``remaining`` is the one before it minus
        ``excluded``.

    Raises
    ------
    InputError
        If nobody is left.
    """
    eid = table["eid"].to_numpy()
    withdrawn = (eid < 0) | np.isin(eid, list(withdrawals.eids))
    dates = [name for i in imaging_instances if (name := f"{DATE_OF_VISIT}-{i}.0") in table]
    scanned = table[dates].notna().any(axis=1).to_numpy()
    steps = {
        "in the table": np.zeros(len(table), dtype=bool),
        "withdrawn (withdrawal list or negative eid)": withdrawn,
        "no imaging visit": ~scanned,
    }
    stays = np.ones(len(table), dtype=bool)
    rows = []
    for step, (reason, leaves) in enumerate(steps.items()):
        excluded = int((stays & leaves).sum())
        stays &= ~leaves
        rows.append((step, reason, excluded, int(stays.sum())))
    if not stays.any():
        raise InputError(
            f"None of the {len(table)} participants of the table is left: {rows[1][2]} withdrew "
            f"and {rows[2][2]} have no date of an imaging visit (field 53, instances "
            f"{list(imaging_instances)}). Check that the table holds these columns."
        )
    flow = pd.DataFrame(rows, columns=["step", "reason", "excluded", "remaining"])
    return table[stays].sort_values("eid", ignore_index=True), flow
