"""Who is in the cohort: withdrawn people leave first, then those without what is needed."""

from collections.abc import Mapping
from datetime import date
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from ukb_brain.errors import InputError
from ukb_brain.settings_base import Settings
from ukb_brain.tables.dictionary import DATE, SITE
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.relatives import find_families

# UK Biobank's own numbers are lower.
FIRST_SYNTHETIC_EID = 9_000_001

# Ages of UK Biobank's people, with room to spare.
ADULTS = (18.0, 110.0)
KEYS = ["eid", "instance"]


class DataEngineering(Settings):
    """Settings of the cohort.

    Attributes
    ----------
    kinship_above : float
        Pairs with a larger kinship coefficient are relatives; 0.0442 is third degree or closer
        (Manichaikul et al., Bioinformatics 26:2867, 2010).
    relatives : {"keep_together", "thin"}
        Whether families go to one part of the split together, or only their member with the
        smallest eid stays.
    no_relatedness : bool
        The user states that there is no relatedness file: everybody is a family of one.
    no_withdrawals_issued : bool
        The user states that UK Biobank issued no withdrawal list for this application.
    no_dates : bool
        The user states that visits have no dates: one took place where it has a site.
    age_years : (float, float)
        Nobody of the cohort is younger or older; other ages are a mistake of the table.
    imaging_instances : tuple of int
        Instances that are imaging visits.
    cohort : {"available", "complete"}
        Whether people with any imaging visit stay, or only those with all modalities at one.
    phases : dict of int to tuple of date
        By site: days from which on its scanner was another, as after a new coil or software, in
        their order. UK Biobank hands out no table of them.
    """

    kinship_above: float = Field(default=0.0442, ge=0, lt=0.5)
    relatives: Literal["keep_together", "thin"] = "keep_together"
    no_relatedness: bool = False
    no_withdrawals_issued: bool = False
    no_dates: bool = False
    age_years: tuple[float, float] = ADULTS
    imaging_instances: tuple[int, ...] = Field(default=(2, 3), min_length=1)
    cohort: Literal["available", "complete"] = "available"
    phases: dict[int, tuple[date, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_phases_in_order(self) -> Self:
        for site, days in self.phases.items():
            if list(days) != sorted({*days}):
                raise ValueError(f"data_engineering.phases of site {site} must be days that ascend")
        if self.phases and self.no_dates:
            raise ValueError(
                "data_engineering.phases need dates of visits, and no_dates says there are none"
            )
        return self

    @property
    def visit_field(self) -> int:
        """Field that has an answer where a visit took place."""
        return SITE if self.no_dates else DATE


def require_withdrawals(withdrawals: Withdrawals, source: str, none_issued: bool) -> None:
    """Stop a run on real data without a withdrawal list, unless the user states none was issued.

    Raises `InputError`.
    """
    if source != "synthetic" and withdrawals.n_lists == 0 and not none_issued:
        raise InputError(
            f"No withdrawal list (w<application>_<date>.csv or .txt) in {withdrawals.folder}: "
            "excluding people who withdrew is a legal duty. Put every list there, or, if UK "
            "Biobank issued none for your application, run with --params "
            "data_engineering.no_withdrawals_issued=true"
        )


def require_relatedness(pairs: pd.DataFrame, no_relatedness: bool) -> None:
    """Stop a run that would part relatives, unless the user states that there is no list of them.

    Raises `InputError`. Pairs have no columns where there is no file.
    """
    if not len(pairs.columns) and not no_relatedness:
        raise InputError(
            "There is no relatedness file (columns ID1 ID2 HetHet IBS0 Kinship) among the raw "
            "files, and relatives on both sides of the split would inflate every score. Fetch it "
            "with UK Biobank's `gfetch rel`, or, if your application has no genetic data, run with "
            "--params data_engineering.no_relatedness=true: everybody is then a family of one, "
            "which your report should say."
        )


def require_synthetic(eids: pd.Series, source: str) -> None:
    """Raise an `InputError` if somebody's number in a run of synthetic data is not synthetic."""
    if source != "synthetic":
        return
    foreign = int(eids.between(1, FIRST_SYNTHETIC_EID - 1).sum())
    if foreign:
        raise InputError(
            f"{foreign} of {len(eids)} participants have numbers that no synthetic cohort has, and "
            "this environment holds synthetic data: run with --env ukb (or --env rap), so that "
            "results are not stamped SYNTHETIC and withdrawal lists are required."
        )


def usable_scans(index: pd.DataFrame, modalities: Mapping[str, int]) -> pd.DataFrame:
    """Tabulate which modalities each visit has, by the directories of bulk files.

    Parameters
    ----------
    index : DataFrame
        ``eid, field, instance, array, state``, and ``lacks`` where a file may hold one modality of
        its field and not another: names of those that it lacks, with blanks between them.
    modalities : dict of str to int
        Bulk field of each modality.

    Returns
    -------
    DataFrame
        Indexed by eid and instance, a bool column a modality; visits without any are left out.
    """
    good = index[(index["array"] == 0) & (index["state"] == "ok")]
    good = good[good["field"].isin(modalities.values())]
    has = {modality: good["field"] == field for modality, field in modalities.items()}
    if "lacks" in good:
        names = {text: text.split() for text in good["lacks"].unique()}
        for modality, there in has.items():
            without = [text for text, lacking in names.items() if modality in lacking]
            has[modality] = there & ~good["lacks"].isin(without)
    # To cross-tabulate takes much longer.
    return good[KEYS].astype(np.int64).assign(**has).groupby(KEYS).any()


def dated_visits(
    table: pd.DataFrame, instances: tuple[int, ...], field: int = DATE
) -> pd.MultiIndex:
    """List the imaging visits that took place, sorted by eid and instance.

    They have a date, or where there are no dates an answer to another field.
    """
    names = [f"{field}-{instance}.0" for instance in instances]
    person, visit = np.nonzero(table.reindex(columns=names).notna())
    found = [table["eid"].to_numpy()[person], np.array(instances, np.int64)[visit]]
    return pd.MultiIndex.from_arrays(found, names=KEYS).sort_values()


def choose_visits(visits: pd.MultiIndex, scans: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Choose the visit of each person that models learn from and are judged by.

    Parameters
    ----------
    visits : MultiIndex
        Of eid and instance.
    scans : DataFrame
        As returned by `usable_scans`, with the modalities of the grid.

    Returns
    -------
    ndarray of shape (visits,)
        True once a person: at the first visit with all modalities, or else at the first.
    """
    complete = scans.all(axis=1).to_numpy(bool) & bool(len(scans.columns))
    order = visits.to_frame(index=False).assign(lacks=~visits.isin(scans.index[complete]))
    first = order.sort_values(["eid", "lacks", "instance"]).drop_duplicates("eid").index
    return order.index.isin(first)


def select_cohort(
    table: pd.DataFrame,
    withdrawals: Withdrawals,
    scans: pd.DataFrame,
    pairs: pd.DataFrame,
    settings: DataEngineering,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop withdrawn people, then people without an imaging visit, and whom else settings name.

    Parameters
    ----------
    table : DataFrame
        One row a person: ``eid`` and columns such as ``53-2.0``.
    withdrawals : Withdrawals
        A negative eid counts as withdrawn too.
    scans : DataFrame
        As returned by `usable_scans`, with the modalities of the grid.
    pairs : DataFrame
        Related pairs, ``ID1, ID2, Kinship``; needed to thin families.
    settings : DataEngineering
        Imaging instances, cohort rule, what becomes of relatives.

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
    field = settings.visit_field
    marked = "site" if settings.no_dates else "date"
    visits = dated_visits(table, settings.imaging_instances, field)
    dated = np.isin(eid, visits.get_level_values(0))
    listed = np.isin(eid, scans.index.get_level_values(0))
    withdrawn = (eid < 0) | np.isin(eid, list(withdrawals.eids))
    steps = {
        "in the table": np.zeros(len(table), dtype=bool),
        "withdrawn (withdrawal list or negative eid)": withdrawn,
    }
    for reason, people in withdrawals.excluded.items():
        steps[f"left out by list: {reason}"] = np.isin(eid, list(people))
    steps[f"scanned, but no imaging visit has a {marked} (field {field})"] = listed & ~dated
    steps["no imaging visit"] = ~dated
    if settings.cohort == "complete":
        whole = scans.index[scans.all(axis=1).to_numpy(bool)]
        complete = visits[visits.isin(whole)].get_level_values(0)
        steps["not all modalities at one visit"] = ~np.isin(eid, complete)
    stays = np.ones(len(table), dtype=bool)
    rows: list[tuple[str, int, int]] = []
    for reason, leaves in steps.items():
        excluded = int((stays & leaves).sum())
        stays &= ~leaves
        rows.append((reason, excluded, int(stays.sum())))
    if settings.relatives == "thin" and stays.any():
        families = find_families(eid[stays], pairs, settings.kinship_above)
        kept = pd.DataFrame({"eid": eid[stays], "family": families})
        first = kept.sort_values("eid").drop_duplicates("family")["eid"]
        rows.append(("related to somebody who stays", len(kept) - len(first), len(first)))
        stays &= np.isin(eid, first)
    if not stays.any():
        told = "; ".join(f"{reason}: {n:,}" for reason, n, _ in rows[1:] if n)
        raise InputError(
            f"None of the {len(table):,} participants of the table is left ({told}). Check that "
            f"the table holds field {field} at instances {list(settings.imaging_instances)}, and "
            "that bulk files and lists are of the table's application."
        )
    flow = pd.DataFrame(rows, columns=["reason", "excluded", "remaining"])
    flow.insert(0, "step", flow.index)
    return table[stays].sort_values("eid", ignore_index=True), flow


def count_scans(
    scans: pd.DataFrame, table: pd.DataFrame, cohort: pd.DataFrame, settings: DataEngineering
) -> pd.DataFrame:
    """Count people with scans of each modality.

    Parameters
    ----------
    scans : DataFrame
        As returned by `usable_scans`.
    table, cohort : DataFrame
        Everybody, and who stays: ``eid`` and columns such as ``53-2.0``.
    settings : DataEngineering
        Imaging instances, and which field says whether a visit took place.

    Returns
    -------
    DataFrame
        ``modality, people`` (of the table, with a usable scan at any imaging visit), ``undated``
        (whose visits with such a scan have no date) and ``in_cohort``.
    """
    dated = dated_visits(table, settings.imaging_instances, settings.visit_field)
    mine = scans[scans.index.isin(settings.imaging_instances, level="instance")]
    mine = mine[mine.index.isin(table["eid"], level="eid")]
    people, with_date = (s.groupby("eid").any() for s in (mine, mine[mine.index.isin(dated)]))
    counts = {
        "people": people.sum(),
        "undated": people.sum() - with_date.sum(),
        "in_cohort": people[people.index.isin(cohort["eid"])].sum(),
    }
    return pd.DataFrame(counts).rename_axis("modality").reset_index()
