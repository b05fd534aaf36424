"""The project's commands, of which a user's mistake ends in one line, not a traceback."""

import copy
import errno
import importlib.resources
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.project import project_group
from kedro.framework.cli.project import run as kedro_run
from kedro.io import DatasetError
from kedro.validation.exceptions import DataValidationError, ParameterValidationError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ukb_brain.errors import InputError
from ukb_brain.get_abide import ATLASES, get_abide

LONGEST_CHAIN = 20
MOST_MISTAKES = 3
DEFAULT = "__default__"

# What pydantic writes for each mistake: perhaps a line with the key, then what is wrong.
MISTAKE = re.compile(
    r"^(?:(?P<key>\S+)\n)?  (?P<what>\S.*) "
    r"\[type=(?P<type>\w+), input_value=(?P<value>.*), input_type=\w+\]$",
    re.MULTILINE,
)
PARAMETER = re.compile(r"^- Parameter '([^']+)': ", re.MULTILINE)
# Where Kedro says what file a dataset is in.
FILEPATH = re.compile(r"filepath=(?:\w+\()?'([^']+)'")
# A participant's number in a file's name.
EID = re.compile(r"\b\d{7,}(?=_)")
# Where files from outside are looked for, and the parameter that names them.
OUTSIDE = {"published_table.csv": "published.table", "other_performance.parquet": "compare.other"}


def one_line(error: BaseException) -> str | None:
    """Find what a user can act on, in one line, in an error or in what caused it.

    None where the error is the program's own and its traceback is needed.
    """
    links = list(_chain(error))
    # What a user gave comes first, however Kedro wrapped it.
    explainers = (_of_input, _of_system, _of_configuration, _of_dataset)
    told = (explain(link) for explain in explainers for link in links)
    return next((" ".join(message.split()) for message in told if message is not None), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _of_input(error: BaseException) -> str | None:
    return str(error) if isinstance(error, InputError) else None


def _of_system(error: BaseException) -> str | None:
    # A disk, a quota, or a limit on the size of files.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            "The disk is full, or a quota is used up: nothing half-written was kept. "
            "Free some space and run the same command again; it goes on where it stopped."
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        path = EID.sub("<eid>", str(error.filename or "a file"))
        return (
            f"There is no permission for {path} ({error.strerror}): whoever runs this must be able "
            "to read the raw files, and to read and write all that lies under the data root. "
            "Change its owner or mode, or give a data root of your own (--params data_root=…)."
        )
    return None


def _of_configuration(error: BaseException) -> str | None:
    if isinstance(error, ParameterValidationError):
        return "; ".join(explain_parameters(str(error))) + ". Correct conf/ or --params."
    if isinstance(error, OmegaConfBaseException):
        return (
            f"The configuration cannot be resolved: {str(error).splitlines()[0]}. "
            "Check --params (preset is one of demo, study64, study128) and the files in conf/."
        )
    if isinstance(error, MissingConfigException):
        return f"{error}. Check --env; environments are the folders of conf/."
    return None


def _of_dataset(error: BaseException) -> str | None:
    if isinstance(error, DataValidationError):
        # Its own text quotes values of the table, and with them people's numbers.
        broken = ", ".join(
            dict.fromkeys(f"{f.column or 'table'}: {f.check or 'check'}" for f in error.failures)
        )
        if error.mode == "save":
            # Made by this very run, so that no earlier version is to blame.
            return (
                f"The table {error.dataset_name} came out as it must not ({broken}), so that what "
                "it is made from holds something unforeseen: `kedro run --pipelines check` shows "
                "what the raw files hold. If they are right, this is a defect of the program: "
                "report this line."
            )
        return (
            f"The table {error.dataset_name} on disk is not what it should be ({broken}). Another "
            "version of this project wrote it, or it was changed: delete its file and run again."
        )
    if isinstance(error, DatasetError):
        from pyarrow import ArrowInvalid

        absent = next((c for c in _chain(error) if isinstance(c, FileNotFoundError)), None)
        if absent is not None:
            # fsspec gives the path as the message, the system as the file's name.
            path = EID.sub("<eid>", str(absent.filename or absent))
            if (given := OUTSIDE.get(Path(path).name)) is not None:
                return f"There is no {path}: say which file is meant, --params {given}=FILE."
            return (
                f"There is no {path}, which this run reads. "
                "`kedro run` makes everything in order; without raw files, "
                "`kedro run --pipelines synthetic_cohort` writes the demo's."
            )
        file = FILEPATH.search(str(error))
        if file is not None and any(isinstance(c, ArrowInvalid) for c in _chain(error)):
            return (
                f"{EID.sub('<eid>', file[1])} is damaged, as by a full or failing disk: remove it "
                "and run again what makes it; `kedro run` makes everything in order."
            )
    return None


def explain_parameters(text: str) -> list[str]:
    """Shorten Kedro's report on parameters, with pydantic's in it, to one phrase a mistake.

    Each has the key, what is wrong and the value; after a few mistakes only their number.
    """
    _, *parts = PARAMETER.split(text)
    phrases: list[str] = []
    for name, report in zip(parts[::2], parts[1::2], strict=True):
        mistakes = [_phrase(name, match) for match in MISTAKE.finditer(report)]
        phrases += mistakes or [f"Parameter {name}: {' '.join(report.split())}"]
    more = len(phrases) - MOST_MISTAKES
    if more > 0:
        phrases = [*phrases[:MOST_MISTAKES], f"and {more} more"]
    return phrases or [" ".join(text.split())]


def _phrase(name: str, mistake: re.Match[str]) -> str:
    key = ".".join(part for part in (name, mistake["key"]) if part)
    what = mistake["what"].removeprefix("Value error, ").rstrip(".")
    if mistake["type"] == "extra_forbidden":
        return f"Parameter {key}: there is no such setting"
    if mistake["type"] in ("value_error", "missing"):
        return f"Parameter {key}: {what}"
    return f"Parameter {key}: {what}, got {mistake['value']}"


def pipeline_names() -> list[str]:
    """List the project's pipelines: one a folder of ``ukb_brain.pipelines``."""
    folders = importlib.resources.files("ukb_brain.pipelines").iterdir()
    return sorted(f.name for f in folders if (f / "__init__.py").is_file())


def _check_names(wanted: Iterable[str]) -> None:
    there = pipeline_names()
    for name in wanted:
        if name not in (*there, DEFAULT):
            raise InputError(
                f"There is no pipeline {name!r}: pipelines are {', '.join(there)}; "
                "without --pipelines, everything after the raw files runs."
            )


class Interrupted(click.ClickException):
    """The user stopped a run."""

    exit_code = 130  # as shells have it for SIGINT


def _with_one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            _check_names(filter(None, [kwargs.get("pipeline"), *(kwargs.get("pipelines") or ())]))
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            raise Interrupted(
                "Stopped. Nothing half-written was kept: run the same command again, and it goes "
                "on where it stopped; what is done is not done again."
            ) from None
        except Exception as error:
            message = one_line(error)
            if message is None:
                raise
            raise click.ClickException(message) from error

    return wrapped


@_with_one_line
def _run_keeping_workers(*args: Any, **kwargs: Any) -> Any:
    # Not above: it takes torch along, which other commands do without.
    from ukb_brain.cluster import workers_kept

    with workers_kept():
        # click types a command's callback as optional; the command `run` has one.
        return cast(Callable[..., Any], kedro_run.callback)(*args, **kwargs)


def split_params(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Read ``--params`` as Kedro does, except that a comma within brackets is part of a list.

    Such as ``grid.only=[age,sex],preset=demo``; a dict is taken as it is.
    """
    if isinstance(value, dict):
        return value
    depths = accumulate((c == "[") - (c == "]") for c in value)
    apart = ("\n" if c == "," and depth == 0 else c for c, depth in zip(value, depths, strict=True))
    items = [item.strip() for item in "".join(apart).split("\n") if item.strip()]
    for item in items:
        if not item.partition("=")[0].strip() or "=" not in item:
            context.fail(f"--params takes key=value, several separated by commas; got {item!r}")
    pairs = (item.partition("=") for item in items)
    return OmegaConf.to_container(OmegaConf.from_dotlist([f"{k.strip()}={v}" for k, _, v in pairs]))


run = copy.copy(kedro_run)
run.params = [copy.copy(option) for option in kedro_run.params]
next(option for option in run.params if option.name == "params").callback = split_params
run.callback = _run_keeping_workers


@click.group(name="ukb_brain", cls=type(project_group))
def cli() -> None:
    """Commands of this project."""


cli.add_command(run)


@cli.command("get-abide")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data/abide/01_raw"),
    show_default=True,
    help="Where to put the files.",
)
@click.option(
    "--atlas",
    "atlases",
    type=click.Choice(ATLASES),
    multiple=True,
    default=("cc200", "ho"),
    show_default=True,
    help="Whose time series; several times for several.",
)
@_with_one_line
def get_abide_command(folder: Path, atlases: tuple[str, ...]) -> None:
    """Fetch ABIDE's public time series of 1,035 people, for `kedro run --env abide`."""
    people = get_abide(folder, atlases)
    click.echo(f"{people:,} people in {folder}. Next: kedro run --env abide")
