"""How work is spread: over processes of this machine, its GPUs, or jobs of a batch system."""

import os
from typing import Literal, Self

import torch
from pydantic import Field

from ukb_brain.errors import InputError
from ukb_brain.settings_base import Settings

VISIBLE = "CUDA_VISIBLE_DEVICES"


def processors() -> int:
    """Count the processors that this process may use; all where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Jobs(Settings):
    """One job of a batch system, by the names that dask-jobqueue gives its properties.

    Attributes
    ----------
    queue
        Or partition; the system's default if it is not given.
    account
        Whom the hours are charged to; SGE and LSF call it project.
    cores
        Of a job, which works on one item at a time; ``threads_per_item`` by default.
    memory
        Such as ``16GB``. Must be given for a batch system.
    walltime
        Such as ``'12:00:00'``, as the system writes it. Must be given for a batch system, and be
        longer than the longest work item.
    job_extra_directives
        Among them those that ask for a GPU.
    interface
        That nodes share, such as ``ib0``.
    local_directory
        Fast scratch of each node, for what Dask itself puts down.
    shared_temp_directory
        Seen by all nodes: for the keys of encrypted connections and the logs of jobs. Must be given
        for a batch system.
    python
        On the nodes; this process's by default.
    job_script_prologue
        Commands before a job's work, such as ``module load cuda``.
    """

    queue: str | None = None
    account: str | None = None
    cores: int | None = Field(default=None, ge=1)
    memory: str | None = None
    walltime: str | None = None
    job_extra_directives: tuple[str, ...] = ()
    interface: str | None = None
    local_directory: str | None = None
    shared_temp_directory: str | None = None
    python: str | None = None
    job_script_prologue: tuple[str, ...] = ()


class Compute(Settings):
    """How work is spread.

    Attributes
    ----------
    workers
        Processes, or jobs; locally 0 takes one for each processor that this process may use.
    threads_per_item
        Fixed, so that sums are added in the same order everywhere.
    device
        ``auto`` takes CUDA, then MPS, then the CPU.
    retries
        How often a work item is tried again after an error or the loss of its process.
    jobs
        For a batch system.
    """

    backend: Literal["local", "slurm", "pbs", "sge", "lsf"] = "local"
    workers: int = Field(default=0, ge=0)
    threads_per_item: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    retries: int = Field(default=2, ge=0)
    jobs: Jobs = Jobs()

    def for_training(self) -> Self:
        """Take one process for each accelerator of this machine, where networks are trained.

        On the CPU nothing changes, nor for a batch system, whose jobs each ask for their own GPU.
        """
        device = pick_device(self.device).type
        if self.backend != "local" or device == "cpu":
            return self
        most = max(1, len(visible_gpus())) if device == "cuda" else 1
        return self.model_copy(update={"workers": min(self.workers or most, most)})

    @property
    def processes(self) -> int:
        """Number of processes that are started, or of jobs.

        Raises
        ------
        InputError
            If a batch system is not told how many jobs.
        """
        if self.backend != "local" and not self.workers:
            raise InputError(
                f"compute.workers is 0 with compute.backend {self.backend}, where it is the number "
                "of jobs: set it, for example --params compute.workers=8."
            )
        return self.workers or processors()


def visible_gpus() -> list[str]:
    """Name the CUDA devices that this process may use, by number where nothing names them."""
    count = torch.cuda.device_count()
    given = os.environ.get(VISIBLE)
    names = [str(k) for k in range(count)] if given is None else given.split(",")
    return [name.strip() for name in names[:count]]


def pick_device(wanted: str = "auto") -> torch.device:
    """Take the device that is wanted; ``auto`` takes CUDA before MPS before the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
