"""Kedro's hooks that track runs which make models or results with MLflow, where it is installed.

MLflow is opened late, when a node that makes a model or a result begins. Only the main process
writes; SQLite makes two runs at once wait for each other.
"""

import atexit
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node

from ukb_brain import tracked
from ukb_brain.configuration import globals_of

logger = logging.getLogger(__name__)

WORTH_TRACKING = ("model.", "model_output.", "reporting.")
SCORES = "reporting.performance_all"
# Tables, arrays, models and predictions are never given to MLflow as files.
EXPORTABLE = ("reporting.",)
EXPORTABLE_ENDINGS = {".png", ".html", ".md"}
EXPERIMENT = "ukb_brain"
OPENING_SECONDS, BUSY_SECONDS = 60, 20


def keep_mlflow_quiet() -> None:
    """Forbid MLflow, which reads this on import, to report its use and to set up logging."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"


def database(context: KedroContext) -> Path:
    """Name MLflow's database: below the data root, and a relative one below the project."""
    root = Path(globals_of(context.config_loader)["data_root"])
    return Path(context.project_path) / root / "mlflow" / "mlflow.db"


def address_of(path: Path) -> str:
    """Write a database's path as MLflow takes it."""
    return f"sqlite:///{path}"


def artifacts_of(path: Path) -> str:
    """Write where the files of a database's runs lie as MLflow takes it."""
    return (path.parent / "artifacts").as_uri()


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Try a database before MLflow does, which would try for minutes, and open it one at a time.

    Where two processes make MLflow's tables at once, one of them fails in a migration. The file is
    made where it is not there.

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
        self._begin({}, None)

    def _begin(self, run_params: dict[str, Any], catalog: CatalogProtocol | None) -> None:
        self._run_params, self._catalog = run_params, catalog
        self._client: Any = None
        self._run_id = ""
        self._broken = False
        self._seconds: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the context; nothing is opened yet."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: CatalogProtocol) -> None:
        """Begin anew."""
        self._begin(run_params, catalog)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Open a run of MLflow at the first node that makes a model or a result."""
        worth = any(name.startswith(WORTH_TRACKING) for name in node.outputs)
        if worth and self._client is None and self._context is not None:
            self._try(self._open, self._context)
        self._seconds[node.name] = -time.perf_counter()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Take the time."""
        self._seconds[node.name] += time.perf_counter()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Track curves, scores, figures and texts as soon as they are there."""
        if not self._run_id:
            return
        # Takes torch along, which is there by now.
        from ukb_brain.ledger.artifact import ModelFolder

        if isinstance(data, ModelFolder):
            kind = dataset_name.rpartition(".")[2]
            self._try(self._log, lambda: tracked.of_models(kind, data.cards()))
        elif dataset_name == SCORES and self._context is not None:
            params = self._context.params
            self._try(self._log, lambda: tracked.scores(data, params))
        elif dataset_name.startswith(EXPORTABLE):
            self._try(self._log_file, dataset_name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close the run."""
        self._close("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close the run as failed."""
        self._close("FAILED")

    def _try(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._broken:
            return
        try:
            function(*arguments)
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
        if find_spec("mlflow") is None:
            self._broken = True
            logger.info("This run is not tracked: MLflow is not installed.")
            return
        from mlflow import MlflowClient
        from mlflow.entities import Param
        from mlflow.tracking.context.registry import resolve_tags

        params, path = context.params, database(context)
        with opening(path):
            self._client = client = MlflowClient(address_of(path))
            found = client.get_experiment_by_name(EXPERIMENT)
            experiment = (
                found.experiment_id
                if found
                else client.create_experiment(EXPERIMENT, artifacts_of(path))
            )
        tags = {name: str(value) for name, value in self._run_params.items() if value}
        tags |= tracked.tags(params["source"], context.env, context.project_path)
        name = "+".join(self._run_params.get("pipeline_names") or ["__default__"])
        run = client.create_run(experiment, run_name=name, tags=resolve_tags(tags))
        self._run_id = run.info.run_id
        # Of a run that is interrupted no hook is called.
        atexit.register(self._kill)
        settings = [Param(name, value) for name, value in tracked.parameters(params).items()]
        client.log_batch(self._run_id, params=settings)

    def _log(self, found: Callable[[], tracked.Values]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, step)
            for name, points in found().items()
            for step, value in (points if isinstance(points, list) else [(0, points)])
        ]
        self._client.log_batch(self._run_id, metrics=metrics)

    def _log_file(self, name: str) -> None:
        # Kedro's datasets keep their path under this name, and offer no other way to it.
        path = getattr(self._catalog.get(name), "_filepath", None) if self._catalog else None
        if path is not None and Path(path).suffix in EXPORTABLE_ENDINGS:
            self._client.log_artifact(self._run_id, str(path))

    def _close(self, status: str) -> None:
        if not self._run_id:
            return
        # Of a node that failed only the start is known.
        taken = {f"seconds/{node}": s for node, s in self._seconds.items() if s >= 0}
        self._try(self._log, lambda: taken)
        self._try(self._client.set_terminated, self._run_id, status)
        if self._broken:
            self._kill()
        atexit.unregister(self._kill)

    def _kill(self) -> None:
        """Let no run stay open: one interrupted, or no longer tracked."""
        with suppress(Exception):
            self._client.set_terminated(self._run_id, "KILLED")
