"""What Kedro calls around a run: one line that says on what it works."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

logger = logging.getLogger(__name__)

# Known and meant: names of datasets read `layer.name`, and `--pipeline` is what the documents say.
QUIET = (
    r"One or more dataset names contain '\.' characters",
    r"Option '--pipeline' is deprecated",
    r"\s*register_new_resolver\(\) is deprecated",
)


def silence_known_warnings() -> None:
    """Leave out those of Kedro's warnings that a user can do nothing about."""
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)


class ProjectHooks:
    """Say which environment, data, size and source a run has."""

    def __init__(self) -> None:
        silence_known_warnings()
        self._data_root = ""
        self._source = ""
        self._preset = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read where the data are.

        Parameters
        ----------
        context : KedroContext
            Of the session.
        """
        loader = context.config_loader
        settings = {**loader["globals"], **(loader.runtime_params or {})}
        self._data_root = str(settings["data_root"])
        self._preset = str(settings["preset"])
        self._source = str(settings["source"])

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Log one line.

        Parameters
        ----------
        run_params : dict
            Kedro's record of the run.
        """
        names = sorted(run_params.get("pipeline_names") or ["everything after the raw files"])
        logger.info(
            "%s · environment %s · data root %s · preset %s · %s",
            ", ".join(names),
            run_params.get("env") or "base",
            self._data_root,
            self._preset,
            "SYNTHETIC data" if self._source == "synthetic" else f"source {self._source}",
        )
