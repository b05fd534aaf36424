import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parents[1]))
from reporting_cases import (
    SEED,
    described,
    exclusion_flow,
    invented,
    invented_folds,
    parameters,
    quality_summary,
    scan_counts,
    small_grid,
    study_grid,
    target_summary,
)

from ukb_brain.errors import InputError
from ukb_brain.pipelines.reporting import create_pipeline
from ukb_brain.statistics.certainty.cell_intervals import interval_table
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.limits.verdicts import VerdictRules
from ukb_brain.statistics.scores.performance import score_all, score_map, with_intervals
from ukb_brain.statistics.scores.target_predictions import gather_targets
from ukb_brain.statistics.settings import Certainty, Reporting
from ukb_brain.statistics.tested import choose_strategy, gather_unrefined
from ukb_brain.tables import reported

CONF = Path(__file__).parents[2] / "conf/base"


RETRAINED = tuple(
    f"evidence.{name}"
    for name in ("learning_curves", "learning_curve_fits", "left_out_sites", "model_scale")
)


def measured(grid, predictions, participants):
    """What data engineering knows of the invented people: all in training, validation and test."""
    rng = np.random.default_rng(4)
    n = len(participants)
    people = participants.assign(
        site=rng.integers(0, 2, n), sex=rng.integers(0, 2, n) * 1.0, age=rng.uniform(50, 80, n)
    )
    test = predictions[(predictions["split"] == "test") & (predictions["strategy"] == "amortised")]
    values = test.drop_duplicates(["eid", "target"]).pivot_table(
        index="eid", columns="target", values="y_true"
    )
    targets = values[list(grid.targets)].reset_index().assign(instance=2)
    return {
        "primary.participants": people,
        "primary.targets": targets,
        "primary.target_sources": targets.assign(**dict.fromkeys(grid.targets, 2)),
        "primary.confounds": people.drop(columns="family"),
        "primary.splits": pd.DataFrame({"eid": people["eid"], "fold": 0, "part": "train"}),
    }


class Kept(MemoryDataset):
    """Results that stay to be looked at."""

    def _release(self):
        pass


@pytest.fixture(scope="module")
def outputs():
    grid = study_grid()
    predictions, cell_fits, participants = invented(grid)
    # Calibration reads validation people, whom the invented predictions put far away.
    predictions.loc[predictions["split"] == "validation", "y_pred"] -= 1e6
    predictions["y_pred"] = predictions["y_pred"].where(
        predictions["target"].map(lambda key: grid.targets[key].kind) != "binary",
        predictions["y_pred"].clip(0, 1),
    )
    given = {
        "model_output.predictions": predictions,
        "model_output.unrefined": predictions[predictions["strategy"] == "amortised"],
        "model_output.cell_fits": cell_fits,
        "primary.participants": participants,
        "primary.exclusion_flow": exclusion_flow(),
        "primary.scan_counts": scan_counts(),
        "primary.target_summary": target_summary(grid),
        "primary.quality_summary": quality_summary(),
        "primary.data_dictionary": pd.DataFrame([described(key, grid) for key in grid.targets]),
    }
    given |= parameters(
        grid=grid,
        reporting=Reporting(draws=100, folder="out"),
        seed=SEED,
        source="synthetic",
        certainty=Certainty(relation_draws=50, permutations=99),
        verdicts=VerdictRules(),
        claims=yaml.safe_load((CONF / "parameters/claims.yml").read_text())["claims"],
    )
    given |= measured(grid, predictions, participants)
    # What `evidence` was not run for.
    given |= dict.fromkeys(RETRAINED, pd.DataFrame())
    # What `modelling` makes beside predictions.
    given["reporting.scan_agreement"] = pd.DataFrame()
    before = {name: value.copy() for name, value in given.items() if hasattr(value, "columns")}
    pipeline = create_pipeline()
    names = {*pipeline.inputs(), *pipeline.all_outputs()}
    catalog = DataCatalog({name: Kept(copy_mode="assign") for name in names})
    for name in names & set(given):
        catalog[name] = given[name]
    SequentialRunner().run(pipeline, catalog)
    for name, value in before.items():
        pd.testing.assert_frame_equal(given[name], value)
    return {name: catalog.load(name) for name in pipeline.all_outputs()}


def test_it_writes_what_the_catalog_names(outputs):
    catalog = yaml.safe_load((CONF / "catalog_reporting.yml").read_text(encoding="utf-8"))
    named = {name for name in catalog if "." in name and "{" not in name}
    kept = {name for name in outputs if "." in name}
    assert named <= kept
    declared = {name for name, table in vars(reported).items() if hasattr(table, "validate")}
    of_evidence = {name.removeprefix("evidence.") for name in RETRAINED}
    of_others = {"published_intervals", "brain_age_gap", "scan_agreement", "mean_connectivity"}
    assert {name.removeprefix("reporting.") for name in kept - named} == (
        declared - of_evidence - of_others
    )


def test_tables_pass_their_schemas(outputs):
    reported.performance.validate(outputs["reporting.performance"])
    reported.performance.validate(outputs["reporting.performance_all"])
    reported.mixed_models.validate(outputs["reporting.mixed_models"])
    assert (
        len(outputs["reporting.performance"]) == len(outputs["reporting.published_layout"]) == 700
    )
    assert len(outputs["reporting.performance_all"]) == 1400


def test_gains_are_judged_on_what_cells_predicted_before_the_ladder():
    """A strategy without a ladder predicts the same before it."""
    grid = small_grid("age")
    predictions, fits, participants = invented(grid)
    refined = predictions["strategy"] == "amortised"
    before = predictions[refined].assign(y_pred=lambda rows: rows["y_pred"] + 1)
    given = (before, predictions, fits, participants, grid)
    tested, held = gather_unrefined(*given, "amortised")
    moved, _ = gather_unrefined(before.head(0), *given[1:], "amortised")
    np.testing.assert_allclose(tested["age"].predicted, moved["age"].predicted + 1)
    assert len(held) == len(before) / 2
    linear, _ = gather_unrefined(*given, "linear")
    own = gather_targets(predictions, fits, participants, grid, "linear")
    np.testing.assert_array_equal(linear["age"].predicted, own["age"].predicted)


def test_nothing_exportable_names_a_person(outputs):
    for name, output in outputs.items():
        if not name.startswith("reporting."):
            continue
        if isinstance(output, pd.DataFrame):
            assert not {"eid", "instance", "family"} & set(output.columns), name
        elif isinstance(output, str):
            assert "90000" not in output, name


def test_the_configured_strategy_is_the_map(outputs):
    assert set(outputs["reporting.performance"]["strategy"]) == {"amortised"}


def test_folds_and_seeds_are_rows_of_one_table_and_one_row_of_the_map():
    grid = small_grid("age")
    tables = invented_folds(grid, folds=2, seeds=2)
    reporting = Reporting(draws=100)
    draws = FamilyDraws(tables[2]["family"], 100, SEED)
    every = score_all(*tables, grid, draws, reporting.level)
    strategy = choose_strategy(tables[1], reporting)
    intervals = interval_table(gather_targets(*tables, grid, strategy), draws)
    chosen = with_intervals(score_map(*tables, grid, strategy), intervals)
    reported.performance.validate(every)
    reported.performance.validate(chosen)
    assert len(every) == 4 * len(grid.cells) == 4 * len(chosen)


@pytest.mark.parametrize(
    ("trained", "map_of"),
    [
        (("linear", "amortised", "dedicated"), "amortised"),
        (("linear", "dedicated"), "linear"),
        (("dedicated",), "dedicated"),
    ],
)
def test_the_map_is_of_the_first_strategy_that_was_trained(trained, map_of):
    fits = pd.DataFrame({"strategy": trained})
    assert choose_strategy(fits, Reporting()) == map_of
    with pytest.raises(InputError, match=r"names moon, and the fits are of .*dedicated"):
        choose_strategy(fits, Reporting(strategy="moon"))


def test_parameters_are_typed():
    text = (CONF / "parameters_reporting.yml").read_text(encoding="utf-8")
    assert Reporting(**yaml.safe_load(text)["reporting"]) == Reporting(
        folder="${runtime_params:data_root,${globals:data_root}}/08_reporting"
    )
    assert Reporting(strategy="linear").strategy == ("linear",)
    with pytest.raises(ValidationError, match="draw"):
        Reporting(draw=10)


def test_the_data_dictionary_says_what_each_target_is(outputs):
    shown, page = outputs["reporting.data_dictionary"], outputs["reporting.data_dictionary_page"]
    assert shown["key"].tolist() == list(study_grid().targets)
    assert all(name in page for name in shown["name"])
    assert "SYNTHETIC" in page
