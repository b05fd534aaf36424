"""The generated parts of docs/your_own_data.md are those of the grid and of the tests."""

import re

import pytest
import yaml

from tools import own_data
from ukb_brain.grid import Grid
from ukb_brain.tables.headers import parse_header
from ukb_brain.tables.raw_problems import wanted_fields

PAGE = own_data.PAGE.read_text()


def part(name):
    (found,) = re.findall(f"<!-- {name}: generated -->\n(.*?)\n<!-- end", PAGE, re.DOTALL)
    return found


def test_the_page_is_up_to_date():
    """Where this fails, `make docs` writes the page again."""
    assert own_data.rendered(PAGE) == PAGE


def test_the_lists_hold_the_fields_of_the_grid():
    wanted = wanted_fields(own_data.base_grid())
    assert len(wanted) > 35
    assert {int(n) for n in re.findall(r"\d+", part("numbers"))} == wanted
    columns = parse_header(part("columns").strip("`").removeprefix("text").split())
    assert {column.field for column in columns} == wanted
    assert {column.instance for column in columns if column.field == 21003} == {0, 1, 2, 3}


def test_the_example_of_a_target_makes_a_larger_grid():
    (example,) = (
        yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    )
    base = own_data.base_grid()
    given = base.model_dump()
    for key, more in example["grid"].items():
        given[key] = given[key] | more
    larger = Grid(**given)
    assert set(larger.targets) - set(base.targets) == {"fluid"}
    assert len(larger.cells) > 2 * len(base.cells)


def test_marks_are_collected_wherever_they_stand(tmp_path):
    (tmp_path / "imaging").mkdir()
    (tmp_path / "imaging" / "test_one.py").write_text(
        "import pytest\n"
        '@pytest.mark.bad_input(given="a zip", says="no " "zip | here")\ndef test_it(): ...\n'
        'CASES = [pytest.param(1, marks=pytest.mark.bad_input(given=w, says="c")) for w in "bd"]\n'
        '@pytest.mark.parametrize("n", CASES)\ndef test_n(n): ...\n'
    )
    (tmp_path / "test_two.py").write_text(
        "import pytest\n"
        '@pytest.mark.slow\n@pytest.mark.bad_input(given="d", says="e")\ndef test_it(): ...\n'
    )
    assert own_data.bad_input_rows(tmp_path) == [
        ("Scans", "a zip", "no zip | here"),
        ("Scans", "b", "c"),
        ("Scans", "d", "c"),
        ("Settings and runs", "d", "e"),
    ]


def test_tests_that_cannot_be_collected_are_an_error(tmp_path):
    (tmp_path / "test_three.py").write_text("import nowhere  # pytest.mark.bad_input\n")
    with pytest.raises(RuntimeError, match="nowhere"):
        own_data.bad_input_rows(tmp_path)
