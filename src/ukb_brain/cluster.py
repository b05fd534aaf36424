"""Spread independent work items over processes, with the same results whatever their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """Count the processors that this process may use.

    Returns
    -------
    int
        On systems that do not tell (macOS, Windows), all of the machine.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Compute(BaseModel):
    """How work is spread over this machine.

    Attributes
    ----------
    workers : int
        Processes; 0 takes one for each processor that this process may use.
    threads_per_item : int
        Threads of every work item, fixed so that sums are added in the same order everywhere.
    device : str
        ``auto`` takes CUDA, then MPS, then the CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=0, ge=0)
    threads_per_item: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    def for_training(self) -> Compute:
        """Take one process for networks where they would share an accelerator.

        Returns
        -------
        Compute
        """
        on_cpu = pick_device(self.device).type == "cpu"
        return self if on_cpu else self.model_copy(update={"workers": 1})

    @property
    def processes(self) -> int:
        """Number of processes that are started."""
        return self.workers or processors()


def pick_device(wanted: str = "auto") -> torch.device:
    """Take the best device that is there.

    Parameters
    ----------
    wanted : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns
    -------
    torch.device
        CUDA before MPS before the CPU for ``auto``.
    """
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _with_fixed_threads(function: Callable[[Item], Result], item: Item, threads: int) -> Result:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            return function(item)
    finally:
        torch.set_num_threads(before)


def progress_bar() -> Progress:
    """Make the progress bar that every long task shows.

    Returns
    -------
    rich.progress.Progress
        With counts, the time that passed and the time left.
    """
    return Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def run_items(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    compute: Compute,
    label: str,
) -> Iterator[Result]:
    """Apply a function to items, in this process or over Dask workers started by spawn.

    Parameters
    ----------
    function : callable
        Takes one item; importable by name where there is more than one worker.
    items : iterable
        Independent pieces of work that can be pickled. Each brings its own seed.
    compute : Compute
        Number of workers and threads.
    label : str
        Shown beside the progress bar.

    Yields
    ------
    result
        In the order in which items end, so each result must say what it belongs to.
    """
    todo = list(items)
    with progress_bar() as progress:
        yield from progress.track(
            _results(function, todo, compute), total=len(todo), description=label
        )


def _results(
    function: Callable[[Item], Result], todo: list[Item], compute: Compute
) -> Iterator[Result]:
    if min(compute.processes, len(todo)) <= 1:
        for item in todo:
            yield _with_fixed_threads(function, item, compute.threads_per_item)
        return
    import dask

    # distributed sets its loggers when it is imported, here and in each worker.
    dask.config.set({"logging.distributed": "error"})
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")
    from distributed import Client, LocalCluster, as_completed

    settings: dict[str, Any] = {
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.scheduler.allowed-failures": 1,
        # By default workers hand memory back after every array, and fetch it again for the next:
        # twice the time of training here. Threads of numerical libraries are fixed per item.
        "distributed.nanny.pre-spawn-environ": {
            "MALLOC_TRIM_THRESHOLD_": 1 << 30,
            "MALLOC_MMAP_THRESHOLD_": 1 << 30,
            "OMP_NUM_THREADS": compute.threads_per_item,
            "MKL_NUM_THREADS": compute.threads_per_item,
            "OPENBLAS_NUM_THREADS": compute.threads_per_item,
        },
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=min(compute.processes, len(todo)),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=None,
        ) as cluster,
        Client(cluster) as client,
    ):

        def submit(item: Item) -> Any:
            return client.submit(
                _with_fixed_threads, function, item, compute.threads_per_item, pure=False
            )

        # A few items are under way at a time, so that memory does not hold all of them.
        waiting = iter(todo)
        ahead = 2 * min(compute.processes, len(todo))
        underway = as_completed([submit(item) for item in islice(waiting, ahead)])
        for future in underway:
            yield future.result()
            future.release()
            underway.update([submit(item) for item in islice(waiting, 1)])
