"""conf/local is merged last; names that nothing reads are found before anything runs."""

import shutil
from pathlib import Path

import pytest
import yaml

from ukb_brain.configuration import LocalLastLoader, local_files, problems_of_names
from ukb_brain.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture
def conf(tmp_path):
    shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / "conf" / "local").mkdir(exist_ok=True)
    return tmp_path / "conf"


def write(conf, name, text):
    (conf / "local" / name).write_text(yaml.safe_dump(text))


def loaded(conf, env, key="parameters", **given):
    loader = LocalLastLoader(str(conf), env=env, runtime_params=given, **CONFIG_LOADER_ARGS)
    loader.config_patterns["parameters"] = ["parameters*", "parameters*/**", "**/parameters*"]
    return loader[key]


def test_a_machine_is_described_in_one_file_for_every_environment(conf):
    write(conf, "parameters.yml", {"compute": {"backend": "slurm", "jobs": {"memory": "16GB"}}})
    for env in (None, "ukb", "rap"):
        compute = loaded(conf, env)["compute"]
        assert (compute["backend"], compute["jobs"]["memory"]) == ("slurm", "16GB")
        # What the file does not name is as before.
        assert compute["retries"] == 2
    assert loaded(conf, "test")["compute"]["backend"] == "local"


def test_the_command_line_comes_after_it(conf):
    write(conf, "parameters.yml", {"compute": {"workers": 8, "retries": 5}})
    compute = loaded(conf, "ukb", compute={"workers": 3})["compute"]
    assert (compute["workers"], compute["retries"]) == (3, 5)


def test_globals_too(conf):
    write(conf, "globals.yml", {"data_root": "/scratch/me"})
    assert loaded(conf, "ukb", "globals")["data_root"] == "/scratch/me"
    assert loaded(conf, "ukb", "globals")["source"] == "ukb"
    assert loaded(conf, "test", "globals")["data_root"] == "data/test"


def test_what_is_in_force_is_named(conf):
    assert local_files(conf, "ukb") == []
    write(conf, "parameters_mine.yml", {"seed": 1})
    assert [path.name for path in local_files(conf, "ukb")] == ["parameters_mine.yml"]
    assert local_files(conf, "test") == []


@pytest.mark.parametrize("env", [None, "ukb", "rap", "test"])
def test_the_projects_own_names_are_all_known(env):
    assert problems_of_names(CONF, env, {"data_root": "x", "preset": "demo", "grid": {}}) == []


@pytest.mark.parametrize(
    ("given", "near"),
    [
        pytest.param(
            "presett",
            "'preset'",
            marks=pytest.mark.bad_input(
                given="a misspelt name in --params", says="did you mean 'preset'?"
            ),
        ),
        ("raw_foldr", "'raw_folder'"),
        ("modeling", "'modelling'"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(given, near):
    (problem,) = problems_of_names(CONF, "ukb", {given: "x"})
    assert problem.severity == "stop"
    assert repr(given) in problem.what
    assert near in problem.remedy


def test_a_name_that_is_like_none_is_told_with_all(conf):
    (problem,) = problems_of_names(CONF, None, {"zzzz": 1})
    assert "modelling" in problem.remedy


def test_an_unknown_name_in_a_file_names_the_file(conf):
    write(conf, "parameters.yml", {"compte": {"workers": 2}})
    (problem,) = problems_of_names(conf, "ukb", {})
    assert "conf/local/parameters.yml sets 'compte'" in problem.what
    assert "'compute'" in problem.remedy


@pytest.mark.parametrize(
    ("given", "remedy"),
    [({"preset": "study64"}, "globals.yml"), ({"presets": {"demo": {}}}, "modelling.encoders")],
)
@pytest.mark.parametrize("folder", ["local", "ukb"])
def test_presets_that_come_too_late_to_change_anything_are_told(conf, folder, given, remedy):
    before = loaded(conf, "ukb")["modelling"]
    (conf / folder / "parameters_mine.yml").write_text(yaml.safe_dump(given))
    assert loaded(conf, "ukb")["modelling"] == before
    (problem,) = problems_of_names(conf, "ukb", {})
    assert problem.severity == "stop"
    assert remedy in problem.remedy


def test_a_preset_among_globals_is_in_force(conf):
    write(conf, "globals.yml", {"preset": "test"})
    assert problems_of_names(conf, "ukb", {}) == []
    assert loaded(conf, "ukb")["imaging_preprocess"]["preset"]["voxel_mm"] == 8
