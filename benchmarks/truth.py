"""Compare a synthetic cohort's legibility map with what was truly readable in it.

``python benchmarks/truth.py data`` prints the figures of one finished run; the goals are for the
mean over cohorts of different seeds (``make bench ONLY=truth``), so a single cohort may miss them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

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
    """Line up achieved and reachable skill.

    Parameters
    ----------
    root : Path
        Data root of a finished run.
    strategy : str, optional
        Another strategy than the map's.

    Returns
    -------
    pandas.DataFrame
        One row a cell with ``skill, skill_low, skill_high, reachable_skill, planted``.
    """
    if strategy is None:
        cells = pd.read_parquet(root / "08_reporting/performance.parquet")
    else:
        cells = pd.read_parquet(root / "08_reporting/performance_all.parquet")
        cells = cells[cells["strategy"] == strategy]
    truth = pd.read_parquet(root / "synthetic_truth/truth.parquet")
    both = cells.merge(truth, on=["target", "inputs"], how="inner", validate="one_to_one")
    binary = both["kind"] == "binary"
    for end in ("", "_low", "_high"):
        auc, explained = both[f"roc_auc{end}"], both[f"r2{end}"]
        both[f"skill{end}"] = (2 * auc - 1).where(binary, explained)
    both["reachable_skill"] = (2 * both["reachable"] - 1).where(binary, both["reachable"])
    return both


def agreement(both: pd.DataFrame) -> dict[str, float]:
    """Figures of one cohort.

    Parameters
    ----------
    both : pandas.DataFrame
        From `compared`.

    Returns
    -------
    dict of str to float
        In the order of `GOALS`.
    """
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


def main() -> None:
    """Print the figures of one data root."""
    root = Path(sys.argv[1])
    if not (root / "synthetic_truth/truth.parquet").exists():
        sys.exit(f"{root} holds no synthetic cohort: there is no synthetic_truth/truth.parquet.")
    both = compared(root)
    table = Table(title="SYNTHETIC cohort against its truth: one cohort, so a goal may be missed")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("goal, mean over cohorts")
    for name, value in agreement(both).items():
        table.add_row(name, f"{value:.3f}", GOALS[name][0])
    table.add_row("mean skill over cells", f"{both['skill'].mean():.3f}", "")
    table.add_row("mean reachable skill", f"{both['reachable_skill'].mean():.3f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
