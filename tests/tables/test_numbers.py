import logging
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_cases import CODINGS, opened

from ukb_brain.errors import InputError
from ukb_brain.synthetic.idps import FIELDS
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.table import main_table
from ukb_brain.synthetic.table_styles import write_table
from ukb_brain.tables import numbers
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.numbers import (
    add_numbers,
    in_ranges,
    listed_fields,
    probes,
    problems_of_numbers,
    read_numbers,
)
from ukb_brain.tables.schemas import imaging_numbers

COHORT = SyntheticCohort(participants=30, voxel_mm=8, regions=25, time_points=80, seed=1, idps=20)
TABLE = main_table(COHORT)
WANTED = {"idps": FIELDS[:20]}


def test_ranges_and_categories_are_looked_up_in_the_dictionary():
    assert listed_fields(["25001-25025"], []) == tuple(range(25001, 25026))
    # 25921 is a code and no number.
    assert listed_fields(["25919-25922"], []) == (25919, 25920, 25922)
    assert listed_fields([], [134]) == tuple(range(25056, 25488))
    assert listed_fields([25001, "25001"], [1102])[0] == 25001
    # A field of one's own stays.
    assert listed_fields([999_999], []) == (999_999,)


@pytest.mark.parametrize(
    ("asked", "of"), [((["25027-25026"], []), "25027-25026"), (([], [999]), "999")]
)
def test_what_has_no_numbers_is_named(asked, of):
    with pytest.raises(InputError, match=of):
        listed_fields(*asked)


@given(st.sets(st.integers(1, 60), min_size=1))
def test_ranges_say_what_fields_there_are(fields):
    parts = [part.split("-") for part in in_ranges(fields).split("+")]
    said = [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)]
    assert said == sorted(fields)
    # As few as may be: two that touch are one.
    assert all(int(b[0]) > int(a[-1]) + 1 for a, b in pairwise(parts))


def test_absent_fields_are_told_once_with_the_parameter_that_goes_on_without():
    there = [FieldColumn(f, 2, 0) for f in (25001, 25002, 25005)]
    # One that was measured at another visit only is absent too.
    there += [FieldColumn(25003, 0, 0), FieldColumn(25004, 3, 0)]
    (problem,) = problems_of_numbers(there, {"idps": (25001, 25002, 25003, 25004, 25005)}, (2, 3))
    assert (
        "lacks 2 of 5 fields of idps at the imaging visit, instance 2: 25003-25004" in problem.what
    )
    setting = "imaging_preprocess.modalities.idps"
    assert f"--params {setting}.fields=25001-25002+25005,{setting}.categories=[]" in problem.remedy
    assert "at instances 2 and 3" in problem.remedy
    assert problems_of_numbers(there, {"idps": (25001, 25005)}, (2, 3)) == []
    (nothing,) = problems_of_numbers([], {"idps": (25001,)}, (2, 3))
    assert "name those that you have" not in nothing.remedy


@pytest.mark.parametrize("count", [1, 7, 8, 9, 261])
def test_a_few_fields_stand_for_all(count):
    (looked_at,) = probes({"idps": FIELDS[:count]}).values()
    assert 1 <= len(looked_at) <= numbers.PROBES
    assert {*looked_at} <= {*FIELDS[:count]}


def test_visits_have_numbers_beside_scans_or_without_any():
    index = pd.MultiIndex.from_tuples([(1, 2), (2, 2)], names=["eid", "instance"])
    scans = pd.DataFrame({"t1": [True, True]}, index=index)
    people = pd.DataFrame(
        {"eid": [1, 2, 3], "9-2.0": [5.0, np.nan, np.nan], "9-3.0": [1, np.nan, 2]}
    )
    found = add_numbers(scans, people, {"idps": (9, 10)}, (2, 3))
    assert found.to_dict("index") == {
        (1, 2): {"t1": True, "idps": True},
        (2, 2): {"t1": True, "idps": False},
        (1, 3): {"t1": False, "idps": True},
        (3, 3): {"t1": False, "idps": True},
    }
    assert {str(dtype) for dtype in found.dtypes} == {"bool"}
    assert add_numbers(scans, people, {}, (2, 3)) is scans


def participants(eids=(9000003, 9000001, 9000002)):
    """Visits of some people, not in order, one of them a repeat that few have numbers of."""
    return pd.DataFrame([(eid, instance) for eid in eids for instance in (2, 3)],
                        columns=["eid", "instance"])  # fmt: skip


@pytest.mark.parametrize("style", ["ukbconv csv", "exporter titles", "dx extract", "parquet"])
def test_numbers_are_those_of_the_participants_visits(tmp_path, monkeypatch, style):
    monkeypatch.setattr(numbers, "FIRST_READ", 7)
    monkeypatch.setattr(numbers, "CELLS", 1)
    write_table(TABLE, tmp_path, style, CODINGS)
    found = read_numbers(opened(tmp_path), WANTED, participants())
    imaging_numbers.validate(found)
    visits = [(eid, i) for eid in (9000001, 9000002, 9000003) for i in (2, 3)]
    assert list(zip(found["eid"], found["instance"], strict=True)) == visits
    assert list(found.columns) == ["eid", "instance", *map(str, sorted(WANTED["idps"]))]
    plain = TABLE.set_index("eid").replace("", "nan")
    for row, (eid, instance) in enumerate(visits):
        expected = [float(plain.loc[str(eid), f"{f}-{instance}.0"]) for f in sorted(FIELDS[:20])]
        np.testing.assert_array_equal(found.iloc[row, 2:].astype(float), np.float32(expected))


def test_fields_that_nobody_has_are_told_once(tmp_path, caplog):
    empty = TABLE.assign(**{"25003-2.0": "", "25003-3.0": ""})
    write_table(empty, tmp_path, "ukbconv csv", CODINGS)
    with caplog.at_level(logging.WARNING):
        read_numbers(opened(tmp_path), WANTED, participants(range(9000001, 9000031)))
    (told,) = caplog.messages
    assert told.startswith("Nobody has a number of 1 field(s): 25003 Volume of ventricular")


def test_numbers_that_are_no_measures_stop_with_field_and_count(tmp_path):
    absurd = TABLE.copy()
    absurd.loc[absurd.index[:2], "25003-2.0"] = ["1e300", "-1e39"]
    write_table(absurd, tmp_path, "ukbconv csv", CODINGS)
    eids = absurd["eid"].astype(int).tolist()
    with pytest.raises(InputError, match=r"1 field\(s\) hold values beyond 1e\+09.*25003 \(2\)"):
        read_numbers(opened(tmp_path), WANTED, participants(eids))


def test_no_numbers_is_a_table_without_rows():
    imaging_numbers.validate(participants().iloc[:0])
