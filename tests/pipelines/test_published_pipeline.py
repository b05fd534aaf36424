"""A table in the published layout, from the file to the claims."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

sys.path.insert(0, str(Path(__file__).parents[1]))
from reporting_cases import invented, parameters, study_grid

from ukb_brain.pipelines.published import create_pipeline
from ukb_brain.statistics.scores.performance import score_map
from ukb_brain.statistics.scores.published import published_layout
from ukb_brain.statistics.scores.target_predictions import gather_targets
from ukb_brain.statistics.settings import Published, Reporting
from ukb_brain.tables import reported

CONF = Path(__file__).parents[2] / "conf/base"
PEOPLE = 40


class Kept(MemoryDataset):
    """Results that stay to be looked at."""

    def _release(self):
        pass


@pytest.fixture(scope="module")
def outputs():
    """Our own export, read as a table from outside."""
    grid = study_grid()
    tables = invented(grid, PEOPLE, strategies=("amortised",))
    performance = score_map(*tables, grid, "amortised")
    given = {
        "published.table": published_layout(
            performance, gather_targets(*tables, grid, "amortised"), tables[1], grid
        ),
    }
    given |= parameters(
        grid=grid,
        reporting=Reporting(draws=100),
        published=Published(table="table.csv", test_people=PEOPLE),
        claims=yaml.safe_load((CONF / "parameters/claims.yml").read_text())["claims"],
    )
    pipeline = create_pipeline()
    names = {*pipeline.inputs(), *pipeline.all_outputs()}
    catalog = DataCatalog({name: Kept(copy_mode="assign") for name in names})
    for name in names & set(given):
        catalog[name] = given[name]
    SequentialRunner().run(pipeline, catalog)
    return {name: catalog.load(name) for name in pipeline.all_outputs()}


def test_tables_pass_their_schemas(outputs):
    reported.mixed_models.validate(outputs["published.mixed_models"])
    reported.claims.validate(outputs["published.claims"])
    reported.published_intervals.validate(outputs["published.intervals"])


def test_single_cells_have_intervals_by_the_classes_that_the_table_gives_away(outputs):
    table = outputs["published.intervals"]
    known = table[(table["metric"] == "balanced_accuracy") & table["estimate"].notna()]
    assert known["low"].notna().all()
    assert (known["low"] < known["estimate"]).all()
    # One class in test: no score, and so no interval.
    assert table.loc[table["target"] == "guilty", "low"].isna().all()
    assert table.loc[table["metric"] == "r2", "low"].isna().all()


def test_a_claim_on_one_binary_target_is_told_and_the_studys_test_stands_beside(outputs):
    claims = outputs["published.claims"].set_index(["claim", "part"])
    sex = claims.loc[("sex_is_legible", "skill from all images")]
    assert sex["basis"] == "number of test people"
    assert sex["low"] < sex["statistic"] < sex["high"]
    assert pd.isna(claims.loc[("age_is_legible", "all"), "low"])
    parts = claims.loc["serology_predicts_morbidity"].index
    assert "the study's mixed model: serology" in parts
    text = outputs["published.claims_text"]
    assert "decides nothing here" in text
    assert "SYNTHETIC" not in text


def test_the_configuration_names_the_studys_test_people():
    text = yaml.safe_load((CONF / "parameters_published.yml").read_text())["published"]
    assert Published(**text) == Published(test_people=2381)
