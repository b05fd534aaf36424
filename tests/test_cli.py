import errno

import click
import pytest
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation.exceptions import CheckFailure, DataValidationError, ParameterValidationError
from kedro.validation.model_factory import instantiate_model
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ukb_brain import cli
from ukb_brain.datasets.parquet import AtomicParquet
from ukb_brain.errors import InputError
from ukb_brain.tables.splits import Splitting


def chained(*errors):
    """Raise errors one from another, as Kedro does, and give the last."""
    cause = None
    for error in errors:
        error.__cause__ = cause
        cause = error
    return cause


def parameter_error(**parameters):
    """Kedro's own report on parameters that do not fit their models."""
    lines = []
    for name, raw in parameters.items():
        try:
            instantiate_model(name, raw, Splitting)
        except Exception as error:
            lines.append(f"- Parameter '{name}': {error}")
    return ParameterValidationError("\n".join(["Parameter validation failed:", *lines]))


def test_an_input_error_is_found_under_kedros_wrapping():
    error = chained(InputError("No table\n at x."), DatasetError("Failed while loading data"))
    assert cli.one_line(error) == "No table at x."


def test_an_input_error_is_found_in_the_context_of_another():
    error = ValueError("later")
    error.__context__ = InputError("first")
    assert cli.one_line(error) == "first"


def test_the_users_mistake_comes_before_what_it_led_to():
    error = chained(InputError("mend this"), OSError(errno.ENOSPC, "No space left"))
    assert cli.one_line(error) == "mend this"


def test_a_full_disk():
    message = cli.one_line(chained(OSError(errno.ENOSPC, "No space left"), DatasetError("x")))
    assert message.startswith("The disk is full")


@pytest.mark.bad_input(
    given="a store or a table under the data root that belongs to somebody else",
    says="There is no permission for",
)
@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_may_not_be_read_or_written_is_named_without_an_eid(says, code):
    refused = OSError(code, "Permission denied", "/data/9000001_20252_2_0.zip")
    message = cli.one_line(chained(refused, DatasetError("x")))
    assert message.startswith(f"{says} /data/<eid>_20252_2_0.zip (Permission denied): whoever")
    assert "a file" in cli.one_line(OSError(code, "Permission denied"))


def test_a_configuration_that_does_not_resolve():
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(OmegaConf.create({"a": "${presets.huge}"}), resolve=True)
    message = cli.one_line(caught.value)
    assert "presets.huge" in message
    assert "preset is one of demo, study64, study128" in message


def test_an_environment_that_is_not_there():
    assert "--env" in cli.one_line(MissingConfigException("no conf/nowhere"))


def test_the_programs_own_error_keeps_its_traceback():
    assert cli.one_line(chained(KeyError("x"), ValueError("y"))) is None
    assert cli.one_line(DatasetError("something else")) is None


def test_a_chain_that_bites_its_tail_ends():
    error = ValueError("x")
    error.__cause__ = error
    assert cli.one_line(error) is None


def test_a_parameter_names_its_key_and_value():
    message = cli.one_line(parameter_error(splitting={"train": "half"}))
    assert "\n" not in message
    assert message.startswith("Parameter splitting.train: ")
    assert "got 'half'" in message
    assert "pydantic" not in message


def test_an_unknown_parameter_is_named():
    message = cli.one_line(parameter_error(splitting={"trian": 0.8}))
    assert "Parameter splitting.trian: there is no such setting" in message


def test_a_rule_between_parameters_is_told_in_its_own_words():
    message = cli.one_line(parameter_error(splitting={"train": 0.5}))
    assert message.startswith("Parameter splitting: splitting: train, validation and test must add")
    assert "input_value" not in message


def test_many_mistakes_are_counted():
    bad = {"train": "x", "validation": "y", "test": "z", "min_per_part": 0}
    message = cli.one_line(parameter_error(splitting=bad, other={"train": []}))
    assert "and 2 more" in message


def test_a_parameter_report_of_unknown_form_is_kept_whole():
    error = ParameterValidationError("Parameter validation failed:\n- Parameter 'a': odd\n thing")
    assert cli.one_line(error) == "Parameter a: odd thing. Correct conf/ or --params."


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("grid.only=age", {"grid": {"only": "age"}}),
        ("grid.only=age+sex,preset=demo", {"grid": {"only": "age+sex"}, "preset": "demo"}),
        ("grid.only=[age, sex], seed=3", {"grid": {"only": ["age", "sex"]}, "seed": 3}),
        ("grid.targets.hb=null", {"grid": {"targets": {"hb": None}}}),
        ("a=[[1,2],[3]],b.c=x=y", {"a": [[1, 2], [3]], "b": {"c": "x=y"}}),
        ("", {}),
    ],
)
def test_lists_may_be_given_on_the_command_line(given, read):
    (option,) = (option for option in cli.run.params if option.name == "params")
    assert option.callback(click.Context(cli.run), option, given) == read


@pytest.mark.parametrize("given", ["age", "seed=1,=2"])
def test_a_parameter_without_key_or_value_is_refused(given):
    with pytest.raises(click.UsageError, match="key=value"):
        cli.split_params(click.Context(cli.run), cli.run.params[0], given)


def test_a_broken_table_shows_no_values():
    failure = CheckFailure("m", check="unique", column="eid", failure_examples=[9000001])
    error = DataValidationError("x", dataset_name="primary.splits", mode="load", failures=[failure])
    message = cli.one_line(chained(ValueError("9000001"), error))
    assert "primary.splits" in message
    assert "eid: unique" in message
    assert "9000001" not in message


@pytest.mark.parametrize(
    "absent",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "data/20252/9000001_20252_2_0.zip"),
        FileNotFoundError("data/20252/9000001_20252_2_0.zip"),
    ],
)
def test_an_input_that_is_not_there_yet_is_named_without_an_eid(absent):
    message = cli.one_line(chained(absent, DatasetError("Failed while loading")))
    assert "<eid>_20252_2_0.zip" in message
    assert "9000001" not in message


def test_a_file_missing_inside_the_program_is_not_the_users_mistake():
    assert cli.one_line(FileNotFoundError("template.html")) is None


def test_an_unknown_pipeline_is_named_with_those_that_there_are():
    with pytest.raises(click.ClickException, match=r"'nix'.*data_engineering.*reporting"):
        cli.run.callback(pipeline="nix", pipelines=[])


def test_kedros_command_is_called_otherwise():
    wrapped = cli._with_one_line(lambda **given: given)
    given = {"pipeline": None, "pipelines": ["reporting", "__default__"]}
    assert wrapped(**given) == given


def test_only_what_a_user_can_mend_is_shortened():
    def breaks(**given):
        raise KeyError("own")

    with pytest.raises(KeyError):
        cli._with_one_line(breaks)()


def test_a_run_that_is_stopped_says_how_to_go_on():
    def stopped(**given):
        raise KeyboardInterrupt

    with pytest.raises(click.ClickException, match="run the same command again") as caught:
        cli._with_one_line(stopped)()
    assert caught.value.exit_code == 130


@pytest.mark.parametrize(
    ("mode", "says"), [("save", "report this line"), ("load", "delete its file")]
)
def test_a_broken_table_has_the_remedy_that_helps(mode, says):
    failure = CheckFailure("m", check="isin", column="sex", failure_examples=[2])
    error = DataValidationError("x", dataset_name="p.t", mode=mode, failures=[failure])
    assert says in cli.one_line(error)


def test_a_damaged_table_of_a_data_root_is_one_line(tmp_path):
    path = tmp_path / "quality.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetError) as caught:
        AtomicParquet(filepath=str(path)).load()
    assert cli.one_line(caught.value).startswith(f"{path} is damaged")
