"""``kedro run`` as Kedro has it, except that a user's mistake ends in one line, not a traceback."""

import copy
import errno
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from kedro.framework.cli.project import project_group
from kedro.framework.cli.project import run as kedro_run
from omegaconf.errors import OmegaConfBaseException

from ukb_brain.errors import InputError

LONGEST_CHAIN = 20


def one_line(error: BaseException) -> str | None:
    """Find what a user can act on in an error or in what caused it.

    Parameters
    ----------
    error : BaseException
        As raised by ``kedro run``.

    Returns
    -------
    str or None
        One line, or None where the error is the program's own and its traceback is needed.
    """
    link: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if link is None:
            return None
        if isinstance(link, InputError):
            return " ".join(str(link).split())
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return (
                "The disk is full: nothing half-written was kept. "
                "Free some space and run the same command again; it goes on where it stopped."
            )
        if isinstance(link, OmegaConfBaseException):
            return (
                f"The configuration cannot be resolved: {str(link).splitlines()[0]}. "
                "Check --params (preset is one of demo, study64, study128) and the files in conf/."
            )
        link = link.__cause__ or link.__context__
    return None


def _with_one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            message = one_line(error)
            if message is None:
                raise
            raise click.ClickException(message) from error

    return wrapped


run = copy.copy(kedro_run)
run.callback = _with_one_line(kedro_run.callback)  # type: ignore[arg-type]


@click.group(name="ukb_brain", cls=type(project_group))
def cli() -> None:
    """Commands of this project."""


cli.add_command(run)
