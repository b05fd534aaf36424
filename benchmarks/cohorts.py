"""The truth benchmark: whole runs on cohorts of different seeds, against what was readable in them.

Each cohort takes some minutes; its figures are saved when it is done, so a run that was stopped
goes on with the next.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from benchmarks.record import WORK, Figure
from benchmarks.truth import GOALS, compared, figures_of
from ukb_brain.atomic import atomic_path

PROJECT = Path(__file__).parents[1]
# All of them are reported; none was chosen.
SEEDS = (1, 2, 3, 4, 5)
STRATEGIES = ("amortised", "linear")
PIPELINES = ("synthetic_cohort", "")


def run_cohort(seed: int) -> dict[str, dict[str, float]]:
    """Generate, preprocess, model and score one cohort, or read its figures if that was done.

    Parameters
    ----------
    seed : int
        Of the cohort, of the split and of training.

    Returns
    -------
    dict of str to dict of str to float
        Figures by strategy.
    """
    root = WORK / f"cohort_{seed}"
    saved = root / "agreement.json"
    if not saved.exists():
        params = f"data_root={root},synthetic_cohort.seed={seed},seed={seed}"
        for pipeline in PIPELINES:
            which = ["--pipelines", pipeline] if pipeline else ["--only-missing-outputs"]
            kedro = Path(sys.executable).with_name("kedro")
            command = [str(kedro), "run", *which, "--params", params]
            done = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"Cohort {seed}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        figures = {}
        for strategy in STRATEGIES:
            both = compared(root, strategy)
            figures[strategy] = figures_of(both)
        with atomic_path(saved) as part:
            part.write_text(json.dumps(figures, indent=1))
        # What the figures rest on stays; the scans can be made again.
        for folder in ("01_raw", "02_intermediate"):
            shutil.rmtree(root / folder, ignore_errors=True)
    return json.loads(saved.read_text())


def _holds(name: str, values: pd.Series) -> bool | None:
    if name not in GOALS:
        return None
    test = GOALS[name][1]
    if test is not None:
        return bool(test(values.mean()))
    half = t.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values))
    return bool(abs(values.mean()) <= half)


def measure() -> list[Figure]:
    """Run all cohorts and print mean, standard error and every single value.

    Returns
    -------
    list of Figure
        One a figure and strategy.
    """
    by_seed = {}
    for seed in SEEDS:
        print(f"Cohort of seed {seed} …", flush=True)
        by_seed[seed] = run_cohort(seed)
    found = []
    for strategy in STRATEGIES:
        values = pd.DataFrame({seed: figures[strategy] for seed, figures in by_seed.items()})
        table = Table(title=f"SYNTHETIC, {len(SEEDS)} cohorts, {strategy} strategy")
        for column in ("figure", "mean", "s.e.", *(f"seed {seed}" for seed in SEEDS), "goal", ""):
            table.add_column(column)
        for name, row in values.iterrows():
            error = float(row.std() / np.sqrt(len(row)))
            holds = _holds(str(name), row)
            goal = GOALS[str(name)][0] if name in GOALS else ""
            shown = {True: "holds", False: "missed", None: ""}[holds]
            singles = [f"{value:.3f}" for value in row]
            table.add_row(str(name), f"{row.mean():.3f}", f"{error:.3f}", *singles, goal, shown)
            found.append(
                Figure(
                    f"truth, {strategy}: {name}",
                    float(row.mean()),
                    "",
                    goal,
                    holds,
                    {
                        "standard_error": error,
                        "cohorts": [float(value) for value in row],
                        "seeds": list(SEEDS),
                    },
                )
            )
        Console(width=150).print(table)
    return found
