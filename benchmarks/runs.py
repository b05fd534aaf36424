"""Runs of the project's own pipelines, each in a process of its own, for benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]


def kedro_run(
    root: Path, pipelines: str, params: Mapping[str, Any], env: str | None = None
) -> float:
    """Run pipelines on a data root, and give the seconds; stop the benchmark if that fails.

    Parameters
    ----------
    root : Path
        The data root.
    pipelines : str
        Names, separated by commas; empty for the default, of which only what is missing is made.
    params : dict
        Further runtime parameters; nested ones, and lists, as they are in YAML.
    env : str, optional
        Environment of the run.
    """
    given = {"data_root": str(root)} | dict(params)
    asked = json.dumps({"pipelines": pipelines, "params": given, "env": env})
    command = [sys.executable, "-m", "benchmarks.runs", asked]
    started = time.monotonic()
    done = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{pipelines} on {root}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.monotonic() - started


def linked(root: Path, source: Path, names: Iterable[str]) -> Path:
    """Make a data root that shares folders with another."""
    for name in names:
        link = root / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(source / name)
    return root


def main() -> None:
    """Run what the first argument asks for, as JSON."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from ukb_brain.cluster import workers_kept

    asked = json.loads(sys.argv[1])
    bootstrap_project(PROJECT)
    given = {"env": asked["env"], "runtime_params": asked["params"]}
    for name in asked["pipelines"].split(","):
        with workers_kept(), KedroSession.create(PROJECT, **given) as session:
            session.run(pipeline_names=[name] if name else None, only_missing_outputs=not name)


if __name__ == "__main__":
    main()
