import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.tables.exclusions import (
    DataEngineering,
    choose_visits,
    count_scans,
    dated_visits,
    require_relatedness,
    require_synthetic,
    require_withdrawals,
    select_cohort,
    usable_scans,
)
from ukb_brain.tables.people_lists import Withdrawals

FIELDS = {"t1": 20252, "flair": 20253}
NO_PAIRS = pd.DataFrame({"ID1": [], "ID2": [], "Kinship": []})


def scans_of(*files):
    index = pd.DataFrame(files, columns=["eid", "field", "instance"])
    return usable_scans(index.assign(array=0, state="ok"), FIELDS)


def selected(table, withdrawals, scans=None, pairs=NO_PAIRS, **settings):
    scans = scans_of() if scans is None else scans
    return select_cohort(table, withdrawals, scans, pairs, DataEngineering(**settings))


def test_modalities_of_one_field_are_there_together():
    rows = [(1, 20250, 2, 0, "ok"), (2, 20252, 2, 0, "ok"), (2, 20250, 2, 0, "broken")]
    index = pd.DataFrame(rows, columns=["eid", "field", "instance", "array", "state"])
    found = usable_scans(index, {"t1": 20252, "dwi": 20250, "md": 20250})
    assert found.loc[(1, 2)].to_dict() == {"t1": False, "dwi": True, "md": True}
    assert found.loc[(2, 2)].to_dict() == {"t1": True, "dwi": False, "md": False}


def people(eids, dates_2, dates_3=None):
    table = pd.DataFrame({"eid": eids, "53-0.0": pd.Timestamp("2008-01-01")})
    table["53-2.0"] = pd.to_datetime(pd.Series(dates_2, dtype=object))
    if dates_3 is not None:
        table["53-3.0"] = pd.to_datetime(pd.Series(dates_3, dtype=object))
    return table


def lists(*eids, **excluded):
    return Withdrawals(frozenset(eids), 1, "raw", excluded)


def test_each_person_leaves_at_the_first_step_that_applies():
    day = "2016-01-01"
    table = people([5, -1, 3, 2, 1], [day, day, None, None, None], [None, None, day, None, None])
    cohort, flow = selected(table, lists(2))
    assert cohort["eid"].tolist() == [3, 5]
    # Nobody was scanned without a date.
    assert flow["excluded"].tolist() == [0, 2, 0, 1]
    assert flow["remaining"].tolist() == [5, 3, 3, 2]


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_the_flow_adds_up_and_the_withdrawn_never_stay(rows):
    withdrawn, negative, second, third = np.array(rows).T
    eids = np.arange(1, len(rows) + 1) * np.where(negative, -1, 1)
    day = pd.Timestamp("2016-01-01")
    table = people(
        eids, [day if yes else None for yes in second], [day if yes else None for yes in third]
    )
    stays = ~withdrawn & ~negative & (second | third)
    withdrawals = lists(*eids[withdrawn].tolist())
    if not stays.any():
        with pytest.raises(InputError, match="is left"):
            selected(table, withdrawals)
        return
    cohort, flow = selected(table, withdrawals)
    assert set(cohort["eid"]) == set(eids[stays])
    assert flow["remaining"].iloc[0] == len(rows)
    assert (flow["remaining"].diff()[1:] == -flow["excluded"][1:]).all()
    assert flow["remaining"].iloc[-1] == len(cohort)


def test_a_visit_without_its_column_did_not_take_place():
    cohort, _ = selected(people([1, 2], ["2016-01-01", None]), lists())
    assert cohort["eid"].tolist() == [1]


@pytest.mark.bad_input(
    given="real data without any withdrawal list",
    says="excluding people who withdrew is a legal duty",
)
def test_real_data_without_a_list_stop_unless_none_was_issued(says):
    none = Withdrawals(frozenset(), 0, "data/ukb/01_raw")
    told = rf"data/ukb/01_raw: {says}.*no_withdrawals_issued=true"
    with pytest.raises(InputError, match=told):
        require_withdrawals(none, "ukb", none_issued=False)
    require_withdrawals(none, "ukb", none_issued=True)
    require_withdrawals(none, "synthetic", none_issued=False)
    require_withdrawals(Withdrawals(frozenset(), 1, ""), "ukb", none_issued=False)


@pytest.mark.parametrize(("source", "eids"), [("synthetic", [9000001, -5]), ("ukb", [1000017])])
def test_people_fit_their_source(source, eids):
    require_synthetic(pd.Series(eids), source)


def test_real_people_are_not_taken_for_synthetic_ones():
    with pytest.raises(InputError, match=r"1 of 2 participants .* --env ukb"):
        require_synthetic(pd.Series([9000001, 1000017]), "synthetic")


@pytest.mark.bad_input(
    given="no relatedness file", says="There is no relatedness file (columns ID1 ID2 HetHet IBS0"
)
def test_no_relatedness_file_stops_unless_it_is_said(says):
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        require_relatedness(pd.DataFrame(), no_relatedness=False)
    assert "--params data_engineering.no_relatedness=true" in str(caught.value)
    require_relatedness(pd.DataFrame(), no_relatedness=True)
    # A file without pairs is a file.
    require_relatedness(NO_PAIRS, no_relatedness=False)


def reasons(flow):
    return dict(zip(flow["reason"], flow["excluded"], strict=True))


def test_lists_of_people_to_leave_out_are_steps_of_their_own():
    day = "2016-01-01"
    left_out = {"artefact": frozenset({2, 3}), "consent": frozenset({3, 4})}
    cohort, flow = selected(people([1, 2, 3, 4], [day] * 4), lists(2, **left_out))
    assert cohort["eid"].tolist() == [1]
    assert reasons(flow)["left out by list: artefact"] == 1
    assert reasons(flow)["left out by list: consent"] == 1


@pytest.mark.bad_input(
    given="scanned people of whom no imaging visit has a date",
    says="scanned, but no imaging visit has a date (field 53)",
)
def test_scanned_people_without_a_date_are_counted_apart(says):
    scans = scans_of((2, 20252, 2), (1, 20252, 2), (7, 20252, 2))
    _, flow = selected(people([1, 2, 3], ["2016-01-01", None, None]), lists(), scans)
    assert reasons(flow)[says] == 1
    assert reasons(flow)["no imaging visit"] == 1


def test_the_rule_complete_needs_all_modalities_at_one_dated_visit():
    day = "2016-01-01"
    table = people([1, 2, 3, 4], [day] * 4, [day, day, None, None])
    scans = scans_of(
        (1, 20252, 3), (1, 20253, 3),  # at the second visit
        (2, 20252, 2), (2, 20253, 3),  # at two visits
        (3, 20252, 3), (3, 20253, 3),  # at a visit without a date
        (4, 20252, 2),
    )  # fmt: skip
    cohort, flow = selected(table, lists(), scans, cohort="complete")
    assert cohort["eid"].tolist() == [1]
    assert reasons(flow)["not all modalities at one visit"] == 3
    assert len(selected(table, lists(), scans)[0]) == 4


def test_thinned_families_keep_their_smallest_eid_among_those_who_stay():
    pairs = pd.DataFrame({"ID1": [1, 2, 4], "ID2": [2, 3, 5], "Kinship": [0.25, 0.25, 0.01]})
    table = people([5, 4, 3, 2, 1], ["2016-01-01"] * 5)
    cohort, flow = selected(table, lists(1), pairs=pairs, relatives="thin")
    assert cohort["eid"].tolist() == [2, 4, 5]
    assert flow.iloc[-1].tolist()[1:] == ["related to somebody who stays", 1, 3]
    assert len(selected(table, lists(1), pairs=pairs)[0]) == 4


def test_the_first_visit_with_all_wanted_modalities_is_chosen():
    day = pd.Timestamp("2016-01-01")
    table = people([1, 2, 3], [day] * 3, [day, day, None])
    visits = dated_visits(table, (2, 3))
    assert visits.tolist() == [(1, 2), (1, 3), (2, 2), (2, 3), (3, 2)]
    scans = scans_of((1, 20252, 2), (1, 20252, 3), (1, 20253, 3), (2, 20252, 3))
    chosen = choose_visits(visits, scans)
    assert visits[chosen].tolist() == [(1, 3), (2, 2), (3, 2)]
    assert visits[choose_visits(visits, scans[["t1"]])].tolist() == [(1, 2), (2, 3), (3, 2)]
    assert visits[choose_visits(visits, scans[[]])].tolist() == [(1, 2), (2, 2), (3, 2)]


def test_scans_are_counted_with_and_without_a_date():
    table = people([1, 2, 3], ["2016-01-01", None, "2016-01-01"])
    scans = scans_of((1, 20252, 2), (2, 20252, 2), (3, 20253, 2), (9, 20253, 2))
    counts = count_scans(scans, table, table[:1], DataEngineering())
    assert counts.to_numpy().tolist() == [["t1", 2, 1, 1], ["flair", 1, 0, 0]]


@pytest.mark.bad_input(
    given="a cohort of which nobody is left", says="participants of the table is left"
)
def test_nobody_left_says_why(says):
    with pytest.raises(InputError, match=says) as caught:
        selected(people([9000001, -5], [None, None]), lists())
    assert "(withdrawn (withdrawal list or negative eid): 1; no imaging visit: 1)" in str(
        caught.value
    )
    assert "9000001" not in str(caught.value)
