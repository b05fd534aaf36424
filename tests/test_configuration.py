from pathlib import Path

import pytest
import yaml
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from ukb_brain.grid import Grid
from ukb_brain.pipeline_registry import GENERATORS

PROJECT = Path(__file__).parents[1]
CATALOGS = sorted((PROJECT / "conf" / "base").glob("catalog_*.yml"))
ENVIRONMENTS = (None, "test", "ukb", "rap")
PRESETS = ("demo", "study64", "study128", "test")


@pytest.fixture(scope="module", autouse=True)
def project():
    bootstrap_project(PROJECT)


def context_of(env=None, **given):
    with KedroSession.create(PROJECT, env=env, runtime_params=given) as session:
        return session.load_context()


def path_of(dataset):
    """Where a dataset lies; whatever is on disk has one of these."""
    return next(
        str(value)
        for name in ("_filepath", "_path")
        if (value := getattr(dataset, name, None)) is not None
    )


def named():
    """Entries of the catalog that lie on disk, patterns left out: they have a layer's name."""
    entries = {}
    for path in CATALOGS:
        # An interpolation is text to YAML, so plain reading is enough for the names.
        entries |= dict.fromkeys(yaml.safe_load(path.read_text()), path.name)
    return {
        name: file
        for name, file in entries.items()
        if name[0] != "_" and "{" not in name and "." in name
    }


def used(kind="datasets"):
    """Names that any pipeline reads or writes, with parameters apart."""
    names = {name for pipeline in pipelines.values() for name in pipeline.datasets()}
    is_parameter = {n for n in names if n == "parameters" or n.startswith("params:")}
    return is_parameter if kind == "parameters" else names - is_parameter


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_dataset_resolves_in_every_environment(env):
    context = context_of(env)
    settings = context.config_loader["globals"]
    root = Path(settings["data_root"])
    # Raw files may lie elsewhere, read-only, as on the Platform.
    raw = Path(settings.get("raw_folder", root / "01_raw"))
    for name in {*named(), *(n for n in used() if "." in n)}:
        dataset = context.catalog.get(name)
        assert dataset is not None, f"{name} of a pipeline is not in the catalog"
        place = raw if name.startswith("raw.") else root
        assert Path(path_of(dataset)).is_relative_to(PROJECT / place), name


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_one_parameter_moves_all_data(env, tmp_path):
    catalog = context_of(env, data_root=str(tmp_path)).catalog
    for name in {*named(), *(n for n in used() if "." in n)}:
        if not (env == "rap" and name.startswith("raw.")):
            assert Path(path_of(catalog.get(name))).is_relative_to(tmp_path), name


def test_no_environment_shares_its_data_with_another():
    where = [str(context_of(env).config_loader["globals"]["data_root"]) for env in ENVIRONMENTS]
    assert len(set(where)) == len(ENVIRONMENTS)


@pytest.mark.parametrize(
    ("env", "source"),
    [(None, "synthetic"), ("test", "synthetic"), ("ukb", "ukb"), ("rap", "ukb")],
)
def test_an_environment_says_whether_its_data_are_synthetic(env, source):
    assert context_of(env).params["source"] == source


@pytest.mark.parametrize("env", [None, "ukb"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_gives_parameters_that_fit_their_models(env, preset):
    params = context_of(env, preset=preset).params
    assert params["preset"] == preset
    assert isinstance(params["grid"], Grid)


def test_presets_differ_in_size():
    assert len({repr(context_of(preset=preset).params) for preset in PRESETS}) == len(PRESETS)


def test_every_parameter_that_a_pipeline_asks_for_is_there():
    params = context_of().params
    for name in used("parameters") - {"parameters"}:
        keys = name.removeprefix("params:").split(".")
        assert keys[0] in params, name


def test_every_entry_of_the_catalog_is_used():
    assert set(named()) <= used()


def test_the_default_run_writes_no_raw_data():
    outputs = pipelines["__default__"].all_outputs()
    assert not {name for name in outputs if name.startswith(("raw.", "synthetic."))}
    assert set(GENERATORS) <= set(pipelines)


def test_the_logging_of_the_project_is_found():
    assert yaml.safe_load((PROJECT / "conf" / "logging.yml").read_text())["loggers"]["ukb_brain"]


def test_kedro_viz_shows_a_box_a_pipeline_and_the_parts_of_reporting():
    usual = pipelines["__default__"]
    groups = usual.group_nodes_by("namespace")
    assert {group.type for group in groups} == {"namespace"}
    assert len(groups) == 5
    parts = {node.namespace for node in usual.nodes if node.namespace.startswith("reporting.")}
    assert parts == {
        f"reporting.{name}"
        for name in ("scores", "certainty", "inputs", "people", "limits", "report")
    }
