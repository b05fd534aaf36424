"""``python -m benchmarks [name]``: run every benchmark, or one."""

from __future__ import annotations

import sys

from benchmarks import (
    agreement,
    bootstrap,
    bulk,
    check,
    cohort,
    cohorts,
    cost,
    coverage,
    evidence,
    gains,
    heads,
    memory,
    null,
    planner,
    real_people,
    step,
    strategies,
    study,
    tables,
    tried,
    workers,
)
from benchmarks.record import record

BENCHMARKS = {
    "check": check.measure,
    "cost": cost.measure,
    "truth": cohorts.measure,
    "agreement": agreement.measure,
    "strategies": strategies.measure,
    "study": study.measure,
    "tried": tried.measure,
    "null": null.measure,
    "real_people": real_people.measure,
    "heads": heads.measure,
    "step": step.measure,
    "workers": workers.measure,
    "bootstrap": bootstrap.measure,
    "coverage": coverage.measure,
    "evidence": evidence.measure,
    "gains": gains.measure,
    "memory": memory.measure,
    "planner": planner.measure,
    "tables": tables.measure,
    "bulk": bulk.measure,
    "cohort": cohort.measure,
}


def main() -> None:
    """Run what was asked for."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(wanted) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.")
    for name in wanted:
        record(BENCHMARKS[name]())


if __name__ == "__main__":
    main()
