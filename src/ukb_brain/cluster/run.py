"""Apply a function to work items, in this process or over workers."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

from ukb_brain.cluster.progress import EPOCHS, shown
from ukb_brain.cluster.settings import Compute
from ukb_brain.cluster.start import client_for
from ukb_brain.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def _with_fixed_threads(function: Callable[[Item], Result], item: Item, threads: int) -> Result:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            return function(item)
    finally:
        torch.set_num_threads(before)


def _in_worker(function: Callable[[Item], Result], item: Item, threads: int) -> Result:
    """Work on an item in a process of its own, with so many threads."""
    # What it tells of epochs is handed on to the main process, which shows it.
    logging.getLogger(EPOCHS).propagate = False
    return _with_fixed_threads(function, item, threads)


def run_items(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    compute: Compute,
    label: str,
    losses: int | None = None,
) -> Iterator[Result]:
    """Apply a function to items, in this process or over Dask workers started by spawn.

    Results come in the order in which items end, so each must say what it belongs to.

    Parameters
    ----------
    function : callable
        Takes one item; importable by name where there is more than one worker.
    items : iterable
        Independent pieces of work that can be pickled. Each brings its own seed.
    losses : int, optional
        How often the process of one item may be lost; ``compute.retries`` by default.

    Raises
    ------
    InputError
        If the process of one item was lost more often.
    """
    todo = list(items)
    most = compute.retries if losses is None else losses
    yield from shown(_results(function, todo, compute, label, most), len(todo), label)


def _results(
    function: Callable[[Item], Result], todo: list[Item], compute: Compute, label: str, losses: int
) -> Iterator[Result]:
    workers = min(compute.processes, len(todo))
    threads = compute.threads_per_item
    # The machine from which jobs are submitted is not there for the work itself.
    if not todo or (workers == 1 and compute.backend == "local"):
        for item in todo:
            yield _with_fixed_threads(function, item, threads)
        return
    with client_for(compute, workers, losses) as client:
        from distributed import KilledWorker, as_completed

        def submit(item: Item) -> Any:
            return client.submit(_in_worker, function, item, threads, pure=False)

        # A few items are under way at a time, so that memory does not hold all of them.
        waiting = iter(todo)
        underway = as_completed([submit(item) for item in islice(waiting, 2 * workers)])
        for future in underway:
            try:
                yield future.result()
            except KilledWorker:
                raise InputError(
                    f"{label}: a process was lost {losses + 1} times on the same work item, most "
                    "often for want of memory: set compute.workers lower (for jobs, "
                    "compute.jobs.memory higher)."
                ) from None
            future.release()
            underway.update([submit(item) for item in islice(waiting, 1)])
