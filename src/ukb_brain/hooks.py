"""What Kedro calls around a run: one line that says on what it works."""

import logging
import warnings
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline
from rich.console import Console
from rich.markdown import Markdown

from ukb_brain.configuration import globals_of, local_files, problems_of_names
from ukb_brain.errors import InputError
from ukb_brain.lock import RootLock
from ukb_brain.problems import Problem, stop_at

logger = logging.getLogger(__name__)

SETTINGS = {
    "data_engineering",
    "grid",
    "imaging_preprocess",
    "modelling",
    "reporting",
    "claims",
    "evidence",
}
READS_RAW, READS_SCANS = "select_cohort", "preprocess_scans"
BULK, INDEX = "raw.bulk", "intermediate.bulk_index"
PARTICIPANTS, WITHDRAWALS = "primary.participants", "raw.withdrawals"
TOLD = {"reporting.summary", "published.claims_text", "compare.text"}
DROPS_WITHDRAWN, PURGE = {"data_engineering", "__default__"}, "purge"
# These make no more than a page of their own.
LOOK_ONLY = {"check", "plan"}

# Warnings of which a user can do nothing; names of datasets read `layer.name`, which is meant.
QUIET = (
    r"One or more dataset names contain '\.' characters",
    r"\s*register_new_resolver\(\) is deprecated",
)


class ProjectHooks:
    """Say which environment, data, size and source a run has."""

    def __init__(self) -> None:
        for message in QUIET:
            warnings.filterwarnings("ignore", message=message)
        self._step = self._steps = 0
        self._local: list[str] = []
        self._on_what = ""
        self._root: Path | None = None
        self._lock: RootLock | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read where the data are, and stop where parameters are named that nothing reads."""
        loader = context.config_loader
        conf = Path(loader.conf_source)
        stop_at(problems_of_names(conf, context.env, loader.runtime_params or {}))
        self._local = [path.name for path in local_files(conf, context.env)]
        given = globals_of(loader)
        kind = given["source"]
        source = "SYNTHETIC data" if kind == "synthetic" else f"source {kind}"
        self._root = Path(context.project_path) / given["data_root"]
        self._on_what = f"data root {given['data_root']} · preset {given['preset']} · {source}"

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Log one line, take the data root, and stop where raw files stand against the run.

        Raises
        ------
        InputError
            If another run works on the data root; if participants are on a withdrawal list, or
            scans came, and this run would not look at them; or if the check of raw files finds
            what stops a run that reads them.
        """
        names = sorted(run_params.get("pipeline_names") or [])
        logger.info(
            "%s · environment %s · %s",
            ", ".join(names) or "everything after the raw files",
            run_params.get("env") or "base",
            self._on_what,
        )
        if self._local:
            logger.info("conf/local is in force: %s", ", ".join(self._local))
        if self._root and not (names and LOOK_ONLY.issuperset(names)):
            self._lock = RootLock(self._root, ", ".join(names) or "everything after the raw files")
        try:
            self._look(names, run_params.get("only_missing_outputs", False), pipeline, catalog)
        except BaseException:
            # Kedro calls no other hook then.
            self._release()
            raise

    def _look(
        self, names: list[str], only_missing: bool, pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        drops = not names or DROPS_WITHDRAWN & set(names)
        if names != [PURGE] and (only_missing or not drops):
            self._stop_if_somebody_withdrew(catalog)
        if only_missing:
            self._stop_if_scans_came(catalog)
        self._steps = len(pipeline.nodes)
        stop_at(self._problems_of_settings(pipeline, catalog))
        steps = {node.name.rpartition(".")[2] for node in pipeline.nodes}
        if READS_RAW in steps:
            self._check_raw_files(catalog, READS_SCANS in steps)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let another run have the data root."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let another run have the data root."""
        self._release()

    def _release(self) -> None:
        if self._lock:
            self._lock.release()
            self._lock = None

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which step begins."""
        self._step += 1
        logger.info("Step %d of %d: %s", self._step, self._steps, node.name.replace("_", " "))

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Say on the console what is written in words."""
        for text in (outputs[name] for name in TOLD & set(outputs)):
            Console().print(Markdown(text))

    @staticmethod
    def _problems_of_settings(pipeline: Pipeline, catalog: CatalogProtocol) -> list[Problem]:
        """Find settings that contradict each other, among those that the run reads."""
        from ukb_brain.readiness import settings

        names = SETTINGS & {name.removeprefix("params:") for name in pipeline.inputs()}
        read = {name: catalog.load(f"params:{name}") for name in names}
        problems: list[Problem] = []
        if "grid" in read and read["grid"].left_out:
            logger.info("%s", read["grid"].in_words())
        if {"imaging_preprocess", "grid"} <= set(read):
            problems += settings.problems_of_modalities(read["imaging_preprocess"], read["grid"])
        if {"claims", "grid"} <= set(read):
            problems += settings.problems_of_claims(read["claims"], read["grid"])
        if "modelling" in read:
            trained = read["modelling"].strategies
            if "reporting" in read:
                problems += settings.problems_of_map(read["reporting"].strategy, trained)
            wanted = {
                f"evidence.{name}.strategies": part.strategies
                for name, part in dict(read.get("evidence", {})).items()
                if hasattr(part, "strategies")
            }
            problems += settings.problems_of_strategies(wanted, trained)
            if {"imaging_preprocess", "grid"} <= set(read) and not problems:
                given = [read[name] for name in ("modelling", "grid", "imaging_preprocess")]
                problems += settings.problems_of_weights(*given)
                problems += settings.problems_of_pretraining(*given)
                problems += settings.problems_of_refining(*given[:2])
            if "data_engineering" in read:
                by = read["modelling"].harmonise.by
                problems += settings.problems_of_phases(by, read["data_engineering"].phases)
        return problems

    @staticmethod
    def _check_raw_files(catalog: CatalogProtocol, reads_scans: bool) -> None:
        """Look at raw files before anything is made of them, as the pipeline `check` does."""
        # Only a run that reads raw files needs what these import.
        from ukb_brain.readiness.check import LOOKED_AT, look

        ready = look(*(catalog.load(name) for name in LOOKED_AT), reads_scans=reads_scans)
        for problem in ready.problems:
            if problem.severity == "warning":
                logger.warning("%s", problem)
        stop_at(ready.problems)

    @staticmethod
    def _stop_if_scans_came(catalog: CatalogProtocol) -> None:
        """Look for bulk files that nodes whose outputs are there would never see."""
        from ukb_brain.grid import Grid
        from ukb_brain.imaging.bulk_index import changed_since
        from ukb_brain.imaging.modalities import ImagingPreprocess

        if not catalog.exists(INDEX):
            return
        bulk, index = catalog.load(BULK), catalog.load(INDEX)
        settings = ImagingPreprocess.model_validate(catalog.load("params:imaging_preprocess"))
        settings = settings.taking(Grid.model_validate(catalog.load("params:grid")).modalities)
        gone = catalog.load(WITHDRAWALS).eids
        came = changed_since(bulk, index, settings.fields.values(), gone)
        if came:
            raise InputError(
                f"{came:,} bulk file(s) in {bulk} are new or changed since they were last listed, "
                "and --only-missing-outputs would not read them: run without it; what is done "
                "already is not done again."
            )

    @staticmethod
    def _stop_if_somebody_withdrew(catalog: CatalogProtocol) -> None:
        """Look at every start of a run that does not read the main table anew."""
        if not (catalog.exists(PARTICIPANTS) and catalog.exists(WITHDRAWALS)):
            return
        participants = set(catalog.load(PARTICIPANTS)["eid"])
        gone = len(participants & catalog.load(WITHDRAWALS).eids)
        if gone:
            raise InputError(
                f"{gone} of {len(participants)} participants have withdrawn since the tables were "
                "made: `kedro run --pipelines purge` erases them everywhere, and `kedro run` "
                "then fits everything anew."
            )
