import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.tables.exclusions import (
    Withdrawals,
    require_synthetic,
    require_withdrawals,
    select_cohort,
)


def people(eids, dates_2, dates_3=None):
    table = pd.DataFrame({"eid": eids, "53-0.0": pd.Timestamp("2008-01-01")})
    table["53-2.0"] = pd.to_datetime(pd.Series(dates_2, dtype=object))
    if dates_3 is not None:
        table["53-3.0"] = pd.to_datetime(pd.Series(dates_3, dtype=object))
    return table


def lists(*eids):
    return Withdrawals(frozenset(eids), 1, "raw")


def test_each_person_leaves_at_the_first_step_that_applies():
    day = "2016-01-01"
    table = people([5, -1, 3, 2, 1], [day, day, None, None, None], [None, None, day, None, None])
    cohort, flow = select_cohort(table, lists(2), (2, 3))
    assert cohort["eid"].tolist() == [3, 5]
    assert flow["excluded"].tolist() == [0, 2, 1]
    assert flow["remaining"].tolist() == [5, 3, 2]


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
            select_cohort(table, withdrawals, (2, 3))
        return
    cohort, flow = select_cohort(table, withdrawals, (2, 3))
    assert set(cohort["eid"]) == set(eids[stays])
    assert flow["remaining"].iloc[0] == len(rows)
    assert (flow["remaining"].diff()[1:] == -flow["excluded"][1:]).all()
    assert flow["remaining"].iloc[-1] == len(cohort)


def test_a_visit_without_its_column_did_not_take_place():
    cohort, _ = select_cohort(people([1, 2], ["2016-01-01", None]), lists(), (2, 3))
    assert cohort["eid"].tolist() == [1]


def test_real_data_without_a_list_stop_unless_none_was_issued():
    none = Withdrawals(frozenset(), 0, "data/ukb/01_raw")
    with pytest.raises(InputError, match=r"data/ukb/01_raw.*no_withdrawals_issued=true"):
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
