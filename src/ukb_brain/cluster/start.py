"""Start Dask workers by spawn on this machine, or as jobs of a batch system.

Every connection is encrypted and authenticated by keys made for the occasion, on loopback too: who
may talk to a Dask scheduler may run code as its user. Nothing is served over HTTP.
"""

import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ukb_brain.cluster.progress import EPOCHS
from ukb_brain.cluster.settings import VISIBLE, Compute, pick_device, visible_gpus
from ukb_brain.errors import InputError

logger = logging.getLogger(__name__)

LOOPBACK, ENCRYPTED = "127.0.0.1", "tls://"
# Dask always opens a port for HTTP; without routes it answers nothing, and here to nobody else.
NO_DASHBOARD = {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub"}


def worker_environment(threads: int) -> dict[str, str]:
    """Set what must be in a worker's environment before numerical libraries are loaded."""
    # By default workers hand memory back after every array, and fetch it again for the next:
    # twice the time of training here.
    memory = {"MALLOC_TRIM_THRESHOLD_": 1 << 30, "MALLOC_MMAP_THRESHOLD_": 1 << 30}
    numerical = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
    )
    return {name: str(value) for name, value in (memory | numerical).items()}


@contextmanager
def open_client(compute: Compute, workers: int, losses: int) -> Iterator[Any]:
    """Start workers for some work, give Dask's client, and stop them after it.

    Jobs may still wait in their queue when this is entered. ``losses`` is how often the process of
    one work item may be lost before Dask gives the item up.
    """
    import dask

    # distributed sets its loggers when it is imported, here and in each worker. What goes wrong
    # with a work item is told by us; its own words are of heartbeats and sockets that closed.
    dask.config.set({"logging.distributed": "critical"})
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
    from distributed import Client
    from distributed.security import Security

    settings: dict[str, Any] = {
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.scheduler.allowed-failures": losses,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.nanny.pre-spawn-environ": worker_environment(compute.threads_per_item),
        # Work items are few and may be large; its warning would only puzzle.
        "distributed.admin.large-graph-warning-threshold": "1GB",
    }
    start = _local if compute.backend == "local" else _batch
    with (
        dask.config.set(settings),
        start(compute, workers, Security.temporary()) as cluster,
        Client(cluster) as client,
    ):
        client.forward_logging(EPOCHS, logging.INFO)
        yield client


@dataclass
class _Kept:
    """Workers that wait for the next work."""

    stack: ExitStack = field(default_factory=ExitStack)
    alike: tuple[Compute, int] | None = None
    workers: int = 0
    client: Any = None


# Of the process, for Kedro runs nodes in threads of its own.
_kept: list[_Kept] = []


@contextmanager
def workers_kept() -> Iterator[None]:
    """Within, workers of this machine wait for the next work that asks for the like.

    To start them takes seconds, and a run has many steps. Jobs of a batch system do not wait:
    their time is charged.
    """
    _kept.append(_Kept())
    try:
        yield
    finally:
        _kept.pop().stack.close()


@contextmanager
def client_for(compute: Compute, workers: int, losses: int) -> Iterator[Any]:
    """Give workers for some work as `open_client` does: those that wait, if enough, or new ones."""
    if not _kept or compute.backend != "local":
        with open_client(compute, workers, losses) as client:
            yield client
        return
    kept = _kept[-1]
    if kept.alike != (compute, losses) or kept.workers < workers:
        # Never two sets of workers at once, nor any that is no longer there where a start fails.
        kept.stack.close()
        _kept[-1] = kept = _Kept()
        kept.client = kept.stack.enter_context(open_client(compute, workers, losses))
        kept.alike, kept.workers = (compute, losses), workers
    yield kept.client


@contextmanager
def _local(compute: Compute, workers: int, security: Any) -> Iterator[Any]:
    from distributed import Nanny, Scheduler, SpecCluster

    common = {"host": LOOPBACK, "protocol": ENCRYPTED, "security": security}
    # Each process sees a GPU of its own, before torch touches it.
    gpus = visible_gpus() if pick_device(compute.device).type == "cuda" else []
    environments = [{VISIBLE: gpus[k % len(gpus)]} if gpus else {} for k in range(workers)]
    worker = common | NO_DASHBOARD | {"nthreads": 1, "memory_limit": None}
    spec = {
        k: {"cls": Nanny, "options": worker | {"env": environment}}
        for k, environment in enumerate(environments)
    }
    scheduler = {"cls": Scheduler, "options": common | NO_DASHBOARD | {"port": 0}}
    with SpecCluster(workers=spec, scheduler=scheduler, security=security) as cluster:
        yield cluster


@contextmanager
def _batch(compute: Compute, workers: int, security: Any) -> Iterator[Any]:
    _check_batch(compute)
    import dask_jobqueue

    make = getattr(dask_jobqueue, f"{compute.backend.upper()}Cluster")
    job = job_of(compute)
    with ExitStack() as stack:
        keys = stack.enter_context(_keys_on_disk(security, job["log_directory"]))
        cluster = make(security=keys, protocol=ENCRYPTED, **job)
        for _ in range(workers):
            cluster.worker_spec.update(cluster.new_worker_spec())
        try:
            stack.enter_context(cluster)
        except (RuntimeError, AssertionError) as error:
            # It has closed itself, and may have stumbled over the refused job again.
            said = str(error.__context__ if isinstance(error, AssertionError) else error)
            raise InputError(
                f"{compute.backend} refused a job, so check compute.jobs: "
                f"{' '.join((said.partition('stderr:')[2] or said).split())}"
            ) from None
        # So that a job which ended before the work did is replaced.
        cluster.adapt(minimum_jobs=workers, maximum_jobs=workers)
        words = "%d jobs asked for from %s; their logs are in %s."
        logger.info(words, workers, compute.backend, job["log_directory"])
        yield cluster


@contextmanager
def _keys_on_disk(security: Any, folder: str) -> Iterator[Any]:
    """Put keys where the nodes, and of their users only this one, can read them."""
    from distributed.security import Security

    with TemporaryDirectory(prefix="keys-", dir=folder) as private:
        texts = security.get_tls_config_for_role("worker")
        paths = {what: str(Path(private) / f"{what}.pem") for what in ("ca_file", "cert", "key")}
        for what, path in paths.items():
            Path(path).write_text(texts[what])
        yield Security(
            require_encryption=True,
            tls_ca_file=paths["ca_file"],
            **{
                f"tls_{role}_{what}": paths[what]
                for role in ("scheduler", "worker", "client")
                for what in ("cert", "key")
            },
        )


def _check_batch(compute: Compute) -> None:
    backend, command = compute.backend, SUBMIT[compute.backend]
    if shutil.which(command) is None:
        raise InputError(
            f"compute.backend is {backend}, and its command {command} is not on the path: start "
            "from a node that submits jobs, or set compute.backend to local."
        )
    needed = ("memory", "walltime", "shared_temp_directory")
    missing = [f"compute.jobs.{name}" for name in needed if getattr(compute.jobs, name) is None]
    if missing:
        raise InputError(f"compute.backend is {backend}, which needs {', '.join(missing)}: set it.")


def job_of(compute: Compute) -> dict[str, Any]:
    """Name a job's properties as dask-jobqueue's clusters do."""
    jobs = compute.jobs
    shared = Path(str(jobs.shared_temp_directory)).resolve()
    shared.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A job is a process of its own, to which this one's settings of Dask do not go. It may start
    # in another folder, and what it is over its memory for is better killed than left to wait.
    environment = worker_environment(compute.threads_per_item) | {
        "DASK_LOGGING__DISTRIBUTED": "critical",
        "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
        "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
        "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
    }
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    charged = "account" if compute.backend in ("slurm", "pbs") else "project"
    as_they_are = {"queue", "memory", "walltime", "interface", "local_directory", "python"}
    return jobs.model_dump(include=as_they_are) | {
        charged: jobs.account,
        "cores": jobs.cores or compute.threads_per_item,
        "processes": 1,
        "log_directory": str(shared),
        "job_name": "ukb-brain",
        "job_extra_directives": list(jobs.job_extra_directives),
        "job_script_prologue": [
            f"cd {shlex.quote(str(Path.cwd()))}",
            *exports,
            *jobs.job_script_prologue,
        ],
        # The last one counts: a job works on one item at a time, whatever its number of cores.
        "worker_extra_args": (
            f"--nthreads 1 --no-dashboard --dashboard-address {NO_DASHBOARD['dashboard_address']}"
        ).split(),
        "scheduler_options": NO_DASHBOARD,
    }
