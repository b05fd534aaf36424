"""Evidence against planted truth: 5,000 people at 6 mm, everyone tested once in 5 folds, two seeds.

Contributions beside those of an oracle, verdicts on inputs beside their true gain, and each planted
oddity: read only through site, carried by age and sex, a synergy, nothing at all. A seed whose
tables are there is not run again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from benchmarks import agreement
from benchmarks.record import WORK, Figure, show
from benchmarks.runs import kedro_run
from benchmarks.skills import reachable, study_grid, true_gains
from ukb_brain.statistics.inputs.contributions import contribution_table
from ukb_brain.statistics.inputs.judged import ALL_IMAGES

SEEDS = (agreement.SEED, agreement.SEED + 1)
MOST_FALSE = 0.05
# Below this the order of contributions is chance, for an oracle too: half of the true ones are 0.
RANKED = 0.005
ABOVE = "contributions above .005 of targets, spearman"
# What the truth takes for nothing: its own error of simulation.
NOTHING = 0.0005
LEAST = {ABOVE: 0.85, "`adds`, true gain above .05": 0.9, "`no gain`, true gain nothing": 0.5}
KEYS = ["domain", "target", "measure", "part", "other"]


def run(seed: int) -> Path:
    """Make a cohort, model it in folds and report, if that was not done; give its data root."""
    if seed == agreement.SEED:
        agreement.prepare()
        root, params = agreement.model("5 folds"), agreement.fold_params()
    else:
        root = WORK / f"evidence_{seed}"
        params = agreement.params(seed) | agreement.IN_FOLDS
        if not (root / "synthetic_truth/truth.parquet").exists():
            kedro_run(root, "synthetic_cohort", params)
        if not (root / "07_model_output/predictions.parquet").exists():
            for pipelines in (agreement.PREPARE, "modelling"):
                print(f"seed {seed}: {pipelines} took {kedro_run(root, pipelines, params):.0f} s")
    if not (root / "08_reporting/centrality.parquet").exists():
        print(f"seed {seed}: reporting took {kedro_run(root, 'reporting', params):.0f} s")
    return root


def contributions(root: Path, skill: pd.Series) -> dict[str, float]:
    """Compare contributions with the oracle's, of whom ``skill`` is, over targets and domains."""
    grid = study_grid()
    oracle = pd.DataFrame({0: skill, 1: skill}).rename_axis(["target", "inputs"])
    true = contribution_table(oracle, grid)
    found = pd.read_parquet(root / "08_reporting/contributions.parquet")
    both = found.merge(true, on=KEYS, suffixes=("", "_true"))
    both = both[(both["measure"] == "contribution") & both["estimate"].notna()]
    of_domains = both["target"] == ""
    values = {}
    for name, rows in (("targets", both[~of_domains]), ("domains", both[of_domains])):
        for kind in ("spearman", "pearson"):
            corr = float(rows["estimate"].corr(rows["estimate_true"], method=kind))
            values[f"contributions of {name}, {kind}"] = corr
    values["contributions of targets, spearman, had models been the oracle"] = _perfect(
        both[~of_domains]
    )
    read = both[~of_domains & (both["estimate_true"] > RANKED)]
    corr = float(read["estimate"].corr(read["estimate_true"], method="spearman"))
    return values | {ABOVE: corr}


def _perfect(rows: pd.DataFrame, times: int = 200) -> float:
    """Rank correlation if contributions were the oracle's, but for the error of sampling people.

    The error is that of the intervals found, independent between contributions. Contributions
    within the truth's own error are nothing: their order in the truth is chance, too.
    """
    error = (rows["high"] - rows["low"]).to_numpy() / (2 * norm.ppf(0.975))
    true, rng = rows["estimate_true"].to_numpy(), np.random.default_rng(0)
    known = np.where(np.abs(true) > NOTHING, true, 0.0)
    again = [spearmanr(true, known + error * rng.normal(size=len(true)))[0] for _ in range(times)]
    return float(np.mean(again))


def verdicts(root: Path, skill: pd.Series) -> dict[str, float]:
    """Give shares of verdicts on inputs, each at its target's fullest cell, before the ladder.

    They are held against the oracle's gain, not the population gain of these models, which `gains`
    measures.
    """
    table = pd.read_parquet(root / "08_reporting/comparisons.parquet")
    table = table[table["part"] != ALL_IMAGES]
    gain = true_gains(table, skill)
    adds, no_gain = table["verdict"] == "adds", table["verdict"] == "no gain"
    return {
        "false `adds`, true gain nothing": float(adds[gain <= NOTHING].mean()),
        "`adds`, true gain above .05": float(adds[gain > 0.05].mean()),
        "`no gain`, true gain nothing": float(no_gain[gain <= NOTHING].mean()),
        "`no gain`, true gain above the margin": float(no_gain[gain > table["margin"]].mean()),
    }


def oddities(root: Path) -> dict[str, bool]:
    """Say which planted oddities are recognised."""
    read = {
        name: pd.read_parquet(root / f"08_reporting/{name}.parquet")
        for name in ("confounds", "permutations", "contributions")
    }
    rows = read["confounds"].set_index("target")
    pairs = read["contributions"].set_index(["target", "part", "other"])["verdict"]
    p = read["permutations"].groupby("target")["p_max"].min()
    site, carried = rows.loc["atopy"], rows.loc["hb"]
    return {
        "site: above chance, but not within sites": site["score_low"] > 0.5
        and site["within_site_low"] < 0.5,
        "carried by age and sex: no gain beyond them": carried["score_low"] > 0
        and carried["gain_low"] < 0.005
        and carried["gain_high"] < 0.02,
        "synergy of structural and diffusion": pairs.loc[
            ("reaction_time", "structural", "diffusion")
        ]
        == "synergy",
        "nothing: no cell of two targets beyond chance": bool(
            p.loc["guilty"] > 0.05 and p.loc["ldl"] > 0.05
        ),
    }


def _goal(seed: int, what: str, value: float) -> Figure:
    name = f"evidence, seed {seed}: {what}"
    if what.startswith("false"):
        return Figure.at_most(name, value, MOST_FALSE)
    return Figure.at_least(name, value, LEAST[what]) if what in LEAST else Figure(name, value)


def measure() -> list[Figure]:
    """Run both seeds, and compare with what was planted."""
    rows, figures = [], []
    for seed in SEEDS:
        root = run(seed)
        skill = reachable(pd.read_parquet(root / "synthetic_truth/truth.parquet"))
        for what, value in (contributions(root, skill) | verdicts(root, skill)).items():
            figures.append(_goal(seed, what, value))
            rows.append([str(seed), what, f"{value:.3f}", figures[-1].goal])
        for what, seen in oddities(root).items():
            rows.append([str(seed), what, "recognised" if seen else "missed", "recognised"])
            name = f"evidence, seed {seed}: {what}"
            figures.append(Figure(name, float(seen), "", "recognised", bool(seen)))
    title = f"SYNTHETIC: evidence against truth, {agreement.PEOPLE} people, 5 folds"
    show(title, ("seed", "figure", "value", "goal"), rows)
    return figures
