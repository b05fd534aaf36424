"""The environment of real people whose data are public, on invented files in their formats."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from abide_cases import row_of, write_cohort

from ukb_brain.configuration import LocalLastLoader
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.readiness.check import look
from ukb_brain.settings import CONFIG_LOADER_ARGS
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.splits import Splitting
from ukb_brain.tables.table_file import TableSettings

CONF = Path(__file__).parents[1] / "conf"
TARGETS = {"age", "sex", "autism", "iq"}
PEOPLE = 80


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("raw"), PEOPLE)


@pytest.fixture(scope="module")
def parameters():
    return LocalLastLoader(str(CONF), env="abide", **CONFIG_LOADER_ARGS)["parameters"]


def test_the_grid_is_four_targets_from_connectivity_alone(parameters):
    grid = Grid(**parameters["grid"])
    assert set(grid.targets) == TARGETS
    assert {(cell.inputs.groups, cell.inputs.blocks) for cell in grid.cells} == {
        (("functional",), ())
    }
    assert len(grid.cells) == len(TARGETS)


def test_every_site_of_abide_has_a_code(parameters):
    sites = {
        *("CALTECH", "CMU", "KKI", "LEUVEN_1", "LEUVEN_2", "MAX_MUN", "NYU", "OHSU", "OLIN"),
        *("PITT", "SBL", "SDSU", "STANFORD", "TRINITY", "UCLA_1", "UCLA_2", "UM_1", "UM_2"),
        *("USM", "YALE"),
    }
    named = Codings(parameters["codings"]).root[10]
    assert {named[code] for code in range(1, 21)} == sites and len(sites) == 20


def test_a_check_finds_everything_there(raw, parameters):
    asked = (
        Grid(**parameters["grid"]),
        DataEngineering(**parameters["data_engineering"]),
        TableSettings(),
        Codings(parameters["codings"]),
        ImagingPreprocess(**parameters["imaging_preprocess"]),
        Splitting(**parameters["splitting"]),
        parameters["source"],
    )
    looked = look(TableFolder(raw, raw / "codings"), raw, pd.DataFrame(), *asked)
    assert [p for p in looked.problems if p.severity == "stop"] == []
    assert looked.people == looked.visits == PEOPLE


@pytest.mark.slow
def test_a_run_ends_in_a_report_without_a_stamp(raw, tmp_path, run_kedro):
    given = {"raw_folder": raw, "preset": "test", "compute__workers": 1}
    done = run_kedro(root=tmp_path, env="abide", **given)
    assert done.returncode == 0, done.stdout + done.stderr
    performance = pd.read_parquet(tmp_path / "08_reporting/performance.parquet")
    assert set(performance["target"]) == TARGETS and len(performance) == 4
    assert (performance["status"] == "ok").all()
    targets = pd.read_parquet(tmp_path / "03_primary/targets.parquet").set_index("eid")
    rows = pd.DataFrame([row_of(number) for number in range(PEOPLE)]).set_index("SUB_ID")
    np.testing.assert_allclose(targets["age"], rows["AGE_AT_SCAN"])
    assert (targets["sex"] == (rows["SEX"] == 1)).all()
    assert (targets["autism"] == (rows["DX_GROUP"] == 1)).all()
    assert targets["iq"].isna().sum() == 1
    for page in ("dashboard.html", "report.html", "summary.md"):
        text = (tmp_path / "08_reporting" / page).read_text()
        assert "SYNTHETIC" not in text, page
        told = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
        assert not re.search(r"\b500\d\d\b", told), page
