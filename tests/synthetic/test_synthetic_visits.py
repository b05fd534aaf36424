from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.synthetic.visits import (
    DWI,
    FLAIR,
    KINDS,
    MATRIX,
    SERIES,
    T1,
    Scan,
    visits_of,
)

N = 4000


@pytest.fixture(scope="module")
def visits():
    return [visits_of(1, number) for number in range(1, N + 1)]


@given(st.integers(0, 2**40), st.integers(1, 10**6))
def test_visits_are_a_function_of_seed_and_number(seed, number):
    visits = visits_of(seed, number)
    assert visits_of(seed, number) == visits
    days = [visits.dates[k] for k in (0, 2, 3) if k in visits.dates]
    assert days == sorted(days)
    assert date(2006, 6, 1) <= days[0] <= date(2010, 12, 31)
    expected = {
        (f, k) for k in (2, 3) if k in visits.dates for f in (T1, FLAIR, DWI, MATRIX, SERIES)
    }
    assert {(scan.field, scan.instance) for scan in visits.scans} == expected
    assert len(visits.scans) == len(expected)


def test_shares_of_visits(visits):
    assert sum(2 in v.dates for v in visits) / N == pytest.approx(0.98, abs=0.01)
    imaged = [v for v in visits if 2 in v.dates]
    assert sum(3 in v.dates for v in imaged) / len(imaged) == pytest.approx(0.10, abs=0.015)
    assert not any(3 in v.dates for v in visits if 2 not in v.dates)
    assert sum(1 in v.dates for v in visits) / N == pytest.approx(0.12, abs=0.02)
    assert sum(v.withdrawn for v in visits) / N == pytest.approx(0.006, abs=0.004)


@pytest.mark.parametrize("field", [T1, FLAIR, DWI, MATRIX, SERIES])
def test_shares_of_scans_that_cannot_be_used(visits, field):
    states = Counter(s.state for v in visits for s in v.scans if s.field == field)
    n = states.total()
    for state in ("missing", "unusable", "broken"):
        assert states[state] / n == pytest.approx(getattr(KINDS[field], state), abs=0.006)
    assert states["ok"] / n > 0.9


def test_names_of_files():
    assert Scan(20252, 2, "ok").file_name(1) == "9000001_20252_2_0.zip"
    assert Scan(25750, 3, "ok").file_name(1234) == "9001234_25750_3_0.txt"
