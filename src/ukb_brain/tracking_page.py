"""MLflow's page of the runs under one data root, on this machine only: ``make mlflow``."""

import os
import sys
from pathlib import Path

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from ukb_brain.tracking import address_of, artifacts_of, database, keep_mlflow_quiet

LOOPBACK = "127.0.0.1"
# MLflow's agents and evaluations run as jobs beside the page; there are none of them here.
WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def command(path: Path, port: int) -> list[str]:
    """Write the command, with this Python, that serves the page of a database."""
    return [
        *(sys.executable, "-m", "mlflow", "ui"),
        *("--backend-store-uri", address_of(path)),
        *("--default-artifact-root", artifacts_of(path)),
        *("--no-serve-artifacts", "--host", LOOPBACK, "--port", str(port), "--workers", "1"),
    ]


@click.command("mlflow")
@click.option("--env", default=None, help="Kedro's environment, such as ukb.")
@click.option("--data-root", default=None, help="Another data root than the environment's.")
@click.option("--port", default=5000, show_default=True)
def page(env: str | None, data_root: str | None, port: int) -> None:
    """Show the tracked runs in a browser, on this machine only."""
    project = find_kedro_project(Path.cwd())
    if project is None:
        raise click.ClickException("This is not a folder of the project: change to it first.")
    bootstrap_project(project)
    given = {"data_root": data_root} if data_root else {}
    session = KedroSession.create(project, env=env, runtime_params=given)
    path = database(session.load_context())
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        click.echo(f"No run is tracked in {path.parent} yet: `kedro run` tracks the first one.")
    click.echo(f"MLflow's page: http://{LOOPBACK}:{port} (Ctrl-C ends it)")
    keep_mlflow_quiet()
    arguments = command(path, port)
    # In place of this process, so that Ctrl-C is for MLflow alone.
    os.execve(arguments[0], arguments, {**os.environ, **WITHOUT_JOBS})  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    page()
