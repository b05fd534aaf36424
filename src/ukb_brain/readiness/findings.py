"""What a check found, in the order in which it is told."""

from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from ukb_brain.problems import Problem

# Keys and headings of the page.
SECTIONS = {
    "tables": "Tables",
    "fields": "Fields that the grid and confounds need",
    "withdrawals": "Withdrawals",
    "relatives": "Relatives",
    "cohort": "Who is in",
    "scans": "Scans",
    "cells": "People in each cell",
    "machine": "This machine",
    "cost": "What a run would need, by its largest arrays",
}
PROBLEMS = "problems"
# What a field is used for is found in these words.
USE = "for "
COLUMNS = ["section", "item", "finding", "n", "severity", "remedy"]


class Finding(NamedTuple):
    """One thing that is there.

    Attributes
    ----------
    section : str
        A key of `SECTIONS`.
    item : str
        What it is of: a file, a field, a target.
    words : str
        What was found.
    n : int, optional
        Number of people, answers or files; small ones are not shown on the page.
    """

    section: str
    item: str
    words: str
    n: int | None = None


@dataclass
class Readiness:
    """Everything a check found.

    Attributes
    ----------
    findings : list of Finding
        What is there.
    problems : list of Problem
        What stands against a run, or should be known.
    people, visits : int
        People with an imaging visit, and their visits; 0 where it did not come so far.
    """

    findings: list[Finding] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    people: int = 0
    visits: int = 0

    def found(self, section: str, item: str, words: str, n: int | None = None) -> None:
        """Note something that is there."""
        self.findings.append(Finding(section, item, words, n))

    def stop(self, what: str, remedy: str = "") -> None:
        """Note a problem that stops a run."""
        self.problems.append(Problem("stop", what, remedy))

    def warn(self, what: str, remedy: str) -> None:
        """Note a problem that a run can go on with."""
        self.problems.append(Problem("warning", what, remedy))

    @property
    def can_run(self) -> bool:
        """Whether no problem stops a run."""
        return all(problem.severity != "stop" for problem in self.problems)

    def table(self) -> pd.DataFrame:
        """Tabulate everything, problems first.

        Returns
        -------
        DataFrame
            ``section, item, finding, n, severity, remedy``; ``n`` is missing where nothing is
            counted, ``severity`` and ``remedy`` are empty but for problems.
        """
        stops = sorted(self.problems, key=lambda p: p.severity != "stop")
        order = list(SECTIONS)
        found = sorted(self.findings, key=lambda f: order.index(f.section))
        problems = [(PROBLEMS, "", p.what, None, p.severity, p.remedy) for p in stops]
        rows = [*problems, *((*finding, "", "") for finding in found)]
        return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})
