"""What stands against a run, or should be known before it, each with its remedy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ukb_brain.errors import InputError

Severity = Literal["stop", "warning"]
MOST_TOLD = 5
SMALLEST_TOLD = 10


@dataclass(frozen=True)
class Problem:
    """Something a user can mend.

    Attributes
    ----------
    severity : {"stop", "warning"}
        Whether a run can go on all the same.
    what : str
        The file, field or count, and what is wrong with it; no participant's number.
    remedy : str
        What to do; empty where ``what`` says it already.
    """

    severity: Severity
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        if not self.remedy:
            return self.what
        end = "" if self.remedy.endswith((".", "?")) else "."
        return f"{self.what.rstrip('.')}: {self.remedy}{end}"


def few(n: int) -> str:
    """Write a number of people or cells, small ones not at all: each is a person's."""
    return f"{n:,}" if n >= SMALLEST_TOLD else f"fewer than {SMALLEST_TOLD}"


def stop_at(problems: Iterable[Problem]) -> None:
    """Stop a run if any problem asks for it.

    Raises
    ------
    InputError
        With every problem that stops, up to a few, and the number of the others.
    """
    stops = [str(problem) for problem in problems if problem.severity == "stop"]
    if not stops:
        return
    told = stops[:MOST_TOLD]
    if len(stops) > MOST_TOLD:
        told.append(f"And {len(stops) - MOST_TOLD} more: `kedro run --pipelines check` shows all.")
    raise InputError(" ".join(told))
