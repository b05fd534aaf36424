"""The truth benchmark: whole runs on cohorts of different seeds, against what was readable in them.

Each cohort takes some minutes; its figures are kept when it is done.
"""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
from scipy.stats import t

from benchmarks.record import WORK, Figure, kept, show
from benchmarks.runs import kedro_run
from benchmarks.truth import GOALS, compared, figures_of

# All of them are reported; none was chosen.
SEEDS = (1, 2, 3, 4, 5)
STRATEGIES = ("amortised", "linear")


def run_cohort(seed: int) -> dict[str, dict[str, float]]:
    """Generate, preprocess, model and score one cohort: figures by strategy."""
    root = WORK / f"cohort_{seed}"
    params = {"synthetic_cohort": {"seed": seed}, "seed": seed}
    kedro_run(root, "synthetic_cohort", params)
    kedro_run(root, "", params)
    figures = {strategy: figures_of(compared(root, strategy)) for strategy in STRATEGIES}
    # What the figures rest on stays; the scans can be made again.
    for folder in ("01_raw", "02_intermediate"):
        shutil.rmtree(root / folder, ignore_errors=True)
    return figures


def _holds(name: str, values: pd.Series) -> bool | None:
    if name not in GOALS:
        return None
    test = GOALS[name][1]
    if test is not None:
        return bool(test(values.mean()))
    half = t.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values))
    return bool(abs(values.mean()) <= half)


def measure() -> list[Figure]:
    """Run all cohorts and print mean, standard error and every single value."""
    by_seed = {}
    for seed in SEEDS:
        print(f"Cohort of seed {seed} …", flush=True)
        saved = WORK / f"cohort_{seed}/agreement.json"
        by_seed[seed] = kept(saved, lambda seed=seed: run_cohort(seed))
    found = []
    for strategy in STRATEGIES:
        values = pd.DataFrame({seed: figures[strategy] for seed, figures in by_seed.items()})
        rows = []
        for name, row in values.iterrows():
            error, mean, holds = float(row.sem()), float(row.mean()), _holds(str(name), row)
            goal = GOALS[str(name)][0] if name in GOALS else ""
            shown = {True: "holds", False: "missed", None: ""}[holds]
            singles = [f"{value:.3f}" for value in row]
            rows.append([str(name), f"{mean:.3f}", f"{error:.3f}", *singles, goal, shown])
            more = {"standard_error": error, "cohorts": row.tolist(), "seeds": list(SEEDS)}
            found.append(Figure(f"truth, {strategy}: {name}", mean, "", goal, holds, more))
        heads = ("figure", "mean", "s.e.", *(f"seed {seed}" for seed in SEEDS), "goal", "")
        show(f"SYNTHETIC, {len(SEEDS)} cohorts, {strategy} strategy", heads, rows)
    return found
