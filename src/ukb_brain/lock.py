"""One run at a time writes under a data root: a file there says which.

A run that was killed leaves the file behind, and the next one takes it over: on the same machine
once that process is gone; from another machine once nobody has touched the file for `SILENT`
seconds, as a run that lives does every `BEAT`.
"""

import atexit
import json
import logging
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from ukb_brain.errors import InputError

logger = logging.getLogger(__name__)

LOCK = ".lock"
BEAT, SILENT = 30.0, 300.0
# How far what the system says of a process's start may drift, as clocks are set, in seconds.
DRIFT = 10.0
# A file that another process is just writing is looked at so many times, a tenth of a second apart.
LOOKS = 10


class Holder(NamedTuple):
    """A run that holds a data root; `born` is when its process began, in seconds since 1970."""

    host: str
    process: int
    born: float
    since: str
    doing: str
    token: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}, for {self.doing}"

    @property
    def is_near(self) -> bool:
        """Whether it is of this machine, where processes can be looked at."""
        return self.host == platform.node()

    def lives(self) -> bool:
        """Whether its process, of this machine, is there and not another of the same number."""
        # One process has one run at a time: what it held before is over.
        if self.process == os.getpid():
            return False
        try:
            process = psutil.Process(self.process)
            same = abs(process.create_time() - self.born) < DRIFT
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


UNKNOWN = Holder("an unknown machine", 0, 0.0, "an unknown time", "something unknown", "")


class RootLock:
    """A data root that this process holds until it releases it, or ends."""

    def __init__(self, root: Path, doing: str) -> None:
        """Take a data root; ``doing`` is told to others.

        Raises
        ------
        InputError
            If another run holds it, or it cannot be written to.
        """
        self.path = root / LOCK
        now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        born = psutil.Process().create_time()
        self.holder = Holder(platform.node(), os.getpid(), born, now, doing, uuid.uuid4().hex)
        self._made_root = not root.exists()
        try:
            root.mkdir(parents=True, exist_ok=True)
            while not self._create():
                self._take_over()
        except OSError as error:
            raise InputError(
                f"The data root {root} cannot be written to ({error.strerror}): make it a folder "
                "that you may write to, or give another (--params data_root=…)."
            ) from error
        self._released = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()
        atexit.register(self.release)

    def _create(self) -> bool:
        try:
            # Only one process makes a file that is not there, on network file systems too.
            file = self.path.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        try:
            with file:
                file.write(json.dumps(self.holder._asdict()))
        except OSError:
            self.path.unlink()
            raise
        return True

    def _take_over(self) -> None:
        """Remove what a run left that is over; raises `InputError` if it is not."""
        other = _read(self.path)
        if other is None:
            return
        silent = self._silence()
        if other.lives() if other.is_near else silent < SILENT:
            remedy = f"wait until it has ended, or stop process {other.process}"
            if not other.is_near:
                remedy = (
                    f"wait until it has ended. It gave a sign of life {silent:.0f} s ago, and is "
                    f"taken to be over after {SILENT:.0f} s without one; if you know that it is, "
                    f"remove {self.path}"
                )
            raise InputError(
                f"Another run works on the data root {self.path.parent}: {other}. Two at once "
                f"would spoil each other's files: {remedy}; or give this run a data root of its "
                "own (--params data_root=…)."
            )
        aside = self.path.with_name(f"{LOCK}-{self.holder.token}")
        with suppress(FileNotFoundError):
            self.path.rename(aside)
            if _read(aside) != other:
                # Another run took it over since it was read.
                aside.rename(self.path)
                return
            aside.unlink()
            logger.info("The data root was held by a run that is over: %s. It goes on now.", other)

    def _silence(self) -> float:
        """Tell how long ago the file was touched, by the clock of the file system."""
        probe = self.path.with_name(f"{LOCK}-{self.holder.token}")
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        with suppress(FileNotFoundError):
            return now - self.path.stat().st_mtime
        return SILENT

    def _beat(self) -> None:
        while not self._released.wait(BEAT):
            # A network file system may be away for a while.
            with suppress(OSError):
                if _read(self.path) == self.holder:
                    os.utime(self.path)

    def release(self) -> None:
        """Let others have it; nothing is left of it."""
        self._released.set()
        atexit.unregister(self.release)
        with suppress(OSError):
            if _read(self.path) == self.holder:
                self.path.unlink()
            if self._made_root:
                # Where the run ended before it wrote anything.
                self.path.parent.rmdir()


def _whole(process: object) -> int:
    if not isinstance(process, int) or process < 1:
        raise ValueError("no number of a process")
    return process


def _read(path: Path) -> Holder | None:
    """Read who holds a data root: nobody, or `UNKNOWN` where the file is not what it should be."""
    for _ in range(LOOKS):
        try:
            found = Holder(**json.loads(path.read_text(encoding="utf-8")))
            said = (found.host, found.since, found.doing, found.token)
            if not all(isinstance(text, str) for text in said):
                return UNKNOWN
            return found._replace(process=_whole(found.process), born=float(found.born))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            time.sleep(0.1)
    return UNKNOWN
