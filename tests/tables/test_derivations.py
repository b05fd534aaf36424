import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.grid import Target
from ukb_brain.tables.derivations import (
    answers_by_instance,
    derive_targets,
    pick_visit,
    summarise_targets,
)

NAN = np.nan


def binary(field=6150, values=(4,), missing=(-3,), visit="latest"):
    return Target(
        name="A",
        domain="d",
        kind="binary",
        field=field,
        rule="any_of",
        values=values,
        missing=missing,
        visit=visit,
    )


def continuous(field=30020, visit="latest", missing=()):
    return Target(
        name="B",
        domain="d",
        kind="continuous",
        field=field,
        rule="value",
        missing=missing,
        visit=visit,
    )


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((4, NAN, NAN), 1),
        ((1, 2, 4), 1),
        ((1, 2, NAN), 0),
        ((-7, NAN, NAN), 0),
        ((NAN, NAN, NAN), NAN),
        ((-3, NAN, NAN), NAN),
        ((NAN, NAN, 4), 1),
        ((-3, 4, NAN), 1),
    ],
)
def test_answers_of_a_multi_array_field(entries, expected):
    table = pd.DataFrame([entries], columns=["6150-2.0", "6150-2.1", "6150-2.2"])
    np.testing.assert_equal(answers_by_instance(table, binary())[2], [expected])


def test_a_value_skips_missing_codes_and_empty_entries():
    table = pd.DataFrame({"20023-0.0": [-1.0, NAN, 500.0, -1.0], "20023-0.1": [600, 610, 620, NAN]})
    answers = answers_by_instance(table, continuous(20023, missing=(-1,)))
    np.testing.assert_equal(answers[0], [600, 610, 500, NAN])


def test_only_the_targets_own_field_counts():
    table = pd.DataFrame({"6150-2.0": [1.0], "6152-2.0": [4.0]})
    assert answers_by_instance(table, binary())[2] == [0]


def test_text_where_numbers_are_expected_names_the_column():
    table = pd.DataFrame({"30020-1.0": ["fifteen"]})
    with pytest.raises(InputError, match=r"'30020-1\.0'.*numbers are expected"):
        answers_by_instance(table, continuous())


@given(
    answers=st.lists(
        st.lists(st.one_of(st.just(NAN), st.floats(-5, 5)), min_size=4, max_size=4),
        min_size=1,
        max_size=8,
    ),
    data=st.data(),
)
def test_the_latest_answer_is_the_last_one_not_after_the_scan(answers, data):
    visit = np.array([data.draw(st.sampled_from([2, 3])) for _ in answers])
    columns = dict(enumerate(np.array(answers).T))
    value, source = pick_visit(columns, visit, "latest")
    for row, scan in enumerate(visit):
        known = [i for i in range(scan + 1) if not np.isnan(answers[row][i])]
        assert source[row] == (known[-1] if known else -1)
        np.testing.assert_equal(value[row], answers[row][known[-1]] if known else NAN)


@pytest.mark.parametrize(
    ("rule", "expected", "source"),
    [
        # The second person came back half a year after the scan, and nine years before it.
        ("latest", [1.0, 1.0, 1.0], [0, 0, 0]),
        ("nearest", [1.0, 3.0, 3.0], [0, 3, 3]),
    ],
)
def test_dates_say_which_answer_is_near(rule, expected, source):
    answers = {0: np.ones(3), 2: np.full(3, NAN), 3: np.full(3, 3.0)}
    days = {
        0: np.array([3000.0, 0.0, NAN]),
        2: np.array([3300.0, 3300.0, NAN]),
        3: np.array([4400.0, 3480.0, NAN]),
    }
    value, taken = pick_visit(answers, np.array([2, 2, 2]), rule, days)
    np.testing.assert_equal(value, expected)
    np.testing.assert_equal(taken, source)


def test_the_imaging_rule_takes_the_scans_own_visit_only():
    columns = {0: np.array([1.0, 1.0]), 2: np.array([NAN, 2.0]), 3: np.array([3.0, 3.0])}
    value, source = pick_visit(columns, np.array([2, 2]), "imaging")
    np.testing.assert_equal(value, [NAN, 2.0])
    np.testing.assert_equal(source, [-1, 2])


@pytest.fixture
def table():
    dates = pd.DataFrame(
        {
            "53-0.0": ["2007-05-01", "2008-05-01", None],
            "53-2.0": ["2016-05-01", "2017-05-01", "2018-01-01"],
            "53-3.0": ["2019-05-01", None, None],
        }
    ).apply(pd.to_datetime)
    values = {"eid": [30, 10, 20], "30020-0.0": [14.0, NAN, 13.0], "30020-1.0": [NAN, NAN, NAN]}
    return pd.DataFrame(values).assign(**dates, **{"6150-2.0": [4.0, -7.0, NAN]})


def test_targets_follow_people_and_visits_not_the_order_of_rows(table):
    visits = pd.DataFrame({"eid": [10, 20, 30, 30], "instance": [2, 2, 2, 3]})
    values, lags, _ = derive_targets(table, visits, {"hb": continuous(), "bp": binary()})
    assert values["eid"].tolist() == [10, 20, 30, 30]
    np.testing.assert_equal(values["hb"].to_numpy(), [NAN, 13, 14, 14])
    np.testing.assert_equal(values["bp"].to_numpy(), [0, NAN, 1, 1])
    # Not known without an answer, nor without the date of the answer's visit.
    np.testing.assert_allclose(lags["hb"].to_numpy(), [NAN, NAN, 9.0, 12.0], atol=0.01)
    np.testing.assert_allclose(lags["bp"].to_numpy(), [0, NAN, 0, 3], atol=0.01)


def test_summary_counts_people_once_at_their_chosen_visit(table):
    visits = pd.DataFrame({"eid": [30, 10, 20, 30], "instance": [3, 2, 2, 2]})
    targets = {"hb": continuous(), "bp": binary()}
    chosen = np.array([False, True, True, True])
    values, lags, _ = derive_targets(table, visits, targets)
    summary = summarise_targets(values, lags, targets, chosen)
    assert summary["n"].tolist() == [2, 2]
    assert summary["missing"].tolist() == [1, 1]
    assert summary["mean_or_prevalence"].tolist() == [13.5, 0.5]
    np.testing.assert_allclose(summary["median_lag_years"], [9.0, 0.0], atol=0.01)


def test_a_visit_without_a_date_lies_between_its_neighbours():
    """Blood of a first repeat whose date the table lacks is later than that of the first visit."""
    answers = {0: np.array([13.2, 13.2]), 1: np.array([13.4, 13.4])}
    days = {
        0: np.array([0.0, np.nan]),
        2: np.array([2610.0, 2610.0]),
        3: np.array([3381.0, 3381.0]),
    }
    for rule in ("latest", "nearest"):
        value, source = pick_visit(answers, np.array([3, 3]), rule, days)
        assert value.tolist() == [13.4, 13.4]
        assert source.tolist() == [1, 1]


def test_of_two_visits_on_one_day_the_scans_own_counts():
    answers = {1: np.array([5.0]), 2: np.array([7.0])}
    days = {1: np.array([3300.0]), 2: np.array([3300.0])}
    for rule in ("latest", "nearest", "imaging"):
        value, taken = pick_visit(answers, np.array([2]), rule, days)
        assert (value[0], taken[0]) == (7.0, 2)
