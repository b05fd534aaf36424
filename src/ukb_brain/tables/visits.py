"""Participants and what may confound their scans, one row an imaging visit."""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Target
from ukb_brain.tables.derivations import pick_visit, visit_days
from ukb_brain.tables.dictionary import AGE, DATE, SEX, SITE
from ukb_brain.tables.exclusions import KEYS, DataEngineering, choose_visits, dated_visits
from ukb_brain.tables.headers import parse_header
from ukb_brain.tables.relatives import find_families
from ukb_brain.tables.rules import answers_by_instance

logger = logging.getLogger(__name__)

DAY = pd.Timedelta(days=1)
# More than any site's scanner changed.
PHASES = 100
EPOCH = pd.Timestamp("2014-01-01")  # imaging began in 2014

# How coding 1317 marks a head position that is not known.
POSITION_MISSING = -999_999
# Described where the table holds them; scores are compared between their groups.
GROUP_FIELDS = {"ethnic_background": 21000, "deprivation": 22189}
# Field of each confound: head size and head motion always count as such, the others where
# `reporting.covariates` names them.
CONFOUND_FIELDS = {
    "head_size": 25000,
    "head_motion": 25741,
    "head_position_x": 25756,
    "head_position_y": 25757,
    "head_position_z": 25758,
    "table_position": 25759,
    "t1_snr_inverted": 25734,
    "t1_cnr_inverted": 25735,
    "flair_t1_discrepancy": 25736,
    "dmri_t1_discrepancy": 25737,
    "rfmri_t1_discrepancy": 25739,
    "dmri_outlier_slices": 25746,
    "height": 50,
}
# What people take, by code of both fields: women are asked the first, men the second.
MEDICATION_FIELDS = (6153, 6177)
MEDICATIONS = {"medication_cholesterol": 1, "medication_blood_pressure": 2, "medication_insulin": 3}
NOT_KNOWN = (-1, -3)
# In older baskets deprivation has another number.
STAND_INS = {22189: 189}
NO_DATE = np.datetime64("NaT", "us")
# What the cohort needs, by the rule of visits.
NEEDED = {
    "date of attending": (DATE, "imaging"),
    "assessment centre": (SITE, "imaging"),
    "sex": (SEX, "latest"),
    "age": (AGE, "imaging"),
}


def _of_field(
    rows: pd.DataFrame, visit: pd.Series, field: int, of_visit: str, **asked: Any
) -> npt.NDArray[np.float64]:
    """Give a field's first answer, or what else is asked for, at the visit that a rule chooses."""
    plain = {"kind": "continuous", "rule": "value", "missing": (POSITION_MISSING,)}
    target = Target(name=str(field), domain="", fields=(field,), **(plain | asked))
    answers = answers_by_instance(rows, target)
    return pick_visit(answers, visit.to_numpy(), of_visit, visit_days(rows))[0]


def _held(table: pd.DataFrame) -> set[int]:
    return {column.field for column in parse_header(table.columns)}


def one_visit(participants: pd.DataFrame) -> pd.DataFrame:
    """Take the visit of each person that models learn from and are judged by.

    Gives one row a person, sorted by eid: the ``chosen`` visit, or the first where the column is
    not there.
    """
    ordered = participants.sort_values(KEYS)
    if "chosen" in ordered:
        ordered = ordered[ordered["chosen"]]
    return ordered.drop_duplicates("eid")


def at_chosen_visit(table: pd.DataFrame, participants: pd.DataFrame) -> pd.DataFrame:
    """Take a table's rows, at most one a person, at the chosen visit of each."""
    return table.merge(one_visit(participants)[KEYS], on=KEYS, validate="one_to_one")


def describe_participants(
    cohort: pd.DataFrame, pairs: pd.DataFrame, scans: pd.DataFrame, settings: DataEngineering
) -> pd.DataFrame:
    """List each person's imaging visits with family, site, date, age and sex.

    Parameters
    ----------
    cohort : DataFrame
        One row a person: ``eid`` and columns such as ``53-2.0``.
    pairs : DataFrame
        Related pairs, ``ID1, ID2, Kinship``; without columns everybody is a family of one.
    scans : DataFrame
        Which modalities each visit has; see `ukb_brain.tables.exclusions.usable_scans`.
    settings : DataEngineering
        Imaging instances, kinship, what says that a visit took place, and between which ages lie.

    Returns
    -------
    DataFrame
        ``eid, instance, chosen, family, site, date, age, sex``, ``phase`` where phases are given
        (how often the site's scanner had changed) and, where the cohort has the
        fields, ``ethnic_background`` (codes of field 21000) and ``deprivation`` (field 22189),
        sorted by eid and instance. ``date`` is NaT throughout where there are no dates, ``site`` is
        -1 where the centre is not known; ``sex`` is 1 for male.
    """
    known = _held(cohort)
    found = {n: f if f in known else STAND_INS.get(f, f) for n, f in GROUP_FIELDS.items()}
    groups = {name: field for name, field in found.items() if field in known}
    eids = cohort["eid"].to_numpy()
    families = pd.Series(find_families(eids, pairs, settings.kinship_above), index=eids)
    visits = dated_visits(cohort, settings.imaging_instances, settings.visit_field)
    table = visits.to_frame(index=False)
    rows, instance = cohort.set_index("eid").loc[table["eid"]], table["instance"]
    table["chosen"] = choose_visits(visits, scans)
    table["family"] = table["eid"].map(families)
    table["site"] = _of_field(rows, instance, SITE, "imaging")
    table["site"] = table["site"].fillna(-1).astype(np.int64)
    place, names = pd.factorize(instance.map(f"{DATE}-{{}}.0".format))
    dates = NO_DATE if settings.no_dates else rows[names].to_numpy()[range(len(rows)), place]
    table["date"] = dates
    if settings.phases:
        table["phase"] = _phases(table["site"], table["date"], settings)
    table["age"] = _of_field(rows, instance, AGE, "imaging")
    table["sex"] = _of_field(rows, instance, SEX, "latest")
    for name, field in groups.items():
        table[name] = _of_field(rows, instance, field, "latest")
    _check_values(table, settings.age_years)
    return table


def by_phase(site: Any, phase: Any) -> Any:
    """Give sites between two changes of their scanner a code each; of arrays or Series."""
    return site * PHASES + phase


def _phases(site: pd.Series, date: pd.Series, settings: DataEngineering) -> pd.Series:
    phase = pd.Series(0, site.index, dtype=np.int64)
    for code, days in settings.phases.items():
        here = site == code
        phase[here] = np.searchsorted(pd.DatetimeIndex(days), date[here], side="right")
    return phase


def _check_values(table: pd.DataFrame, years: tuple[float, float]) -> None:
    """Check that ages are years and sexes are 0 and 1, where the cause can still be told."""
    age, sex = table["age"], table["sex"]
    outside = age.notna() & ~age.between(*years)
    if outside.any():
        months = age.median() > years[1]
        cause = "as if they were months" if months else "as 0 stands for no answer in some tables"
        raise InputError(
            f"{int(outside.sum()):,} of {len(age):,} ages (field {AGE}) are not between "
            f"{years[0]:g} and {years[1]:g} years, {cause}; UK Biobank gives whole years. Export "
            f"field {AGE} again, with empty cells where it is not known."
        )
    strange = sorted({float(v) for v in sex.dropna().unique()} - {0.0, 1.0})
    if strange:
        raise InputError(
            f"Sex (field {SEX}) holds {', '.join(f'{v:g}' for v in strange[:3])} where coding 9 "
            "has 0 for female and 1 for male, so that it was coded anew by somebody; export it "
            "again with UK Biobank's own codes or labels."
        )


def derive_confounds(cohort: pd.DataFrame, participants: pd.DataFrame) -> pd.DataFrame:
    """Collect what may confound a scan.

    Parameters
    ----------
    cohort : DataFrame
        One row a person: ``eid`` and columns such as ``25741-2.0``.
    participants : DataFrame
        As returned by `describe_participants`.

    Returns
    -------
    DataFrame
        ``eid, instance`` and float columns: site, date (days since 2014-01-01), phase of the
        site's scanner where phases are given, head size, head
        motion (mm), positions, image quality, height (cm, latest not after the scan), age (years)
        and sex. NaN is not known; a field that the table lacks is NaN throughout and logged.
        Further the covariates that the table has the fields of, which nothing uses unless it is
        asked to: ethnic background, deprivation, and medication (1 where it is taken).
    """
    rows = cohort.set_index("eid").loc[participants["eid"]]
    site = participants["site"].astype(float)
    values: dict[str, pd.Series | np.ndarray] = {
        "site": site.where(site >= 0),
        "date": (participants["date"] - EPOCH) / DAY,
    }
    if "phase" in participants:
        values["phase"] = participants["phase"].astype(float)
    for name, field in CONFOUND_FIELDS.items():
        rule = "latest" if name == "height" else "imaging"
        values[name] = _of_field(rows, participants["instance"], field, rule)
        if np.isnan(values[name]).all():
            logger.warning("Confound %s (field %s) is not known for anybody.", name, field)
    values |= {"age": participants["age"], "sex": participants["sex"]}
    values |= {name: participants[name] for name in GROUP_FIELDS if name in participants}
    values |= _medication(rows, participants["instance"])
    return participants[KEYS].assign(**values)


def _medication(rows: pd.DataFrame, visit: pd.Series) -> dict[str, np.ndarray]:
    """Whether each kind is taken, by the latest answer not after the scan."""
    fields = sorted({*MEDICATION_FIELDS} & _held(rows))
    taken = {}
    for name, code in MEDICATIONS.items() if fields else ():
        asked = {"kind": "binary", "rule": "any_of", "values": (code,), "missing": NOT_KNOWN}
        found = [_of_field(rows, visit, field, "latest", **asked) for field in fields]
        taken[name] = np.fmax.reduce(found)
    return taken
