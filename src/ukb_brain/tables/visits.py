"""Participants and what may confound their scans, one row an imaging visit."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Target
from ukb_brain.tables.derivations import answers_by_instance, pick_visit
from ukb_brain.tables.relatives import find_families

logger = logging.getLogger(__name__)

DATE, SITE, SEX, AGE = 53, 54, 31, 21003
REQUIRED_FIELDS = (DATE, SITE, SEX, AGE)
EPOCH = pd.Timestamp("2014-01-01")  # imaging began in 2014

# Field of each confound; coding 1317 marks a head position that is not known by -999999.
POSITION_MISSING = -999_999
# Described where the table holds them; scores are compared between their groups.
GROUP_FIELDS = {"ethnic_background": 21000, "deprivation": 22189}
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


def require_visit_fields(fields: Iterable[int], where: str) -> None:
    """Check that the table holds date, centre, sex and age.

    Parameters
    ----------
    fields : iterable of int
        Fields that the table holds.
    where : str
        The table's file, for the message.

    Raises
    ------
    InputError
        Naming the fields that are not there.
    """
    absent = sorted(set(REQUIRED_FIELDS) - set(fields))
    if absent:
        raise InputError(
            f"{where} does not hold field(s) {absent}; the cohort needs 53 (date of attending), 54 "
            "(assessment centre), 31 (sex) and 21003 (age). Add them to your basket and export "
            "the table again."
        )


def _of_field(rows: pd.DataFrame, visit: pd.Series, field: int, rule: str) -> np.ndarray:
    plain = Target(
        name=str(field),
        domain="",
        kind="continuous",
        field=field,
        rule="value",
        missing=(POSITION_MISSING,),
    )
    return pick_visit(answers_by_instance(rows, plain), visit.to_numpy(), rule)[0]


def describe_participants(
    cohort: pd.DataFrame,
    pairs: pd.DataFrame,
    imaging_instances: tuple[int, ...],
    kinship_above: float,
) -> pd.DataFrame:
    """List each person's imaging visits with family, site, date, age and sex.

    Parameters
    ----------
    cohort : DataFrame
        One row a person: ``eid`` and columns such as ``53-2.0``.
    pairs : DataFrame
        Related pairs, ``ID1, ID2, Kinship``.
    imaging_instances : tuple of int
        Instances that are imaging visits.
    kinship_above : float
        Pairs with a larger kinship coefficient are related.

    Returns
    -------
    DataFrame
        ``eid, instance, family, site, date, age, sex`` and, where the cohort has the fields,
        ``ethnic_background`` (codes of field 21000) and ``deprivation`` (field 22189), sorted by
        eid and instance. ``site`` is -1 where the centre is not known; ``sex`` is 1 for male.
    """
    known = {name.partition("-")[0] for name in cohort.columns}
    groups = {name: field for name, field in GROUP_FIELDS.items() if str(field) in known}
    families = cohort[["eid"]].assign(
        family=find_families(cohort["eid"].to_numpy(), pairs, kinship_above)
    )
    visits = []
    for instance in sorted(imaging_instances):
        name = f"{DATE}-{instance}.0"
        if name not in cohort:
            continue
        attended = cohort[cohort[name].notna()]
        visit = pd.Series(instance, index=attended.index)
        site = _of_field(attended, visit, SITE, "imaging")
        visits.append(
            pd.DataFrame(
                {
                    "eid": attended["eid"],
                    "instance": np.int64(instance),
                    "site": np.where(np.isnan(site), -1, site).astype(np.int64),
                    "date": attended[name],
                    "age": _of_field(attended, visit, AGE, "imaging"),
                    "sex": _of_field(attended, visit, SEX, "latest"),
                }
                | {
                    name: _of_field(attended, visit, field, "latest")
                    for name, field in groups.items()
                }
            )
        )
    table = pd.concat(visits).merge(families, on="eid", validate="many_to_one")
    columns = ["eid", "instance", "family", "site", "date", "age", "sex", *groups]
    return table[columns].sort_values(["eid", "instance"], ignore_index=True)


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
        ``eid, instance`` and float columns: site, date (days since 2014-01-01), head size, head
        motion (mm), positions, image quality, height (cm, latest not after the scan), age (years)
        and sex. NaN is not known; a field that the table lacks is NaN throughout and logged.
    """
    rows = cohort.set_index("eid").loc[participants["eid"]].reset_index()
    site = participants["site"].astype(float)
    values: dict[str, pd.Series | np.ndarray] = {
        "site": site.where(site >= 0),
        "date": (participants["date"] - EPOCH).dt.total_seconds() / 86_400,
    }
    for name, field in CONFOUND_FIELDS.items():
        rule = "latest" if name == "height" else "imaging"
        values[name] = _of_field(rows, participants["instance"], field, rule)
        if np.isnan(values[name]).all():
            logger.warning("Confound %s (field %s) is not known for anybody.", name, field)
    values |= {"age": participants["age"], "sex": participants["sex"]}
    return participants[["eid", "instance"]].assign(**values)
