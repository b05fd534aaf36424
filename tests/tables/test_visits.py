import logging

import numpy as np
import pandas as pd
import pytest

from ukb_brain.errors import InputError
from ukb_brain.tables.visits import (
    derive_confounds,
    describe_participants,
    require_visit_fields,
)

NAN = np.nan


@pytest.fixture
def cohort():
    columns = {
        "eid": [11, 22, 33],
        "31-0.0": [1.0, 0.0, NAN],
        "53-2.0": pd.to_datetime(["2014-01-11", None, "2018-01-01"]),
        "53-3.0": pd.to_datetime(["2019-01-01", "2020-01-01", None]),
        "54-2.0": [11025.0, NAN, NAN],
        "54-3.0": [11026.0, 11027.0, NAN],
        "21003-0.0": [50.0, 51.0, 52.0],
        "21003-2.0": [60.0, NAN, 62.0],
        "21003-3.0": [65.0, 66.0, NAN],
        "50-0.0": [180.0, 170.0, NAN],
        "50-2.0": [179.0, NAN, NAN],
        "50-3.0": [NAN, NAN, NAN],
        "25756-2.0": [1.5, NAN, -999999.0],
        "25756-3.0": [2.5, 3.5, NAN],
    }
    return pd.DataFrame(columns)


@pytest.fixture
def participants(cohort):
    pairs = pd.DataFrame({"ID1": [33], "ID2": [11], "Kinship": [0.25]})
    return describe_participants(cohort, pairs, (3, 2), 0.0442)


def test_one_row_a_visit_with_what_was_so_at_that_visit(participants):
    assert participants["eid"].tolist() == [11, 11, 22, 33]
    assert participants["instance"].tolist() == [2, 3, 3, 2]
    assert participants["family"].tolist() == [0, 0, 1, 0]
    assert participants["site"].tolist() == [11025, 11026, 11027, -1]
    np.testing.assert_equal(participants["age"].to_numpy(), [60, 65, 66, 62])
    np.testing.assert_equal(participants["sex"].to_numpy(), [1, 1, 0, NAN])


def test_confounds_of_each_visit(cohort, participants, caplog):
    with caplog.at_level(logging.WARNING):
        confounds = derive_confounds(cohort, participants)
    np.testing.assert_equal(confounds["site"].to_numpy(), [11025, 11026, 11027, NAN])
    assert confounds["date"].tolist() == [10, 1826, 2191, 1461]
    # Height is that of the latest visit not after the scan; a position is that of the scan.
    np.testing.assert_equal(confounds["height"].to_numpy(), [179, 179, 170, NAN])
    np.testing.assert_equal(confounds["head_position_x"].to_numpy(), [1.5, 2.5, 3.5, NAN])
    assert confounds["head_motion"].isna().all()
    assert "head_motion (field 25741)" in caplog.text


def test_the_fields_that_every_cohort_needs():
    with pytest.raises(InputError, match=r"raw\.csv.*\[53, 54\]"):
        require_visit_fields({31, 21003}, "raw.csv")


def test_groups_are_described_where_the_table_holds_their_fields(cohort):
    cohort["21000-0.0"] = [1001.0, -3.0, 4.0]
    cohort["21000-3.0"] = [NAN, 5.0, NAN]
    cohort["22189-0.0"] = [-1.6, NAN, 2.5]
    pairs = pd.DataFrame({"ID1": [], "ID2": [], "Kinship": []})
    people = describe_participants(cohort, pairs, (2, 3), 0.0442)
    np.testing.assert_equal(people["ethnic_background"].to_numpy(), [1001, 1001, 5, 4])
    np.testing.assert_equal(people["deprivation"].to_numpy(), [-1.6, -1.6, NAN, 2.5])
