"""Compare a synthetic cohort's legibility map with what was truly readable in it.

``python -m benchmarks.truth data`` prints the figures of one finished run beside the range that
cohorts of its size give. The goals are for the mean over cohorts of different seeds (``make bench
ONLY=truth``), and one cohort is not held against them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from benchmarks.skills import reachable
from ukb_brain.statistics.scores.skill import with_skill

RESULTS = Path(__file__).with_name("results.json")
CONF = Path(__file__).parents[1] / "conf/base"
# Share by which a cohort may differ from the demo in size; what figures differ by in rounding.
DEMO_SIZED, ROUNDING = 0.1, 5e-4

NO_SIGNAL = "no signal"

# Figure: its goal in words, and the test of it.
GOALS = {
    "sex, balanced accuracy from structural images": ("≥ 0.95", lambda v: v >= 0.95),
    "age, R² from structural images": ("≥ 0.6", lambda v: v >= 0.6),
    "rank correlation of achieved and reachable skill": ("≥ 0.70", lambda v: v >= 0.70),
    "no signal: mean AUC skill": ("interval includes 0", None),
    "no signal: mean R²": ("-0.03 to 0.01", lambda v: -0.03 <= v <= 0.01),
    "intervals wholly above reachable, share of cells": ("≤ 0.05", lambda v: v <= 0.05),
}


def compared(root: Path, strategy: str | None = None) -> pd.DataFrame:
    """Line up achieved and reachable skill of a finished run's map, or of another strategy.

    One row a cell with ``skill, skill_low, skill_high, reachable_skill, planted``.
    """
    if strategy is None:
        cells = pd.read_parquet(root / "08_reporting/performance.parquet")
    else:
        cells = pd.read_parquet(root / "08_reporting/performance_all.parquet")
        cells = cells[cells["strategy"] == strategy]
    truth = pd.read_parquet(root / "synthetic_truth/truth.parquet")
    truth = truth.assign(reachable_skill=reachable(truth).to_numpy()).drop(columns="metric")
    keys = ["target", "inputs"]
    return with_skill(cells).merge(truth, on=keys, how="inner", validate="one_to_one")


def agreement(both: pd.DataFrame) -> dict[str, float]:
    """Figures of one cohort, from `compared`, in the order of `GOALS`."""
    structural = both[both["inputs"] == "FLAIR + T1"].set_index("target")
    scored = both[both["skill"].notna()]
    nothing = scored[scored["planted"].str.startswith(NO_SIGNAL)]
    binary = nothing["kind"] == "binary"
    values = (
        structural.loc["sex", "balanced_accuracy"],
        structural.loc["age", "r2"],
        scored["skill"].corr(scored["reachable_skill"], method="spearman"),
        nothing.loc[binary, "skill"].mean(),
        nothing.loc[~binary, "skill"].mean(),
        (scored["skill_low"] > scored["reachable_skill"]).mean(),
    )
    return dict(zip(GOALS, map(float, values), strict=True))


def figures_of(both: pd.DataFrame) -> dict[str, float]:
    """Figures of one cohort, from `compared`, those without a goal too."""
    return agreement(both) | {
        "mean skill over cells": float(both["skill"].mean()),
        "mean reachable skill": float(both["reachable_skill"].mean()),
    }


def sizes_of(root: Path) -> tuple[int, int]:
    """Count the people of a run's raw table and of the demo's."""
    flow = pd.read_parquet(root / "03_primary/exclusion_flow.parquet").sort_values("step")
    demo = yaml.safe_load((CONF / "parameters_synthetic_cohort.yml").read_text())
    return int(flow["remaining"].iloc[0]), int(demo["synthetic_cohort"]["participants"])


def range_of(
    cohorts: list[float], lowest: float = -1.0, level: float = 0.95
) -> tuple[float, float]:
    """Say where a figure of one further cohort lies with this probability.

    Student's prediction interval, cut at the least that the figure can be and at 1.
    """
    n, values = len(cohorts), np.array(cohorts)
    reach = t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / n)
    return max(values.mean() - reach, lowest), min(values.mean() + reach, 1.0)


def main() -> None:
    """Print the figures of one data root."""
    root = Path(sys.argv[1])
    if not (root / "synthetic_truth/truth.parquet").exists():
        sys.exit(f"{root} holds no synthetic cohort: there is no synthetic_truth/truth.parquet.")
    known = json.loads(RESULTS.read_text())
    people, demo = sizes_of(root)
    alike = abs(people - demo) <= DEMO_SIZED * demo
    heads = ("figure", "this cohort", "cohorts of the demo's size", "lies within")
    table = Table(*heads, title="SYNTHETIC cohort against its truth")
    seeds: list[int] = []
    for name, value in figures_of(compared(root)).items():
        cohorts = known.get(f"truth, amortised: {name}", {}).get("cohorts", [])
        row = [name, f"{value:.3f}", "not measured", ""]
        if len(cohorts) > 1:
            low, high = range_of(cohorts, 0.0 if "share" in name else -1.0)
            # The truth is the same in all cohorts of a size, but for rounding.
            inside = low - ROUNDING <= value <= high + ROUNDING
            told = ("yes" if inside else "no") if alike else "another size"
            row[2:] = [f"{low:.3f} to {high:.3f}", told]
            seeds = known[f"truth, amortised: {name}"].get("seeds", [*range(1, len(cohorts) + 1)])
        table.add_row(*row)
    Console().print(table)
    if seeds:
        print(
            f"Ranges: where another cohort of {demo:,} people lies 19 times in 20, by the cohorts "
            f"of seeds {', '.join(map(str, seeds))} (make bench ONLY=truth); so one figure in "
            "twenty lies outside by chance."
        )


if __name__ == "__main__":
    main()
