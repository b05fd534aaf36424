"""What MLflow is told of a run, all of it aggregate: short parameters, curves, scores, tags."""

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from ukb_brain import __version__
from ukb_brain.grid import Grid

SECTIONS = ("compute", "splitting", "modelling")
SINGLE = ("seed", "source", "preset")
LONGEST_VALUE = 250
# Beyond so many, curves are for the cards to keep: MLflow's page draws each one by itself.
MOST_CURVES = 100
SMALLEST_COUNT = 10
NOT_IN_NAMES = re.compile(r"[^\w./ -]")

# By name, of a run or by epoch.
Values = Mapping[str, float | list[tuple[int, float]]]


def parameters(params: Mapping[str, Any]) -> dict[str, str]:
    """Say in a few dozen lines with which settings a run was made.

    What lies deeper than two levels is one line of JSON.
    """
    found = {name: str(params[name]) for name in SINGLE if name in params}
    for section in SECTIONS:
        for key, value in _plain(params.get(section, {})).items():
            if not isinstance(value, dict):
                found[f"{section}.{key}"] = _short(value)
            # How jobs are submitted says nothing of results, and may name accounts.
            elif section != "compute":
                found |= {f"{section}.{key}.{last}": _short(v) for last, v in value.items()}
    grid = params.get("grid")
    if isinstance(grid, Grid):
        found |= {
            "grid.targets": str(len(grid.targets)),
            "grid.domains": ", ".join(grid.domains),
            "grid.imaging": ", ".join(grid.imaging),
            "grid.cells": str(len(grid.cells)),
        }
    return {NOT_IN_NAMES.sub("_", name): value for name, value in found.items()}


def _plain(settings: Any) -> dict[str, Any]:
    return settings.model_dump(mode="json") if isinstance(settings, BaseModel) else dict(settings)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def curves(kind: str, cards: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Read the training curves from the cards of models.

    Returns
    -------
    dict of str to list of (int, float)
        Epochs from 1 and their finite values by ``curves/<kind>/<name>/<part>``, of the first
        hundred models that have any, in order of name.
    """
    trained = [name for name in sorted(cards) if any((cards[name].get("curves") or {}).values())]
    return {
        NOT_IN_NAMES.sub("_", f"curves/{kind}/{name}/{part}"): [
            (epoch, float(value))
            for epoch, value in enumerate(values, 1)
            if value is not None and isfinite(value)
        ]
        for name in trained[:MOST_CURVES]
        for part, values in cards[name]["curves"].items()
    }


def counts_of_models(kind: str, cards: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Count the models that were made and those that failed, as ``models/<kind>/ok, failed``."""
    ok = sum(card.get("status", "ok") == "ok" for card in cards.values())
    return {f"models/{kind}/ok": float(ok), f"models/{kind}/failed": float(len(cards) - ok)}


def of_models(kind: str, cards: Mapping[str, Mapping[str, Any]]) -> Values:
    """Read all that is tracked of models: their curves, and how many there are."""
    return {**curves(kind, cards), **counts_of_models(kind, cards)}


def scores(performance: pd.DataFrame, params: Mapping[str, Any]) -> dict[str, float]:
    """Average the skill (R², or 2·AUC − 1) of the cells of each domain, for each strategy.

    Cells that fewer than ten test people stand behind are left out, or fewer than
    ``reporting.suppress_below`` where that is more.

    Returns
    -------
    dict of str to float
        By ``skill/<strategy>/<domain>``, with ``all`` for all domains together.
    """
    # Costs two seconds with all that it imports, and every command of Kedro reads this module.
    from ukb_brain.statistics.scores.skill import with_skill

    reporting = _plain(params.get("reporting", {}))
    smallest = max(SMALLEST_COUNT, reporting.get("suppress_below", 0))
    shown = (performance["status"] == "ok") & (performance["n_test"] >= smallest)
    table = with_skill(performance.loc[shown]).dropna(subset="skill")
    both = pd.concat([table.astype({"domain": object}), table.assign(domain="all")])
    mean = both.groupby(["strategy", "domain"], observed=True)["skill"].mean()
    names = ("/".join(["skill", *map(str, key)]) for key in mean.index)
    return {NOT_IN_NAMES.sub("_", n): float(v) for n, v in zip(names, mean, strict=True)}


def tags(source: str, env: str | None, project: Path) -> dict[str, str]:
    """Say where, with what and by which code a run is made; without git there is no commit."""
    found = {
        "data": "SYNTHETIC" if source == "synthetic" else source,
        "environment": env or "base",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "ukb_brain": __version__,
    }
    commit = _git(project, "rev-parse", "HEAD")
    if commit:
        changed = _git(project, "status", "--porcelain")
        found |= {"git_commit": commit, "git_uncommitted_changes": "yes" if changed else "no"}
    return found


def _git(project: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(  # noqa: S603 - git itself, with arguments of this module
        [git, *arguments], cwd=project, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
