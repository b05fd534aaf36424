"""``python -m benchmarks [name]``: run every benchmark, or one."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.record import record

# By name, the module whose `measure` it is.
BENCHMARKS = {
    name: name
    for name in (
        *("check", "cost", "agreement", "strategies", "study", "tried", "null", "real_people"),
        *("heads", "step", "workers", "bootstrap", "coverage", "evidence", "gains", "memory"),
        *("planner", "tables", "bulk", "store", "feed", "cohort", "resampling", "filters"),
        *("scale", "one_mm", "harmonise", "encoders", "gpu", "depth"),
    )
} | {"truth": "cohorts"}


def main() -> None:
    """Run what was asked for."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(wanted) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.")
    for name in wanted:
        record(import_module(f"benchmarks.{BENCHMARKS[name]}").measure())


if __name__ == "__main__":
    main()
