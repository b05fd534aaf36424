import numpy as np
import pandas as pd
import pytest
import yaml
from reporting_cases import ROOT, study_grid

from ukb_brain.grid import RULES, Grid, Target
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.rules import answers_by_instance
from ukb_brain.tables.target_checks import problems_of_values

PARAMETERS = ROOT / "conf/base/parameters_codings.yml"
CODINGS = Codings(yaml.safe_load(PARAMETERS.read_text())["codings"])
STUDY = study_grid()
N = 200


def problems(column, entries, key="tea", **given):
    """Of a grid with one target of these entries."""
    if given:
        given = {"name": key, "domain": "d", "kind": RULES[given["rule"]].kind} | given
    else:
        given = STUDY.targets[key].model_dump() | {"domain": "d"}
    grid = Grid(
        base_domain="d",
        domains={"d": {"letter": "D"}},
        imaging={"structural": {"t1": {"name": "T1", "order": 1}}},
        targets={key: given},
    )
    table = pd.DataFrame({column: np.asarray(entries, dtype=float)})
    answers = answers_by_instance(table, Target(**given))
    return problems_of_values(
        table, pd.DataFrame({key: next(iter(answers.values()))}), grid, CODINGS
    )


def halves(first, second, n=N):
    return np.repeat([first, second], [n // 2, n - n // 2])


def around(centre, spread=0.1):
    return centre * (1 + spread * np.random.default_rng(3).normal(size=N))


def only(found, severity="stop"):
    (problem,) = found
    assert problem.severity == severity
    assert problem.remedy
    return str(problem)


@pytest.mark.parametrize(
    ("key", "column", "entries"),
    [
        ("sex", "31-0.0", halves(0, 1)),
        ("age", "21003-2.0", around(64)),
        ("weight", "21002-2.0", around(76, 0.2)),
        ("smoking", "20116-2.0", np.resize([0, 1, 2, -3], N)),
        ("hypertension", "6150-2.0", np.resize([-7, 4, 1, -3, np.nan], N)),
        ("hba1c", "30750-0.0", around(36)),
        ("reaction_time", "20023-2.0", around(560)),
    ],
)
def test_what_a_target_asks_for_is_no_problem(key, column, entries):
    assert problems(column, entries, key) == []


@pytest.mark.bad_input(
    given="sex coded as 1 and 2", says="(Sex) holds codes that coding 9 (0 Female, 1 Male) does not"
)
def test_sex_coded_anew(says):
    told = only(problems("31-0.0", halves(1, 2), "sex"))
    assert says in told
    assert "'sex'" in told
    assert "2: 100" in told


@pytest.mark.parametrize(
    ("key", "column", "entries", "told"),
    [
        pytest.param(
            "age", "21003-2.0", np.round(around(64) * 12), "as if it were months",
            marks=pytest.mark.bad_input(
                given="ages in months", says="has a median of 7"),
        ),
        pytest.param(
            "age", "21003-2.0", np.where(np.arange(N) % 4 == 0, 0, around(64)), "50 answers",
            marks=pytest.mark.bad_input(
                given="age 0 where it is not known", says="is 0 for 50 answers, which nobody is"),
        ),
        pytest.param(
            "weight", "21002-2.0", around(76_000), "as if it were grams",
            marks=pytest.mark.bad_input(
                given="weights in grams", says="as if it were grams; UK Biobank gives kg"),
        ),
    ],
)  # fmt: skip
def test_another_unit(key, column, entries, told, says):
    found = only(problems(column, entries, key))
    assert says in found
    assert told in found


def test_few_zeros_are_not_counted_out():
    found = only(problems("21003-2.0", np.where(np.arange(N) < 5, 0, around(64)), "age"))
    assert "fewer than 10 answers" in found


def test_a_slip_does_not_stop_a_run():
    entries = around(64)
    entries[0] = 0
    assert problems("21003-2.0", entries, "age") == []


@pytest.mark.bad_input(
    given="codes under `values` that the field never holds",
    says="never holds 5, which the target counts as yes, but 0 (Never): 100, 2 (Current): 100",
)
def test_values_that_never_occur(says):
    told = only(problems("20116-2.0", halves(0, 2), rule="any_of", field=20116, values=[5]))
    assert says in told


def test_few_people_with_a_code_are_not_counted():
    entries = np.where(np.arange(N) < 5, 2, 0)
    told = only(problems("20116-2.0", entries, rule="any_of", field=20116, values=[1]))
    assert "2 (Current): fewer than 10" in told
    assert "2 (Current): 5" not in told


@pytest.mark.bad_input(
    given="a cut-off in another unit than the field's", says="nobody is yes (field 30750 above 480)"
)
def test_a_cut_off_that_parts_nobody(says):
    told = only(problems("30750-0.0", around(36), rule="binned", field=30750, threshold=480))
    assert says in told
    assert "direction" in told


def test_the_other_direction_of_it_is_everybody():
    given = {"rule": "binned", "field": 30750, "threshold": 480, "direction": "below"}
    assert "everybody is yes" in only(problems("30750-0.0", around(36), **given))


def test_a_quantile_that_many_people_share():
    found = problems("20016-2.0", np.full(N, 6.0), rule="binned", field=20016, quantile=0.5)
    assert "nobody is yes (field 20016 above quantile 0.5 (6))" in only(found)


@pytest.mark.bad_input(
    given="“Prefer not to answer” of a number, not under `missing`",
    says="takes codes as amounts (coding 100373): -3: 50",
)
def test_a_code_among_amounts(says):
    entries = np.where(np.arange(N) % 4 == 0, -3, np.arange(N) % 7)
    told = only(problems("1488-2.0", entries, rule="value", field=1488))
    assert says in told
    assert "[-3]" in told


def test_no_answer_that_counts_as_no_is_a_warning():
    entries = np.resize([1, 0, -3], N)
    found = problems("1920-2.0", entries, rule="any_of", field=1920, values=[1])
    assert "[-3] to `missing`" in only(found, "warning")


def test_codes_as_amounts_are_a_warning():
    found = problems("1707-2.0", halves(1, 2), rule="value", field=1707)
    assert "categorical" in only(found, "warning")


def test_amounts_as_codes_are_a_warning():
    found = problems("50-2.0", halves(1, 170), rule="any_of", field=50, values=[1])
    assert "takes its numbers as codes" in only(found, "warning")


def test_everybody_alike_is_told():
    assert "same value" in only(problems("46-2.0", np.full(N, 30), rule="value", field=46))
    few = problems("46-2.0", np.full(20, 30), rule="value", field=46)
    assert "same value" in only(few, "warning")


def test_only_codes_of_no_answer():
    given = {"rule": "any_of", "field": 1920, "values": [1], "missing": [-3]}
    assert "no answer that counts" in only(problems("1920-2.0", np.full(N, -3), **given))


def test_targets_without_any_answer_are_told_in_one_line():
    grid = Grid.model_validate(STUDY.model_dump() | {"only": ["hb", "hdl", "age"]})
    table = pd.DataFrame({"21003-2.0": np.linspace(50, 80, N), "30020-0.0": np.full(N, np.nan)})
    values = pd.DataFrame({"age": table["21003-2.0"], "hb": np.nan, "hdl": np.nan})
    (problem,) = problems_of_values(table, values, grid, CODINGS)
    assert "'hb': field 30020" in problem.what
    assert "'hdl': field 30760" in problem.what
    assert problem.remedy.endswith("or go on without: --params grid.leave_out=hb+hdl")


@pytest.mark.parametrize("code", [0, 1])
def test_a_cohort_of_one_sex_is_a_cohort(code):
    (problem,) = problems("31-0.0", np.full(N, code), "sex")
    assert problem.severity == "warning"


def test_a_field_that_the_dictionary_does_not_have_is_taken_as_it_is():
    assert problems("999999-2.0", around(5), rule="value", field=999999) == []
