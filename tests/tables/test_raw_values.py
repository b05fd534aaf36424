import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.tables.raw_values import answers_in, dates_of, merged, numbers_of, whole_numbers_of

LABELS = {"high blood pressure": 4.0, "heart attack": 1.0, "none of the above": -7.0}
LABELS |= {"hayfever, allergic rhinitis or eczema": 9.0}
FORMS = {
    "bars": "|".join,
    "list": lambda codes: f"[{','.join(codes)}]",
    "list with blanks": lambda codes: f"[{', '.join(codes)}]",
    "list of text": lambda codes: "[" + ",".join(f'"{c}"' for c in codes) + "]",
    "list as Python writes it": lambda codes: str(list(codes)),
    "list, quoted for CSV": lambda codes: '"[' + ",".join(f'""{c}""' for c in codes) + ']"',
}


def column(*cells):
    return pa.chunked_array([pa.array(cells)])


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(st.integers(-999_999, 999_999), min_size=1, max_size=6))
def test_answers_of_a_cell_keep_their_order(form, codes):
    texts = [str(code) for code in codes]
    assert answers_in(FORMS[form](texts)) == texts


@pytest.mark.parametrize("cell", ["", "NA", " nan ", None, "[]", '""', "NULL", [], "[null]"])
def test_cells_without_an_answer(cell):
    assert answers_in(cell) == []


@given(st.lists(st.lists(st.integers(-9, 99), max_size=4), min_size=1, max_size=20))
def test_answers_come_out_by_position_whatever_holds_them(rows):
    longest = max(map(len, rows)) or 1
    expected = np.full((len(rows), longest), np.nan)
    for k, row in enumerate(rows):
        expected[k, : len(row)] = row
    texts = pa.array(["|".join(map(str, row)) or None for row in rows], pa.string())
    lists = pa.array(rows, pa.list_(pa.int64()))
    for cells in (texts, texts.dictionary_encode(), texts.cast(pa.large_string()), lists):
        arrays, not_read = numbers_of(pa.chunked_array([cells[:3], cells[3:]]), LABELS)
        np.testing.assert_array_equal(np.column_stack(arrays), expected)
        assert not_read is None


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([1, None, 2**60]), [1, np.nan, 2.0**60]),
        (pa.array([True, False]), [1, 0]),
        (pa.array([1.5, None]), [1.5, np.nan]),
        (pa.array([None, None]), [np.nan, np.nan]),
        (pa.array(["1e3", "-7.0", " 4 ", "+.5"]), [1000, -7, 4, 0.5]),
        (pa.array(["High  blood pressure", "4", "NONE OF THE ABOVE"]), [4, 4, -7]),
        (pa.array(["Hayfever, allergic rhinitis or eczema"]), [9]),
    ],
)
def test_numbers_text_and_labels_become_numbers(cells, expected):
    (array,), not_read = numbers_of(pa.chunked_array([cells]), LABELS)
    np.testing.assert_array_equal(array, expected)
    assert array.dtype == float
    assert not_read is None


@pytest.mark.parametrize("text", ["Sometimes", "1_000", "infinity", "0x10", "4 high", "--3"])
def test_what_is_neither_is_counted(text):
    _, not_read = numbers_of(column("4", text, text, f"1|{text}", None), LABELS)
    assert (not_read.why, not_read.most, not_read.cells) == ("text", ((text, 3),), 3)


def test_the_most_frequent_come_first_and_a_decimal_comma_is_named():
    _, not_read = numbers_of(column("a", "b", "b", "c", "d", "c", "c"), {})
    assert not_read.most == (("c", 3), ("b", 2), ("a", 1))
    assert numbers_of(column("70", "80,5"), {})[1].why == "decimal comma"


DAY = datetime.date(2016, 5, 3)


@pytest.mark.parametrize(
    "text",
    [
        "2016-05-03",
        "2016-5-3",
        "2016-05-03T00:00:00Z",
        "2016-05-03T10:11:12.5+01:00",
        "2016-05-03 10:11",
        '"2016-05-03"',
    ],
)
def test_a_date_in_each_way_of_writing(text):
    dates, not_read = dates_of(column(text, None, ""))
    assert dates.tolist() == [pd.Timestamp(DAY), pd.NaT, pd.NaT]
    assert dates.dtype == "datetime64[us]"
    assert not_read is None


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([DAY, None]),
        pa.array([datetime.datetime(2016, 5, 3, 23, 59), None]),
        pa.array([datetime.datetime(2016, 5, 3, 1, tzinfo=datetime.UTC), None]),
    ],
)
def test_dates_that_are_dates_already(cells):
    dates, not_read = dates_of(pa.chunked_array([cells]))
    assert dates.tolist() == [pd.Timestamp(DAY), pd.NaT]
    assert dates.dtype == "datetime64[us]"
    assert not_read is None


@given(st.lists(st.dates(datetime.date(2006, 1, 1), datetime.date(2026, 12, 31)), min_size=1))
def test_days_and_months_are_never_exchanged(days):
    for form in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y"):
        dates, not_read = dates_of(column(*(day.strftime(form) for day in days)))
        if any(day.day > 12 for day in days):
            assert dates.dt.date.tolist() == days
        else:
            assert not_read.why == "ambiguous date"


def test_dates_in_both_orders_are_not_guessed():
    assert dates_of(column("30/05/2016", "05/30/2016"))[1].why == "ambiguous date"


@pytest.mark.parametrize("text", ["2016-02-30", "20160503", "yesterday", "03/05/16"])
def test_what_is_no_date_is_counted(text):
    _, not_read = dates_of(column("2016-05-03", text, text))
    assert (not_read.why, not_read.most, not_read.cells) == ("date", ((text, 2),), 2)


@pytest.mark.parametrize(
    ("cells", "expected", "why"),
    [
        (pa.array(["1000001.0", '"-5"', None, "NA"]), [1000001, -5, None, None], ""),
        (pa.array([1000001.0, None]), [1000001, None], ""),
        (pa.array(["1000001", "1e+06"]), [1000001, None], "rounded"),
        (pa.array(["x1000001"]), [None], "text"),
        (pa.array(["1000001.5"]), [None], "text"),
        (pa.array(["9" * 30]), [None], "text"),
    ],
)
def test_whole_numbers(cells, expected, why):
    numbers, found = whole_numbers_of(pa.chunked_array([cells]))
    assert found == why
    assert [None if pd.isna(n) else n for n in numbers] == expected


VALUES = st.lists(st.sampled_from([1.0, 2.0, np.nan]), min_size=4, max_size=4)


@given(VALUES, VALUES)
def test_merged_columns_fill_each_other_and_contradictions_are_counted(first, second):
    tables = [pd.DataFrame({"6150-2.0": first}), pd.DataFrame({"6150-2.0": second})]
    tables[1]["6150-2.1"] = [3.0, np.nan, np.nan, np.nan]
    values, differ = merged(tables)
    both = [(a, b) for a, b in zip(first, second, strict=True) if a == a and b == b]
    assert differ == sum(a != b for a, b in both)
    expected = [b if np.isnan(a) else a for a, b in zip(first, second, strict=True)]
    np.testing.assert_array_equal(values["6150-2.0"], expected)
    # An answer that only one of them has stays.
    assert values["6150-2.1"][0] == 3
