import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.tables.headers import FieldColumn, find_id_column, parse_column, parse_header

STYLES = (
    "{0}-{1}.{2}",
    "f.{0}.{1}.{2}",
    "p{0}_i{1}_a{2}",
    "participant.p{0}_i{1}_a{2}",
)


@pytest.mark.parametrize("style", STYLES)
@given(
    column=st.builds(FieldColumn, st.integers(1, 99_999), st.integers(0, 9), st.integers(0, 300))
)
def test_a_column_survives_the_round_trip_through_every_style(style, column):
    assert parse_column(style.format(*column)) == column


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p31", (31, 0, 0)),
        ("participant.p31", (31, 0, 0)),
        ("p21003_i2", (21003, 2, 0)),
        ("p22011_a4", (22011, 0, 4)),
        ("p6152_i2_a0", (6152, 2, 0)),
    ],
)
def test_the_platforms_short_names(name, expected):
    assert parse_column(name) == expected


@pytest.mark.parametrize("name", ["eid", "f.eid", "21003", "21003-2", "xf.31.0.0", "p31_x", "31_0"])
def test_other_names_hold_no_field(name):
    assert parse_column(name) is None


@given(st.builds(FieldColumn, st.integers(1, 99_999), st.integers(0, 9), st.integers(0, 300)))
def test_our_own_name_reads_back(column):
    assert parse_column(column.name) == column


@pytest.mark.parametrize("name", ["eid", "f.eid", "participant.eid"])
def test_id_column_of_every_style(name):
    assert find_id_column(["31-0.0", name]) == name


def test_no_id_column():
    assert find_id_column(["ID", "31-0.0"]) is None


def test_two_columns_of_the_same_content_are_refused():
    with pytest.raises(InputError, match=r"'31-0.0' and 'p31' both hold field 31"):
        parse_header(["eid", "31-0.0", "p31"])
