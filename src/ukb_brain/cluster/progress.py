"""How long tasks show how far they are: a bar in a terminal, a line now and then elsewhere."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

logger = logging.getLogger(__name__)

# Name of the logger that tells of epochs.
EPOCHS = "ukb_brain.epochs"

Result = TypeVar("Result")
# Of a log file that nobody watches.
SECONDS_BETWEEN_LINES = 60.0


def progress_bar() -> Progress:
    """Make the progress bar that every long task shows."""
    return Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def shown(results: Iterable[Result], total: int, label: str) -> Iterator[Result]:
    """Hand on results, of which ``total`` will come, and show how many there are."""
    if not total:
        yield from results
        return
    if Console().is_terminal:
        with progress_bar() as bar:
            yield from bar.track(results, total=total, description=label)
        return
    started = last = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if done == total or now - last >= SECONDS_BETWEEN_LINES:
            last, passed = now, now - started
            counts, left = (label, done, total), passed / done * (total - done)
            words = "%s: %d of %d after %s, about %s left."
            logger.info(words, *counts, _clock(passed), _clock(left))


def told_by_epoch(what: str, epochs: int) -> Callable[[int, dict[str, list[float]]], None]:
    """Make what tells of each epoch of a training, in whichever process that runs.

    It takes the number of the epoch, of at most ``epochs``, and the curves ``train`` and
    ``validation``.
    """
    # Workers have no logging of their own; `open_client` hands on what this logger says.
    logger = logging.getLogger(EPOCHS)
    logger.setLevel(logging.INFO)
    started, done = time.monotonic(), 0

    def tell(epoch: int, curves: dict[str, list[float]]) -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - started) / done * (epochs - epoch)
        words = "%s: epoch %d of %d, loss %.3f, validation %.3f, about %s left."
        losses = (curves["train"][-1], curves["validation"][-1])
        logger.info(words, what, epoch, epochs, *losses, _clock(left))

    return tell


def told_of_failure(what: str, reason: str) -> None:
    """Warn of a training that gave no model, in whichever process it ran."""
    logging.getLogger(EPOCHS).warning("%s gave no model: %s.", what, reason)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
