import logging
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from kedro.config import OmegaConfigLoader
from kedro.framework import project as kedro_project
from kedro.framework.context import KedroContext
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from ukb_brain import tracked, tracking_page
from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import Model, ModelFolder, write_model
from ukb_brain.tracking import Tracking, database, opening

PROJECT = Path(__file__).parents[1]
SECRET = 7654321
CURVES = {"train": [1.0, 0.5, float("nan")], "validation": [1.25, None, 0.75]}
RUN_PARAMS = dict.fromkeys(
    ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "load_versions"), ()
) | {"pipeline_names": ["modelling"], "env": "base"}


@pytest.fixture(scope="module", autouse=True)
def no_other_project():
    """Hide pipelines that other tests registered: their parameters are not this project's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kedro.framework.project.pipelines", type(kedro_project.pipelines)())
        yield


def performance():
    rows = {
        "strategy": ["linear", "linear", "linear", "amortised", "amortised", "linear"],
        "domain": ["disease", "disease", "serology", "disease", "serology", "serology"],
        "kind": ["binary", "binary", "continuous", "binary", "continuous", "continuous"],
        "status": ["ok", "ok", "ok", "ok", "one class in test", "ok"],
        "n_test": [50, 60, 70, 50, 40, 9],
        "roc_auc": [0.75, 0.85, np.nan, 0.9, np.nan, np.nan],
        "r2": [np.nan, np.nan, 0.25, np.nan, np.nan, 0.99],
    }
    ends = {f"{m}{e}": np.nan for m in ("roc_auc", "r2") for e in ("_low", "_high")}
    return pd.DataFrame(rows).assign(**ends)


class Project:
    """A small project in a folder of its own."""

    def __init__(self, home, data_root="data", files=None):
        self.home, self.root = home, home / data_root
        self.files = files or self.root
        base = home / "conf" / "base"
        table = "parquet.AtomicParquet"
        base.mkdir(parents=True)
        (home / "conf" / "local").mkdir()
        given = {"data_root": data_root, "source": "synthetic"}
        (base / "globals.yml").write_text(yaml.safe_dump(given))
        (base / "parameters.yml").write_text(
            yaml.safe_dump(given | {"seed": 3, "modelling": {"fold": 0, "deep": {"a": {"b": 1}}}})
        )
        (base / "catalog.yml").write_text(
            yaml.safe_dump(
                {
                    name: {"type": f"ukb_brain.datasets.{kind}", "filepath": str(self.files / file)}
                    for name, kind, file in (
                        ("model.encoders", "folders.ModelFolderDataset", "06_models/encoders"),
                        ("model.kernels", "folders.ModelFolderDataset", "06_models/kernels"),
                        ("model_output.predictions", table, "07/predictions.parquet"),
                        ("reporting.performance_all", table, "08/performance.parquet"),
                        ("reporting.heat_maps", "images.FigureDataset", "08/heat_maps.png"),
                        ("reporting.dashboard", "parquet.AtomicText", "08/dashboard.html"),
                        ("feature.blocks", table, "04/blocks.parquet"),
                    )
                }
            )
        )
        self.manager = _create_hook_manager()
        self.manager.register(Tracking())

    def context(self):
        loader = OmegaConfigLoader(
            str(self.home / "conf"), base_env="base", default_run_env="local"
        )
        context = KedroContext(
            project_path=self.home,
            config_loader=loader,
            env=None,
            package_name="ukb_brain",
            hook_manager=self.manager,
        )
        self.manager.hook.after_context_created(context=context)
        return context

    def run(self, *nodes):
        about = {"run_params": RUN_PARAMS, "pipeline": Pipeline(nodes)}
        about["catalog"] = self.context().catalog
        hook = self.manager.hook
        hook.before_pipeline_run(**about)
        try:
            SequentialRunner().run(about["pipeline"], about["catalog"], self.manager)
        except Exception as error:
            hook.on_pipeline_error(error=error, **about)
            raise
        hook.after_pipeline_run(run_result={}, **about)

    @property
    def store(self):
        return self.root / "mlflow" / "mlflow.db"

    def runs(self):
        """All runs, read from the database as MLflow's page does, not by the code under test."""
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.store}")
        (experiment,) = [e for e in client.search_experiments() if e.name == "ukb_brain"]
        return client, client.search_runs([experiment.experiment_id])


def nodes(project):
    def models(kind, card):
        folder = ModelFolder(project.files / "06_models" / kind)
        for name in ("fold_0", "fold_1"):
            write_model(folder.path / name, Model({"w": np.full(3, SECRET)}, card))
        return folder

    encoders = partial(models, "encoders", {"status": "ok", "curves": CURVES})
    kernels = partial(models, "kernels", {"status": "ok", "fits": []})

    def figure():
        drawn = matplotlib.figure.Figure(figsize=(1, 1))
        drawn.add_subplot()
        return drawn

    people = pd.DataFrame({"eid": [SECRET], "y_pred": [0.123456789]})
    return [
        Node(encoders, None, "model.encoders", name="train_encoders"),
        Node(kernels, None, "model.kernels", name="fit_kernels"),
        Node(lambda: people, None, "model_output.predictions", name="predict"),
        Node(performance, None, "reporting.performance_all", name="score"),
        Node(figure, None, "reporting.heat_maps", name="draw"),
        Node(lambda: "<p>SYNTHETIC</p>", None, "reporting.dashboard", name="build"),
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    project.run(*nodes(project))
    return project


@pytest.fixture
def only_run(finished):
    client, (run,) = finished.runs()
    return client, run


def test_a_run_says_with_which_settings_code_and_data_it_was_made(only_run):
    _, run = only_run
    assert run.info.status == "FINISHED"
    expected = {"seed": "3", "source": "synthetic", "modelling.fold": "0"}
    assert expected | {"modelling.deep.a": '{"b": 1}'} == run.data.params
    assert run.data.tags["data"] == "SYNTHETIC"
    assert run.data.tags["environment"] == "base"
    # The temporary project is not under version control.
    assert "git_commit" not in run.data.tags


def test_curves_of_models_are_there_by_epoch(only_run):
    client, run = only_run
    for name in ("fold_0", "fold_1"):
        for part, points in (("train", {1: 1.0, 2: 0.5}), ("validation", {1: 1.25, 3: 0.75})):
            history = client.get_metric_history(run.info.run_id, f"curves/encoders/{name}/{part}")
            assert {m.step: m.value for m in history} == points
    assert run.data.metrics["models/encoders/ok"] == 2
    assert run.data.metrics["models/encoders/failed"] == 0


def test_scores_are_mean_skill_of_cells_with_enough_people(only_run):
    _, run = only_run
    skill = {k: v for k, v in run.data.metrics.items() if k.startswith("skill/")}
    assert skill == pytest.approx(
        {
            "skill/linear/disease": (0.5 + 0.7) / 2,
            "skill/linear/serology": 0.25,
            "skill/linear/all": (0.5 + 0.7 + 0.25) / 3,
            "skill/amortised/disease": 0.8,
            "skill/amortised/all": 0.8,
        }
    )


def test_a_higher_limit_of_small_counts_holds_here_too():
    found = tracked.scores(performance(), {"reporting": {"suppress_below": 55}})
    assert found == pytest.approx(
        {"skill/linear/disease": 0.7, "skill/linear/serology": 0.25, "skill/linear/all": 0.475}
    )
    assert tracked.scores(performance(), {"reporting": {"suppress_below": 1}}) == tracked.scores(
        performance(), {}
    )


def test_every_node_has_its_seconds(only_run, finished):
    _, run = only_run
    seconds = {k: v for k, v in run.data.metrics.items() if k.startswith("seconds/")}
    assert set(seconds) == {f"seconds/{node.name}" for node in nodes(finished)}
    assert all(0 <= value < 60 for value in seconds.values())


def test_only_figures_and_texts_of_the_last_layer_are_files_of_the_run(only_run, finished):
    client, run = only_run
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {
        "heat_maps.png",
        "dashboard.html",
    }
    kept = finished.root / "mlflow" / "artifacts"
    files = [path for path in kept.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["dashboard.html", "heat_maps.png"]


def test_nothing_about_a_person_is_tracked(finished):
    for path in (finished.root / "mlflow").rglob("*"):
        if path.is_file():
            assert str(SECRET).encode() not in path.read_bytes()
            assert b"0.123456789" not in path.read_bytes()


def test_everything_lies_under_the_data_root(finished):
    assert {path.name for path in finished.home.iterdir()} == {"conf", "data"}
    assert not (Path.cwd() / "mlruns").exists()
    assert not (Path.cwd() / "mlflow.db").exists()


def test_a_run_without_models_or_results_opens_nothing(tmp_path):
    project = Project(tmp_path)
    project.run(Node(lambda: pd.DataFrame({"a": [1]}), None, "feature.blocks", name="make"))
    assert not project.store.parent.exists()


def test_without_mlflow_a_run_works_and_says_so_in_one_line(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    project = Project(tmp_path)
    with caplog.at_level(logging.INFO, logger="ukb_brain"):
        project.run(*nodes(project))
    (record,) = [r for r in caplog.records if r.name == "ukb_brain.tracking"]
    assert "MLflow is not installed" in record.getMessage()
    assert (project.root / "08" / "dashboard.html").exists()
    assert not project.store.parent.exists()


def fail():
    raise ValueError("out of luck")


def test_a_run_that_fails_is_marked_and_its_error_is_its_own(tmp_path):
    project = Project(tmp_path)
    good = nodes(project)[0]
    with pytest.raises(ValueError, match="out of luck"):
        project.run(good, Node(fail, None, "model.kernels", name="fail"))
    _, (run,) = project.runs()
    assert run.info.status == "FAILED"
    assert "seconds/fail" not in run.data.metrics


@pytest.mark.parametrize("broken", ["not a database", "not a folder"])
def test_a_broken_store_is_one_warning_and_the_run_goes_on(tmp_path, caplog, broken):
    project = Project(tmp_path)
    if broken == "not a database":
        project.store.parent.mkdir(parents=True)
        project.store.write_text("something else " * 100)
    else:
        project.root.mkdir()
        project.store.parent.write_text("a file")
    with caplog.at_level(logging.WARNING):
        project.run(*nodes(project))
    (record,) = [r for r in caplog.records if r.name == "ukb_brain.tracking"]
    assert "\n" not in record.getMessage()
    assert record.getMessage().startswith("MLflow does not track this run")
    assert (project.root / "08" / "dashboard.html").exists()


def test_a_store_that_breaks_on_the_way_is_one_warning_and_leaves_no_run_open(tmp_path, caplog):
    import mlflow

    project = Project(tmp_path)

    def break_it():
        project.store.write_text("something else " * 100)
        return "<p></p>"

    with caplog.at_level(logging.WARNING, logger="ukb_brain"):
        project.run(
            nodes(project)[0], Node(break_it, None, "reporting.dashboard"), *nodes(project)[1:5]
        )
    assert len([r for r in caplog.records if r.name == "ukb_brain.tracking"]) == 1
    assert mlflow.active_run() is None


RUN_BESIDE_ANOTHER = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_tracking import Project, nodes
home = Path(sys.argv[1])
project = Project(home, str(home.parent / "shared"), files=home)
project.run(*nodes(project))
"""


def test_two_runs_at_once_are_both_tracked(tmp_path):
    def run(name):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", RUN_BESIDE_ANOTHER, str(tmp_path / name)]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(run, ["one", "other"]))
    assert [end.returncode for end in ends] == [0, 0], ends[0].stderr + ends[1].stderr
    _, runs = Project(tmp_path / "reader", str(tmp_path / "shared")).runs()
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"], [e.stdout for e in ends]
    assert all(run.data.metrics["skill/linear/serology"] == 0.25 for run in runs)


def test_a_locked_store_is_found_before_mlflow_tries_for_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr("ukb_brain.tracking.BUSY_SECONDS", 0.1)
    store = tmp_path / "mlflow.db"
    with opening(store):
        pass
    with sqlite3.connect(store) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"), opening(store):
            pass


def test_stores_are_opened_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("ukb_brain.tracking.OPENING_SECONDS", 0.1)
    store = tmp_path / "mlflow.db"
    with opening(store):
        # While it is open, MLflow must be able to write.
        with sqlite3.connect(store) as other:
            other.execute("CREATE TABLE made (a)")
        with pytest.raises(sqlite3.OperationalError, match="locked"), opening(store):
            pass
    with opening(store):
        pass


@pytest.mark.parametrize(("root", "absolute"), [("data", False), ("elsewhere", True)])
def test_the_store_does_not_depend_on_the_working_directory(tmp_path, monkeypatch, root, absolute):
    monkeypatch.chdir("/")
    given = str(tmp_path / root) if absolute else root
    assert database(Project(tmp_path, given).context()) == tmp_path / root / "mlflow" / "mlflow.db"


def test_mlflow_does_not_report_its_use():
    Tracking()
    code = "import mlflow.telemetry as t; assert t.get_telemetry_client() is None"
    # Of a machine that is not recognised as one that only tests.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CI", "PYTEST", "GITHUB"))}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_short_parameters_of_a_grid():
    path = PROJECT / "conf" / "base" / "parameters_grid.yml"
    grid = Grid.model_validate(yaml.safe_load(path.read_text())["grid"])
    jobs = {"workers": 2, "jobs": {"account": "somebody"}}
    long = {"modelling": {"names": ["x" * 10] * 100}, "unknown": {"a": 1}, "compute": jobs}
    found = tracked.parameters({"grid": grid} | long)
    assert found["grid.targets"] == "25"
    assert found["grid.cells"] == "700"
    assert set(found) == {
        *("grid.targets", "grid.cells", "grid.domains", "grid.imaging"),
        *("modelling.names", "compute.workers"),
    }
    assert len(found["modelling.names"]) == tracked.LONGEST_VALUE


def test_there_are_no_more_curves_than_a_page_can_draw():
    cards = {f"cell {k:03d}": {"curves": CURVES} for k in range(700)}
    found = tracked.curves("dedicated", cards | {"a": {"curves": {}}, "b": {"curves": None}})
    assert len(found) == 2 * tracked.MOST_CURVES
    assert "curves/dedicated/cell 000/train" in found


def test_names_that_mlflow_refuses_are_changed():
    (name,) = tracked.curves("dedicated", {"age=T1+FLAIR": {"curves": {"train": [1.0]}}})
    assert name == "curves/dedicated/age_T1_FLAIR/train"


def test_failed_models_are_counted():
    cards = {"a": {"status": "ok"}, "b": {"status": "failed"}, "c": {}}
    assert tracked.counts_of_models("x", cards) == {"models/x/ok": 2, "models/x/failed": 1}


def test_the_commit_is_a_tag():
    found = tracked.tags("ukb", "ukb", PROJECT)
    assert found["data"] == "ukb"
    assert len(found["git_commit"]) == 40
    assert found["git_uncommitted_changes"] in ("yes", "no")


@pytest.fixture
def page(monkeypatch):
    asked = []
    monkeypatch.setattr("os.execve", lambda *given: asked.append(given))

    def shown(*arguments):
        done = CliRunner().invoke(tracking_page.page, arguments)
        assert done.exit_code == 0, done.output
        (given,) = asked
        return done.output, given

    return shown


def test_the_page_is_on_this_machine_only_and_works_before_any_run(page, tmp_path):
    said, (_, command, env) = page("--data-root", str(tmp_path), "--port", "5077")
    assert "No run is tracked" in said
    assert "http://127.0.0.1:5077" in said
    options = dict(zip(command[4::2], command[5::2], strict=False))
    assert options["--backend-store-uri"] == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_page_says_nothing_of_missing_runs_where_there_are_some(page, tmp_path):
    with opening(tmp_path / "mlflow" / "mlflow.db"):
        pass
    said, _ = page("--data-root", str(tmp_path))
    assert "No run is tracked" not in said
