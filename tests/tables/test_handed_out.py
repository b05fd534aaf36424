"""Tables made without this project's generator give the answers that they hold."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from reporting_cases import study_grid
from table_cases import read

from ukb_brain.tables.derivations import derive_targets
from ukb_brain.tables.exclusions import dated_visits
from ukb_brain.tables.raw_problems import wanted_fields

FOLDER = Path(__file__).parent / "handed_out"
EXPECTED = pd.read_csv(FOLDER / "expected.csv")
TABLES = sorted({*FOLDER.glob("*.[ct]*")} - {FOLDER / "expected.csv"})


def test_every_table_is_there():
    assert len(TABLES) == 10


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_a_table_that_was_handed_out_gives_what_is_expected(path, tmp_path):
    shutil.copy(path, tmp_path)
    grid = study_grid()
    table = read(tmp_path, wanted_fields(grid))
    visits = dated_visits(table, (2, 3)).to_frame(index=False)
    values, *_ = derive_targets(table, visits, grid.targets)
    assert set(grid.targets) < set(EXPECTED)
    columns = ["eid", "instance", *grid.targets]
    pd.testing.assert_frame_equal(values[columns], EXPECTED[columns], check_dtype=False)
