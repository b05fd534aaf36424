import pytest

from ukb_brain.errors import InputError
from ukb_brain.problems import MOST_TOLD, Problem, stop_at


def stops(n):
    return [Problem("stop", f"field {k} is not there.", "ask for it") for k in range(n)]


def test_warnings_stop_nothing():
    stop_at([Problem("warning", "odd", "look")])
    stop_at([])


def test_all_stops_are_told_at_once_with_their_remedies():
    with pytest.raises(
        InputError, match=r"field 0 is not there: ask for it\. field 1 is"
    ) as caught:
        stop_at([Problem("warning", "odd", "look"), *stops(2)])
    assert "odd" not in str(caught.value)


def test_many_are_counted():
    with pytest.raises(InputError, match="And 3 more"):
        stop_at(stops(MOST_TOLD + 3))
