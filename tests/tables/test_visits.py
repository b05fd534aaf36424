import logging

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from ukb_brain.errors import InputError
from ukb_brain.tables.exclusions import DataEngineering, usable_scans
from ukb_brain.tables.visits import (
    at_chosen_visit,
    derive_confounds,
    describe_participants,
    one_visit,
)

NAN = np.nan
BOTH = DataEngineering(imaging_instances=(3, 2))
FIRST = DataEngineering(imaging_instances=(2,))
NO_INDEX = pd.DataFrame(columns=["eid", "field", "instance", "array", "state"])
NO_SCANS = usable_scans(NO_INDEX, {"t1": 20252, "flair": 20253})


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
    return describe_participants(cohort, pairs, NO_SCANS, BOTH)


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


def scans_of(*visits):
    """Visits that have T1 and FLAIR, or T1 only."""
    keys = pd.MultiIndex.from_tuples([key for key, _ in visits], names=["eid", "instance"])
    return pd.DataFrame({"t1": True, "flair": [both for _, both in visits]}, index=keys)


@pytest.mark.parametrize(
    ("scans", "chosen"),
    [
        (NO_SCANS, [True, False, True, True]),
        (scans_of(((11, 2), True), ((11, 3), True)), [True, False, True, True]),
        (scans_of(((11, 2), False), ((11, 3), True)), [False, True, True, True]),
        (scans_of(((11, 2), False), ((11, 3), False)), [True, False, True, True]),
    ],
)
def test_the_first_visit_with_all_modalities_is_chosen_or_else_the_first(cohort, scans, chosen):
    people = describe_participants(cohort, pd.DataFrame(), scans, BOTH)
    assert people["chosen"].tolist() == chosen
    once = one_visit(people)
    assert once["eid"].tolist() == [11, 22, 33]
    table = people[["eid", "instance"]].assign(hb=1.0)
    assert at_chosen_visit(table, people)["instance"].tolist() == once["instance"].tolist()


def test_without_a_relatedness_file_everybody_is_a_family_of_one(cohort):
    people = describe_participants(cohort, pd.DataFrame(), NO_SCANS, FIRST)
    assert people["family"].tolist() == [0, 2]


def strange(cohort, **columns):
    with pytest.raises(InputError) as caught:
        describe_participants(cohort.assign(**columns), pd.DataFrame(), NO_SCANS, FIRST)
    assert "11" not in str(caught.value).split("field")[0]
    return str(caught.value)


@pytest.mark.bad_input(
    given="ages in months", says="are not between 18 and 110 years, as if they were months"
)
def test_ages_in_months(cohort, says):
    assert says in strange(cohort, **{"21003-2.0": [720.0, NAN, 744.0]})


@pytest.mark.bad_input(
    given="an age of 0", says="are not between 18 and 110 years, as 0 stands for no answer"
)
def test_an_age_of_0(cohort, says):
    message = strange(cohort, **{"21003-2.0": [60.0, NAN, 0.0]})
    assert says in message
    assert message.startswith("1 of 2 ages (field 21003)")


@pytest.mark.bad_input(
    given="sex coded as 1 and 2", says="holds 2 where coding 9 has 0 for female and 1 for male"
)
def test_sex_as_1_and_2(cohort, says):
    assert says in strange(cohort, **{"31-0.0": [1.0, 2.0, 2.0]})


def test_deprivation_of_older_baskets(cohort):
    cohort["189-0.0"] = [-1.6, NAN, 2.5]
    people = describe_participants(cohort, pd.DataFrame(), NO_SCANS, FIRST)
    np.testing.assert_equal(people["deprivation"].to_numpy(), [-1.6, 2.5])


def test_groups_are_described_where_the_table_holds_their_fields(cohort):
    cohort["21000-0.0"] = [1001.0, -3.0, 4.0]
    cohort["21000-3.0"] = [NAN, 5.0, NAN]
    cohort["22189-0.0"] = [-1.6, NAN, 2.5]
    pairs = pd.DataFrame({"ID1": [], "ID2": [], "Kinship": []})
    people = describe_participants(cohort, pairs, NO_SCANS, BOTH)
    np.testing.assert_equal(people["ethnic_background"].to_numpy(), [1001, 1001, 5, 4])
    np.testing.assert_equal(people["deprivation"].to_numpy(), [-1.6, -1.6, NAN, 2.5])


def test_phases_count_the_changes_of_a_sites_scanner(cohort):
    days = {"11025": ["2014-01-11", "2016-05-01"], 11026: ["2019-01-02"], 11027: []}
    settings = BOTH.model_copy(update={"phases": DataEngineering(phases=days).phases})
    people = describe_participants(cohort, pd.DataFrame(), NO_SCANS, settings)
    # On the day of the change the new one was there; an unknown site has none.
    assert people["phase"].tolist() == [1, 0, 0, 0]
    assert derive_confounds(cohort, people)["phase"].tolist() == [1, 0, 0, 0]
    assert "phase" not in describe_participants(cohort, pd.DataFrame(), NO_SCANS, BOTH)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"phases": {11025: ["2016-01-01", "2015-01-01"]}}, "must be days that ascend"),
        ({"phases": {11025: ["2016-01-01"]}, "no_dates": True}, "need dates of visits"),
    ],
)
def test_phases_that_cannot_be(given, says):
    with pytest.raises(ValidationError, match=says):
        DataEngineering(**given)
