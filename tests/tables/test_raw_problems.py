import pandas as pd
import pytest

from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.raw_problems import problems_of_lists

EIDS = pd.Series([1, 2, 3])
NO_LIST = Withdrawals(frozenset(), 0, "")
NO_PAIRS = pd.DataFrame()
NO_FILES = pd.DataFrame({"eid": []})


def pairs(*rows):
    return pd.DataFrame([(*row, 0.25) for row in rows], columns=["ID1", "ID2", "Kinship"])


def lists(*eids):
    return Withdrawals(frozenset(eids), 1, "raw")


def test_what_matches_somebody_is_no_problem():
    files = pd.DataFrame({"eid": [3, 3, 9]})
    assert problems_of_lists(EIDS, lists(1, 99), pairs((1, 2), (8, 9)), files) == []
    assert problems_of_lists(EIDS, NO_LIST, NO_PAIRS, NO_FILES) == []


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            {"withdrawals": lists(98, 99)},
            marks=pytest.mark.bad_input(
                given="a withdrawal list of another application",
                says="none of the 2 people on the withdrawal list(s) is in the main table",
            ),
        ),
        pytest.param(
            {"relatedness": pairs((98, 99), (1, 99))},
            marks=pytest.mark.bad_input(
                given="a relatedness file of another application",
                says="of 2 pairs of the relatedness file none has both people in the main table",
            ),
        ),
        pytest.param(
            {"index": pd.DataFrame({"eid": [98, 98, 99]})},
            marks=pytest.mark.bad_input(
                given="a bulk folder of another application",
                says="none of the 2 people with bulk files is in the main table",
            ),
        ),
    ],
)
def test_what_matches_nobody_is_a_warning_with_its_likely_cause(given, says):
    files = {"withdrawals": NO_LIST, "relatedness": NO_PAIRS, "index": NO_FILES} | given
    (problem,) = problems_of_lists(EIDS, **files)
    assert problem.severity == "warning"
    assert says in problem.what
    assert "each application has its own eids" in problem.remedy
