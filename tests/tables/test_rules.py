import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ukb_brain.grid import RULES, Grid, Target
from ukb_brain.tables.derivations import derive_targets
from ukb_brain.tables.raw_problems import needed_fields, wanted_fields
from ukb_brain.tables.rules import answers_by_instance, beyond

NAN = np.nan


def target(rule, **given):
    kind = RULES[rule].kind
    return Target(**({"name": "A", "domain": "d", "kind": kind, "rule": rule} | given))


def answers(table, rule, **given):
    return answers_by_instance(pd.DataFrame(table), target(rule, **given))


def test_equals_looks_at_the_first_entry_and_any_of_at_all():
    table = {"6150-2.0": [1, 4, NAN, -3], "6150-2.1": [4, NAN, NAN, NAN]}
    given = {"field": 6150, "values": [4], "missing": [-3]}
    np.testing.assert_equal(answers(table, "equals", **given)[2], [0, 1, NAN, NAN])
    np.testing.assert_equal(answers(table, "any_of", **given)[2], [1, 1, NAN, NAN])


def test_mean_is_over_the_entries_that_are_there():
    table = {"3062-2.0": [3.0, 2.0, NAN, -1], "3062-2.1": [4.0, NAN, NAN, 5.0]}
    given = {"field": 3062, "missing": [-1]}
    np.testing.assert_equal(answers(table, "mean", **given)[2], [3.5, 2, NAN, 5])


def test_mean_of_two_fields_needs_both_at_the_same_visit():
    # Grip of the left hand (46) and of the right (47).
    table = {"46-0.0": [30.0, 40], "47-0.0": [NAN, 44], "46-2.0": [28.0, 36], "47-2.0": [30.0, NAN]}
    grip = answers(table, "mean", fields=[46, 47])
    np.testing.assert_equal(grip, {0: [NAN, 42], 2: [29, NAN]})


def test_a_visit_of_only_one_of_two_fields_has_no_answer():
    np.testing.assert_equal(answers({"46-2.0": [1.0]}, "mean", fields=[46, 47])[2], [NAN])


def test_difference_is_the_first_field_less_the_second():
    table = {"47-2.0": [30.0, 20.0], "46-2.0": [28.0, NAN]}
    np.testing.assert_equal(answers(table, "difference", fields=[47, 46])[2], [2, NAN])


def test_what_has_no_logarithm_is_no_answer_and_is_counted(caplog):
    table = {"20023-2.0": [np.e, 0.0, -5.0, NAN]}
    np.testing.assert_equal(answers(table, "log", field=20023)[2], [1, NAN, NAN, NAN])
    assert "2 answers are not above 0" in caplog.text


@pytest.mark.parametrize(
    ("direction", "expected"), [("above", [0, 0, 1, NAN]), ("below", [1, 0, 0, NAN])]
)
def test_a_cut_off_belongs_to_neither_side(direction, expected):
    table = {"30750-0.0": [47.9, 48.0, 48.1, NAN]}
    given = {"field": 30750, "threshold": 48, "direction": direction}
    np.testing.assert_equal(answers(table, "binned", **given)[0], expected)


def test_a_cut_off_that_is_fitted_later_leaves_what_was_measured():
    table = {"30750-0.0": [47.9, NAN]}
    np.testing.assert_equal(answers(table, "binned", field=30750, quantile=0.5)[0], [47.9, NAN])


@given(st.lists(st.floats(-9, 9) | st.just(NAN)), st.floats(-9, 9))
def test_the_two_sides_of_a_cut_never_meet(values, cut):
    value = np.array(values, dtype=float)
    above, below = beyond(value, cut, "above"), beyond(value, cut, "below")
    np.testing.assert_array_equal(np.isnan(above), np.isnan(value))
    np.testing.assert_array_equal(above + below == 0, value == cut)
    assert not (above * below == 1).any()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rule": "sum", "field": 46}, "'value', 'equals', 'any_of', 'mean'"),
        ({"rule": "equals", "field": 46}, "needs `values`"),
        ({"rule": "equals", "field": 46, "values": [1, 2]}, "equals takes one of `values`"),
        ({"rule": "value", "field": 46, "values": [1]}, "takes no `values`"),
        ({"rule": "value", "fields": [46, 47]}, "takes 1 field"),
        ({"rule": "difference", "field": 46}, "takes 2 fields"),
        ({"rule": "binned", "field": 46}, "either `threshold`, a number, or `quantile`"),
        ({"rule": "binned", "field": 46, "threshold": 1, "quantile": 0.5}, "either `threshold`"),
        ({"rule": "binned", "field": 46, "quantile": 1.0}, "less than 1"),
        ({"rule": "value", "field": 46, "threshold": 1}, "takes no `threshold`"),
        ({"rule": "value", "field": 46, "fields": [47]}, "not both"),
        ({"rule": "value", "fields": []}, "at least 1"),
        ({"rule": "value"}, "fields"),
        ({"rule": "any_of", "field": 1, "values": [1, -3], "missing": [-3]}, "[-3] are among"),
        (
            {"rule": "any_of", "field": 1, "values": [1], "kind": "continuous"},
            "any_of makes no such one",
        ),
        ({"rule": "value", "field": 46, "derive": "x**2"}, "derive"),
    ],
)
def test_what_makes_no_sense_is_told(given, says):
    kind = RULES[given["rule"]].kind if given["rule"] in RULES else "binary"
    with pytest.raises(ValidationError, match=re.escape(says)):
        Target(**({"name": "A", "domain": "d", "kind": kind} | given))


def test_a_domain_of_ones_own_is_a_few_lines():
    grid = Grid(
        base_domain="constitutional",
        domains={"constitutional": {"letter": "C"}, "fitness": {"letter": "F"}},
        imaging={"structural": {"t1": {"name": "T1", "order": 1}}},
        targets={
            "age": {
                "name": "Age",
                "domain": "constitutional",
                "kind": "continuous",
                "field": 21003,
                "rule": "value",
                "visit": "imaging",
            },
            "intelligence": {
                "name": "Fluid intelligence",
                "domain": "fitness",
                "kind": "continuous",
                "field": 20016,
                "rule": "value",
            },
            "grip": {
                "name": "Grip strength",
                "domain": "fitness",
                "kind": "continuous",
                "fields": [46, 47],
                "rule": "mean",
            },
        },
    )
    assert {20016, 46, 47} <= wanted_fields(grid)
    assert {"grip of 46", "grip of 47", "intelligence"} <= set(needed_fields(grid))
    table = pd.DataFrame(
        {
            "eid": [9_100_001, 9_100_002],
            "53-0.0": pd.to_datetime(["2008-01-01"] * 2),
            "53-2.0": pd.to_datetime(["2016-01-01"] * 2),
            "21003-2.0": [60.0, 70.0],
            "20016-0.0": [7.0, 5.0],
            "20016-2.0": [NAN, 6.0],
            "46-2.0": [30.0, 20.0],
            "47-2.0": [34.0, 21.0],
        }
    )
    visits = pd.DataFrame({"eid": table["eid"], "instance": 2})
    values, lags, _ = derive_targets(table, visits, grid.targets)
    np.testing.assert_array_equal(values["intelligence"], [7, 6])
    np.testing.assert_array_equal(values["grip"], [32, 20.5])
    np.testing.assert_allclose(lags["intelligence"], [8, 0], atol=0.01)
    inputs = {cell.inputs.name for cell in grid.cells if cell.target == "age"}
    assert inputs == {"T1"}
    assert len([cell for cell in grid.cells if cell.target == "grip"]) == 2
