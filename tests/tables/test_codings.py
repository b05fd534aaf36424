import re

import pytest
import yaml
from table_cases import CODINGS, CONF

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.tables.codings import Codings, plain
from ukb_brain.tables.dictionary import field_of
from ukb_brain.tables.raw_problems import wanted_fields


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
