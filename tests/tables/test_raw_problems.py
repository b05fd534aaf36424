import pandas as pd
import pytest

from ukb_brain.grid import Grid
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.raw_problems import problems_of_lists, problems_of_table

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


PEOPLE = ((53, 2), (54, 2), (31, 0), (21003, 2))
ENGINEERING = DataEngineering(imaging_instances=(2, 3))


def told_of(held, targets=("hb", "tea"), people=PEOPLE):
    """Say what a table of these fields and instances lacks for a grid of some targets."""
    fields = {"age": (21003, "imaging"), "hb": (30020, "latest"), "tea": (1488, "nearest")}
    fields |= {"milk": (1418, "latest")}
    asked = {"domain": "d", "kind": "continuous", "rule": "value"}
    grid = Grid(
        base_domain="d",
        domains={"d": {"letter": "D"}},
        imaging={"structural": {"t1": {"name": "T1", "order": 1}}},
        targets={
            key: asked | {"name": key, "field": fields[key][0], "visit": fields[key][1]}
            for key in targets
        },
    )
    columns = [FieldColumn(field, instance, 0) for field, instance in (*people, *held)]
    return problems_of_table(columns, grid, ENGINEERING)


def test_a_table_with_everything_has_no_problem():
    assert told_of([(30020, 0), (1488, 3)]) == []


@pytest.mark.bad_input(
    given="several fields that the table lacks",
    says="the main table lacks field(s) 30020 (hb), 1488 (tea)",
)
def test_all_missing_fields_are_told_at_once(says):
    (problem,) = told_of([])
    assert problem.severity == "stop"
    assert problem.what == says
    assert "add them to your basket" in problem.remedy
    # Nothing would be left of the grid.
    assert "leave_out" not in problem.remedy


def test_targets_that_the_table_lacks_can_be_left_out_all_at_once():
    held = [(1488, 9)]
    told = told_of(held, ("hb", "tea", "milk"), (*PEOPLE, (1418, 0)))
    assert len(told) == 2
    assert told[0].remedy.endswith("or go on without these targets: --params grid.leave_out=hb+tea")
    # What describes people in any case cannot be left out, nor can all targets.
    (age, _) = told_of(held, ("age", "hb", "tea", "milk"), ((53, 2), (54, 2), (31, 0)))
    assert "leave_out" not in age.remedy
    assert "leave_out" not in told_of(held)[0].remedy
    # Where sex and age are left, they are a grid.
    assert "grid.leave_out=hb+tea" in told_of(held, ("age", "hb", "tea"))[0].remedy


@pytest.mark.bad_input(
    given="only 21003-0.0 and 54-0.0, not at the imaging visit",
    says="lacks the imaging visit (instance 2) of field(s) 54 (assessment centre: instances "
    "[0, 1]), 21003 (age: instances [0])",
)
def test_a_field_without_the_imaging_visit_is_no_column_of_nothing(says):
    people = ((53, 2), (54, 0), (54, 1), (31, 0), (21003, 0))
    (problem,) = told_of([(30020, 0)], ("hb",), people)
    assert says in problem.what
    assert "visit: latest" in problem.remedy
