"""What a worker does with one work item: try, count, record."""

import ctypes
import json
import re
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ukb_brain.atomic import PARTIAL, atomic_path
from ukb_brain.cluster import pick_device
from ukb_brain.errors import InputError
from ukb_brain.ledger.artifact import (
    ARRAYS,
    CARD,
    Card,
    Model,
    ModelFolder,
    write_failure,
    write_model,
)

SCRATCH, ATTEMPTS = "scratch-", "attempts.json"
LOST = "its process was lost, most often for want of memory or time"
LONGEST_REASON = 300
HIGH_WATER, FORGET = "VmHWM:", "5"


@dataclass(frozen=True)
class WorkItem:
    """One piece of work, which gives one model.

    Attributes
    ----------
    name
        Of the item, and of its folder.
    fingerprint
        Hash of everything the model depends on: people, data, settings, seed; see
        `fingerprint_of`.
    payload
        What the function takes; can be pickled. Paths and settings rather than data.
    card
        What the item's card says whether it succeeds or fails, such as whose people these are.
    """

    name: str
    fingerprint: str
    payload: Any
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scratch(self) -> str:
        """Name of the folder of its unfinished work."""
        return f"{SCRATCH}{self.fingerprint[:16]}"


def is_ours(name: str) -> bool:
    """Tell whether a file or folder in a work item's folder was written by the ledger."""
    return name in (ARRAYS, CARD, ATTEMPTS) or name.startswith((SCRATCH, PARTIAL))


@dataclass(frozen=True)
class Attempts:
    """Try a work item until it succeeds or its attempts are used up, and record how it ended.

    Attributes
    ----------
    function
        Takes a payload and a scratch folder, gives a model.
    device
        For the card, where the function does not say.
    most
        Attempts of an item in one run, lost processes among them; those of earlier runs do not
        count.
    """

    function: Callable[[Any, Path], Model]
    folder: Path
    device: str
    most: int
    run: str

    def __call__(self, item: WorkItem) -> Card:
        """Do one item and give the card that was written; a user's `InputError` is raised."""
        home = self.folder / item.name
        finished = ModelFolder(self.folder).card(item.name)
        if finished and finished["hash"] == item.fingerprint:
            # The process was lost after the work, before its answer was fetched.
            return finished
        number, reason = self._begun(home)
        while number < self.most:
            number += 1
            # Noted before the work, so that an attempt counts whose process is killed.
            self._note(home, number, LOST)
            try:
                return self._once(item, home, number)
            except InputError:
                raise
            except Exception as error:
                reason = one_line(error)
                self._note(home, number, reason)
        card = (
            {"device": self._device()} | dict(item.card) | _verdict(item, "failed", reason, number)
        )
        write_failure(home, card)
        # What a lost process left is worth going on from; what led to an error is not.
        if reason != LOST:
            shutil.rmtree(home / item.scratch, ignore_errors=True)
        (home / ATTEMPTS).unlink()
        return card

    def _once(self, item: WorkItem, home: Path, number: int) -> Card:
        scratch, started = home / item.scratch, time.monotonic()
        scratch.mkdir(parents=True, exist_ok=True)
        forget_peak()
        model = self.function(item.payload, scratch)
        said = {"seconds": time.monotonic() - started, "device": self._device()}
        card = (
            said | peak_memory() | dict(item.card) | model.card | _verdict(item, "ok", "", number)
        )
        write_model(home, Model(model.arrays, card))
        shutil.rmtree(scratch)
        (home / ATTEMPTS).unlink()
        return card

    def _begun(self, home: Path) -> tuple[int, str]:
        path = home / ATTEMPTS
        noted = json.loads(path.read_text()) if path.exists() else {}
        return (noted["number"], noted["reason"]) if noted.get("run") == self.run else (0, "")

    def _note(self, home: Path, number: int, reason: str) -> None:
        with atomic_path(home / ATTEMPTS) as part:
            part.write_text(json.dumps({"run": self.run, "number": number, "reason": reason}))

    def _device(self) -> str:
        return pick_device(self.device).type


def _verdict(item: WorkItem, status: str, reason: str, attempts: int) -> Card:
    return {
        "name": item.name,
        "hash": item.fingerprint,
        "status": status,
        "reason": reason,
        "attempts": attempts,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def one_line(error: Exception) -> str:
    """Say what an error is, in one line, without what may be a participant's number."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return re.sub(r"\d{7,}", "#######", text)[:LONGEST_REASON]


def forget_peak() -> None:
    """Let the peak begin anew, where the system can (Linux)."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        # What was freed is given back, or it would hide what is taken next.
        if hasattr(library := ctypes.CDLL(None), "malloc_trim"):
            library.malloc_trim(0)
        forget.write_text(FORGET)


def peak_memory() -> dict[str, float]:
    """Bytes since `forget_peak`: of this process as a whole, and what it took of a CUDA card."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith(HIGH_WATER))
        process = int(line.split()[1]) * 1024.0
    else:
        process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    card = torch.cuda.is_available() and torch.cuda.is_initialized()
    on_card = float(torch.cuda.max_memory_allocated()) if card else 0.0
    return {"process_bytes": process, "device_bytes": on_card}
