"""The main table, the withdrawal list and the relatedness file, as UK Biobank hands them out."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.atomic import atomic_path
from ukb_brain.synthetic.idps import idp_columns
from ukb_brain.synthetic.people import FAMILY_BLOCK, family_of, latents, traits, variates
from ukb_brain.synthetic.settings import FIRST_EID, SyntheticCohort
from ukb_brain.synthetic.visits import visits_of
from ukb_brain.tables.headers import parse_column

Values = dict[str, float]

NO, NOT_KNOWN, NO_ANSWER, NONE_OF_THESE = 0, -1, -3, -7
YES_NO_FIELDS = {
    "mood_swings": 1920, "miserableness": 1930, "irritability": 1940, "sensitivity": 1950,
    "fed_up": 1960, "nervous": 1970, "anxious": 1980, "tense": 1990, "worry": 2000,
    "lonely": 2020, "guilty": 2030,
}  # fmt: skip
# Blood was taken at the first two visits; field and decimals.
SEROLOGY = {"hb": (30020, 2), "hdl": (30760, 3), "hba1c": (30750, 1), "ldl": (30780, 3)}
# An answer given at another visit than the scan's differs from it for so many people.
CHANGED_ANSWER = 0.15
UNANSWERED, MISSING_VALUE = 0.025, 0.03
# Of the head and the table in the scanner: mean and standard deviation.
POSITIONS = {25756: (0.0, 1.5), 25757: (60.0, 3.0), 25758: (-40.0, 6.0), 25759: (-1000.0, 12.0)}


def main_table(cohort: SyntheticCohort) -> pd.DataFrame:
    """Make the main table, all text, and empty where there is no entry.

    ``eid`` comes first, then ``field-instance.array``.

    Examples
    --------
    >>> sizes = {"voxel_mm": 8, "regions": 25, "time_points": 60}
    >>> table = main_table(SyntheticCohort(participants=2, seed=1, **sizes))
    >>> table["eid"].tolist()
    ['9000001', '9000002']
    """
    numbers = range(1, cohort.participants + 1)
    e = variates(cohort.seed, numbers, cohort.deep)
    z = latents(e)
    people = (pd.DataFrame(columns).to_dict("records") for columns in (traits(z, e), z))
    rows = [_Row(cohort.seed, *person).cells for person in zip(numbers, *people, strict=True)]
    # As objects: a code would become 4.0 wherever somebody else has no entry.
    table = pd.DataFrame(rows, dtype=object)
    ordered = sorted(table.columns.drop("eid"), key=parse_column)
    table = table[["eid", *ordered]].fillna("").astype(str)
    return pd.concat([table, idp_columns(cohort, z)], axis=1) if cohort.idps else table


class _Row:
    """The cells of a person; draws come from the person's own stream, in the order of the lines."""

    def __init__(self, seed: int, number: int, person: Values, z: Values) -> None:
        self.person, self.z = person, z
        self.rng = rng = np.random.default_rng([seed, number, 5])
        self.cells: dict[str, Any] = {"eid": str(FIRST_EID + number - 1)}
        self._put(31, 0, int(person["sex"]))
        ethnic = rng.choice([1001, 1002, 3001, 4001, NO_ANSWER], p=[0.9, 0.04, 0.03, 0.02, 0.01])
        self._put(21000, 0, int(ethnic))
        self._put(22189, 0, round(float(rng.normal(-1.6, 2.8)), 3))
        self._put(22011, 0, number if rng.random() < 0.03 else "")
        dates = visits_of(seed, number).dates
        for instance, day in dates.items():
            lag = (day - dates[2]).days / 365.25 if 2 in dates else 0.0
            self._put(53, instance, day.isoformat())
            site = z["site_code"] if instance >= 2 else rng.integers(11001, 11024)
            self._put(54, instance, int(site))
            # Age was drawn for the imaging visit; it is in whole years, as UK Biobank gives it.
            self._put(21003, instance, int(person["age"] + lag))
            self._measures(instance)
            self._answers(instance)
        for name, (field, decimals) in SEROLOGY.items():
            for instance in (0, 1):
                if instance in dates and rng.random() > MISSING_VALUE:
                    noise = 0.0 if instance == 0 else rng.normal(0, 0.08)
                    self._put(field, instance, round(person[name] * (1 + noise * 0.5), decimals))
        for instance in dates:
            if instance >= 2:
                self._scan_measures(instance)

    def _put(self, field: int, instance: int, entry: object, array: int = 0) -> None:
        self.cells[f"{field}-{instance}.{array}"] = entry

    def _measures(self, instance: int) -> None:
        person, rng = self.person, self.rng
        drift = 0.0 if instance == 2 else 1.0
        height = (175.6 if person["sex"] else 162.7) + 6.4 * self.z["height"]
        for field, value, decimals in (
            (50, height, 1),
            (21002, person["weight"] + drift * rng.normal(0, 3.0), 1),
            (23099, person["body_fat"] + drift * rng.normal(0, 1.8), 1),
            (20023, max(person["reaction_time"] + drift * rng.normal(0, 60), 250), 0),
        ):
            if rng.random() > MISSING_VALUE / 2:
                self._put(field, instance, round(float(value), decimals))
        if rng.random() > 0.05:
            # Men and women are asked in fields of their own.
            medication = 6177 if person["sex"] else 6153
            codes = [1, 2, NONE_OF_THESE, NO_ANSWER]
            self._put(medication, instance, int(rng.choice(codes, p=[0.15, 0.15, 0.68, 0.02])))

    def _answers(self, instance: int) -> None:
        person, rng = self.person, self.rng
        for name, field in YES_NO_FIELDS.items():
            draw = rng.random()
            if draw < UNANSWERED:
                answer = NOT_KNOWN if draw < UNANSWERED * 0.7 else NO_ANSWER
            else:
                changed = instance != 2 and rng.random() < CHANGED_ANSWER
                answer = int(bool(person[name]) != changed)
            self._put(field, instance, answer)
        smoked = NO
        if rng.random() < UNANSWERED / 2:
            smoked = NO_ANSWER
        elif person["smoking"]:
            smoked = 2 if rng.random() < 0.15 else 1
        self._put(20116, instance, smoked)
        if instance <= 2:
            left = 3 if rng.random() < 0.15 else 2
            hand = 1 if person["handedness"] else left
            self._put(1707, instance, NO_ANSWER if rng.random() < UNANSWERED / 5 else hand)
            others = {1: 0.02, 2: 0.03, 3: 0.015}
            self._diagnoses(6150, instance, others, {4: "hypertension"})
        others = {5: 0.02, 6: 0.02, 7: 0.01}
        self._diagnoses(6152, instance, others, {8: "asthma", 9: "atopy"})

    def _diagnoses(
        self, field: int, instance: int, others: dict[int, float], targets: dict[int, str]
    ) -> None:
        """Answer with several codes: of others by their shares, and of targets."""
        rng = self.rng
        codes = [code for code, share in others.items() if rng.random() < share]
        for code, name in targets.items():
            # Never taken back, but some are made only after the earlier visit.
            forgotten = instance < 2 and rng.random() < CHANGED_ANSWER
            codes += [code] * (bool(self.person[name]) and not forgotten)
        draw = rng.random()
        if draw < UNANSWERED / 2:
            return
        if draw < UNANSWERED:
            codes = [NO_ANSWER]
        for array, code in enumerate(codes or [NONE_OF_THESE]):
            self._put(field, instance, code, array)

    def _scan_measures(self, instance: int) -> None:
        z, rng = self.z, self.rng
        values = {
            25000: 1.29 - 0.11 * z["head"],
            25741: 0.12 * np.exp(0.35 * z["motion"]),
            25734: 0.088 * np.exp(0.12 * rng.standard_normal()),
            25735: 0.34 * np.exp(0.10 * rng.standard_normal()),
            25736: 0.29 + 0.03 * rng.standard_normal(),
            25737: 0.41 + 0.04 * rng.standard_normal(),
            25739: 0.43 + 0.04 * rng.standard_normal(),
            25746: int(rng.poisson(2.5 * np.exp(0.3 * z["motion"]))),
        } | {field: rng.normal(*place) for field, place in POSITIONS.items()}
        for field, value in values.items():
            missing = rng.random() < 0.01
            if not missing:
                self._put(field, instance, round(float(value), 5))
            elif field in POSITIONS:
                self._put(field, instance, -999999)


def write_lists(cohort: SyntheticCohort, folder: Path) -> None:
    """Write withdrawal lists and the relatedness file under UK Biobank's names."""
    gone = withdrawn(cohort)
    # Two lists, which are both in force.
    texts = {
        "w12345_20260101.csv": "".join(f"{eid}\n" for eid in gone[::2]),
        "withdraw12345_88_20260601.txt": "".join(f"{eid}\n" for eid in gone[1::2]),
        "ukb_rel_a12345_s488130.dat": relatedness_file(cohort).to_csv(index=False, sep=" "),
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as part:
            part.write_text(text)


def withdrawn(cohort: SyntheticCohort) -> list[int]:
    """List the eids of people who withdrew."""
    numbers = range(1, cohort.participants + 1)
    return [FIRST_EID + n - 1 for n in numbers if visits_of(cohort.seed, n).withdrawn]


def relatedness_file(cohort: SyntheticCohort) -> pd.DataFrame:
    """List pairs of relatives: siblings, and some pairs too distant to count.

    ``ID1 ID2 HetHet IBS0 Kinship``.
    """
    rows = []
    for number in range(1, cohort.participants + 1):
        rng = np.random.default_rng([cohort.seed, number, 6])
        family = family_of(cohort.seed, number)
        distant = number - int(rng.integers(1, FAMILY_BLOCK))
        if family != number:
            rows.append((family, number, rng.normal(0.25, 0.015)))
        elif rng.random() < 0.02 and distant >= 1:
            rows.append((distant, number, rng.uniform(0.02, 0.044)))
    pairs = pd.DataFrame(rows, columns=["ID1", "ID2", "Kinship"])
    pairs[["ID1", "ID2"]] += FIRST_EID - 1
    pairs = pairs.assign(HetHet=0.05, IBS0=0.01, Kinship=pairs["Kinship"].round(4))
    return pairs[["ID1", "ID2", "HetHet", "IBS0", "Kinship"]]
