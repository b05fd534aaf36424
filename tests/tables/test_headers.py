import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.tables.headers import (
    FieldColumn,
    find_id_column,
    parse_column,
    parse_header,
    style_of,
)

COLUMNS = st.builds(FieldColumn, st.integers(1, 99_999), st.integers(0, 9), st.integers(0, 300))
STYLES = {
    "{0}-{1}.{2}": "ukbconv",
    "f.{0}.{1}.{2}": "ukbconv r",
    "p{0}_i{1}_a{2}": "platform",
    "participant.p{0}_i{1}_a{2}": "platform",
    "X{0}.{1}.{2}": "read in R",
    "x{0}_{1}_{2}": "read in R",
    "{0}_{1}_{2}": "read in R",
    "age_when_attended_assessment_centre_f{0}_{1}_{2}": "ukbtools",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("merge", ["", "_x", ".y"])
@given(column=COLUMNS)
def test_a_column_survives_the_round_trip_through_every_style(style, merge, column):
    name = style.format(*column) + merge
    assert parse_column(name) == parse_column(f" {name} ") == (column,)
    assert style_of(["eid", name]) == STYLES[style]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p31", (31, 0, 0)),
        ("participant.p31", (31, 0, 0)),
        ("p21003_i2", (21003, 2, 0)),
        ("p22011_a4", (22011, 0, 4)),
        ("p6152_i2_a0", (6152, 2, 0)),
        ("p31_x", (31, 0, 0)),
    ],
)
def test_the_platforms_short_names(name, expected):
    assert parse_column(name) == (expected,)


@pytest.mark.parametrize(
    "name",
    ["eid", "f.eid", "21003", "21003-2", "xf.31.0.0", "31_0", "", "X", "Sex", "21003-2.0_z", "pH"],
)
def test_other_names_hold_no_field(name):
    assert parse_column(name) == ()


@given(COLUMNS)
def test_our_own_name_reads_back(column):
    assert parse_column(column.name) == (column,)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sex", {(31, 0, 0)}),
        ("Age when attended assessment centre | Instance 2", {(21003, 2, 0)}),
        ("Age when attended assessment centre | Instance 2_x", {(21003, 2, 0)}),
        ("Age.when.attended.assessment.centre...Instance.2", {(21003, 2, 0)}),
        (
            "Systolic blood pressure, automated reading | Instance 0 | Array 1",
            {(4080, 0, 1)},
        ),
        # The table exporter gives both fields this title.
        ("Weight | Instance 2", {(21002, 2, 0), (23098, 2, 0)}),
        ("Something else | Instance 2", set()),
    ],
)
def test_titles_of_the_platforms_exporter(name, expected):
    assert set(parse_column(name, titles=True)) == expected


def test_a_title_means_nothing_beside_an_eid():
    # Whatever lies beside the table may call a column so.
    assert parse_header(["eid", "Sex"]) == {}
    assert parse_header(["Participant ID", "Sex"]) == {(31, 0, 0): (1,)}
    assert style_of(["Participant ID", "Sex"]) == "titles"
    assert style_of(["eid", "Sex"]) == "unknown"


@pytest.mark.parametrize(
    "name",
    ["eid", "EID", "f.eid", "participant.eid", "Participant ID", "Participant.ID", " eid "],
)
def test_id_column_of_every_style(name):
    assert find_id_column(["31-0.0", name]) == name


def test_no_id_column():
    assert find_id_column(["ID", "31-0.0", "eid_2"]) is None


def test_columns_that_are_there_twice_keep_both_places():
    names = ["eid", "31-0.0", "p31", "21003-2.0_x", "50-0.0", "21003-2.0_y"]
    expected = {(31, 0, 0): (1, 2), (21003, 2, 0): (3, 5), (50, 0, 0): (4,)}
    assert parse_header(names) == expected
