import re

import pytest
import yaml
from table_cases import CODINGS, CONF

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.tables.dictionary import Codings, field_of, fields_by_title, plain, words
from ukb_brain.tables.raw_problems import wanted_fields


# As the showcase has them: https://biobank.ndph.ox.ac.uk/showcase/field.cgi?id=…
@pytest.mark.parametrize(
    ("field", "title", "value_type", "unit", "coding", "last_instance", "answers"),
    [
        (31, "Sex", "categorical", "", 9, 0, 1),
        (53, "Date of attending assessment centre", "date", "", None, 3, 1),
        (
            6150,
            "Vascular/heart problems diagnosed by doctor",
            "categorical_multiple",
            "",
            100605,
            2,
            4,
        ),
        (20023, "Mean time to correctly identify matches", "integer", "milliseconds", None, 3, 1),
        (21002, "Weight", "continuous", "Kg", None, 3, 1),
        (4080, "Systolic blood pressure, automated reading", "integer", "mmHg", None, 3, 2),
    ],
)
def test_what_the_dictionary_says(field, title, value_type, unit, coding, last_instance, answers):
    entry = field_of(field)
    assert (entry.title, entry.value_type, entry.unit) == (title, value_type, unit)
    assert entry.coding == coding
    assert list(entry.instances) == list(range(last_instance + 1))
    assert len(entry.arrays) == answers


def test_an_unknown_field():
    assert field_of(999_999) is None


def test_titles_lead_back_to_fields_and_some_are_shared():
    assert fields_by_title()["sex"] == (31,)
    assert set(fields_by_title()["weight"]) == {21002, 23098}
    for field in (31, 6150, 6152, 1707, 30750):
        assert field in fields_by_title()[words(field_of(field).title)]


def test_words_pass_over_what_r_changes():
    title = "Handedness (chirality/laterality)"
    assert words(title) == words("Handedness..chirality.laterality.") == words(f" {title.upper()}")


def test_labels_and_codes_lead_to_each_other():
    for coding, labels in CODINGS.root.items():
        codes = CODINGS.codes(coding)
        assert codes == {plain(label): float(code) for code, label in labels.items()}
        # No label stands for two codes.
        assert len(codes) == len(labels)
    assert CODINGS.label(9, 1.0) == "Male"
    assert CODINGS.codes(9)["male"] == 1


def test_unknown_codings_have_no_labels():
    assert CODINGS.label(None, 1) is CODINGS.label(999_999, 1) is CODINGS.label(9, 7) is None
    assert CODINGS.codes(None) == CODINGS.codes(999_999) == {}


@pytest.mark.parametrize("label", ["High blood pressure", " high  Blood pressure "])
def test_labels_are_compared_without_case_and_blanks(label):
    assert CODINGS.codes(100605)[plain(label)] == 4


def test_files_of_a_folder_extend_what_is_known(tmp_path):
    (tmp_path / "coding9.tsv").write_text("coding\tmeaning\n0\tWoman\n")
    (tmp_path / "coding100420.tsv").write_text("coding\tmeaning\n-3\tPrefer not to answer\n")
    # A coding of text has no codes to compare with; other files are passed over.
    (tmp_path / "coding19.tsv").write_text("coding\tmeaning\nC50\tC50 Malignant\n")
    (tmp_path / "coding_notes.tsv").write_text("anything")
    found = CODINGS.extended(tmp_path)
    assert found.codes(9) == {"woman": 0, "male": 1}
    assert found.codes(100420) == {"prefer not to answer": -3}
    assert found.codes(19) == {}


def test_codings_of_the_package_are_known_without_a_folder(tmp_path):
    assert Codings({}).extended(tmp_path / "absent").codes(100605)["high blood pressure"] == 4


@pytest.mark.parametrize("content", ["", "coding,meaning\n1,a\n", "a\tb\n1\t2\n"])
@pytest.mark.bad_input(
    given="a coding file of other columns",
    says="a tab-separated file with columns `coding` and `meaning` was expected",
)
def test_another_file_is_refused(tmp_path, content, says):
    (tmp_path / "coding9.tsv").write_text(content)
    with pytest.raises(InputError, match=rf"coding9\.tsv.*{re.escape(says)}"):
        CODINGS.extended(tmp_path)


def test_every_coded_field_of_the_base_grid_has_its_labels(tmp_path):
    grid = Grid(**yaml.safe_load((CONF / "parameters_grid.yml").read_text())["grid"])
    known = CODINGS.extended(tmp_path)
    for field in wanted_fields(grid):
        coding = field_of(field).coding
        # 1317 marks missing head positions by a number.
        assert coding in (None, 1317) or known.codes(coding), field
