"""Kedro's hooks that track a run with MLflow: kedro-mlflow opens it, late, and never ends it early.

kedro-mlflow's own hook would open the database whenever Kedro reads its configuration, in every
environment, log every parameter of every node, and stop the run where the database is out of order.
So settings.py keeps it from Kedro, and this one calls it when a node that makes models or results
begins. Only the main process writes; SQLite makes two runs at once wait for each other.
"""

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from ukb_brain import tracked

logger = logging.getLogger(__name__)

WORTH_TRACKING = ("model.", "model_output.", "reporting.")
SCORES = "reporting.performance_all"
# Tables, arrays, models and predictions are never given to MLflow as files.
EXPORTABLE = ("reporting.",)
EXPORTABLE_ENDINGS = {".png", ".html", ".md"}
SQLITE = "sqlite:///"
OPENING_SECONDS, BUSY_SECONDS = 60, 20


def keep_mlflow_quiet() -> None:
    """Forbid MLflow to report its use, and leave its logging to conf/logging.yml.

    It reads both when it is imported, which kedro-mlflow does for every command of Kedro. What
    it then warns of, a class of kedro-mlflow's, no filter of warnings holds back: it sets its own.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"
    logging.getLogger("py.warnings").addFilter(_is_not_about_type_hints)


def _is_not_about_type_hints(record: logging.LogRecord) -> bool:
    return "Add type hints to the `predict` method" not in record.getMessage()


def database(context: KedroContext) -> Path | None:
    """Find MLflow's database, and make its address independent of the working directory.

    Parameters
    ----------
    context : KedroContext
        Its configuration names the database; a relative one is below the project's folder.

    Returns
    -------
    Path or None
        None where a user's own configuration names something other than SQLite.
    """
    loader = context.config_loader
    settings = loader["mlflow"]
    address = str(settings["server"]["mlflow_tracking_uri"])
    if not address.startswith(SQLITE):
        return None
    path = Path(context.project_path) / address.removeprefix(SQLITE)
    server = {**settings["server"], "mlflow_tracking_uri": f"{SQLITE}{path}"}
    loader["mlflow"] = {**settings, "server": server}
    return path


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Try a database before MLflow does, which would try for minutes, and open it one at a time.

    Where two processes make MLflow's tables at once, one of them fails in a migration.

    Parameters
    ----------
    path : Path
        Made where it is not there.

    Yields
    ------
    None
        While no other process is in here.

    Raises
    ------
    sqlite3.Error, OSError
        If it cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lock that ends with its process, on every system.
    with _claimed(path.with_name("opening.db"), OPENING_SECONDS):
        with _claimed(path, BUSY_SECONDS):
            pass
        yield


@contextmanager
def _claimed(path: Path, seconds: float) -> Iterator[None]:
    with closing(sqlite3.connect(path, timeout=seconds)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


class Tracking:
    """Tell MLflow of runs that make models or results; whatever fails here is one warning."""

    def __init__(self) -> None:
        keep_mlflow_quiet()
        self._context: KedroContext | None = None
        self._begin()

    def _begin(self) -> None:
        self._run: dict[str, Any] = {}
        self._plugin: Any = None
        self._broken = False
        self._seconds: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the context; nothing is opened yet.

        Parameters
        ----------
        context : KedroContext
            Of the session.
        """
        self._context = context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Begin anew.

        Parameters
        ----------
        run_params : dict
            Kedro's record of the run.
        pipeline : Pipeline
            What will run.
        catalog : CatalogProtocol
            Of the run.
        """
        self._begin()
        self._run = {"run_params": run_params, "pipeline": pipeline, "catalog": catalog}

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Open MLflow's run at the first node that makes a model or a result.

        Parameters
        ----------
        node : Node
            About to run.
        """
        worth = any(name.startswith(WORTH_TRACKING) for name in node.outputs)
        if worth and self._plugin is None and self._context is not None:
            self._try(self._open, self._context)
        self._seconds[node.name] = -time.perf_counter()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Take the time.

        Parameters
        ----------
        node : Node
            That has run.
        """
        self._seconds[node.name] += time.perf_counter()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Track curves, scores, figures and texts as soon as they are there.

        Parameters
        ----------
        dataset_name : str
            In the catalog.
        data : object
            What was saved.
        """
        if self._plugin is None:
            return
        if isinstance(data, tracked.Cards):
            self._try(self._log_cards, dataset_name.rpartition(".")[2], data)
        elif dataset_name == SCORES and isinstance(data, pd.DataFrame):
            self._try(self._log_scores, data, self._context)
        elif dataset_name.startswith(EXPORTABLE):
            self._try(self._log_file, dataset_name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close MLflow's run."""
        self._close("after_pipeline_run")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close MLflow's run as failed.

        Parameters
        ----------
        error : Exception
            That ended the pipeline.
        """
        self._close("on_pipeline_error", error=error)

    def _try(self, function: Callable[..., None], *arguments: Any, **named: Any) -> None:
        if self._broken:
            return
        try:
            function(*arguments, **named)
        # A run of days must not end for want of its record, whatever the reason.
        except Exception as error:
            self._broken = True
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            logger.warning(
                "MLflow does not track this run further, which goes on: %s. "
                "If that stays so, remove the folder mlflow of the data root.",
                reason.rstrip("."),
            )

    def _open(self, context: KedroContext) -> None:
        import mlflow
        from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

        # It sets its own level, on import.
        logging.getLogger("kedro_mlflow").setLevel(logging.WARNING)
        self._plugin = MlflowHook()
        path = database(context)
        with opening(path) if path else nullcontext():
            self._plugin.after_context_created(context)
        self._plugin.before_pipeline_run(**self._run)
        atexit.register(self._left_open)
        params = context.params
        mlflow.set_tags(tracked.tags(params["source"], context.env, context.project_path))
        mlflow.log_params(tracked.parameters(params))

    def _log_cards(self, kind: str, folder: tracked.Cards) -> None:
        import mlflow
        from mlflow.entities import Metric

        cards, now = folder.cards(), int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, epoch)
            for name, curve in tracked.curves(kind, cards).items()
            for epoch, value in curve
        ]
        mlflow.MlflowClient().log_batch(self._plugin.run_id, metrics=metrics)
        mlflow.log_metrics(tracked.counts_of_models(kind, cards))

    def _log_scores(self, performance: pd.DataFrame, context: KedroContext) -> None:
        import mlflow

        mlflow.log_metrics(tracked.scores(performance, context.params))

    def _log_file(self, name: str) -> None:
        import mlflow

        # Kedro's datasets keep their path under this name, and offer no other way to it.
        path = getattr(self._run["catalog"].get(name), "_filepath", None)
        if path is not None and Path(path).suffix in EXPORTABLE_ENDINGS:
            mlflow.log_artifact(str(path))

    def _close(self, method: str, **named: Any) -> None:
        if self._plugin is None:
            return
        self._try(self._log_seconds)
        self._try(getattr(self._plugin, method), **self._run, **named)
        self._left_open()

    def _log_seconds(self) -> None:
        import mlflow

        # Of a node that failed only the start is known.
        taken = {f"seconds/{name}": value for name, value in self._seconds.items() if value >= 0}
        mlflow.log_metrics(taken)

    def _left_open(self) -> None:
        """Let no run stay open in this process: one interrupted, or no longer tracked."""
        import mlflow

        atexit.unregister(self._left_open)
        # MLflow forgets a run before it says so to the database, which may be what is broken.
        with suppress(Exception):
            while mlflow.active_run():
                mlflow.end_run("KILLED")
