"""Agreement with the truth on 5,000 people: a hold-out of 500, and everyone tested once in 5 folds.

Also whether an input ever costs: nested pairs of cells of which the truth says that the larger one
gains nothing. Each part is kept when it is done.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.record import WORK, Figure, kept, show
from benchmarks.runs import kedro_run, linked
from benchmarks.skills import DRAWS, skill, study_grid, test_predictions, with_interval
from benchmarks.truth import compared
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.weighted_sums import Floats

PEOPLE, VOXEL_MM, SEED = 5000, 6, 1
COHORT = WORK / "agreement"
FOLDS = WORK / "agreement_folds"
STRATEGIES = ("amortised", "linear")
PREPARE = "data_engineering,feature_tabular,imaging_preprocess"
LEAST_GAIN = 0.005
# Least rank correlation with 500 test people, and with everybody tested once.
GOALS = {"hold-out": 0.85, "5 folds": 0.92}
WORST, WORST_QUANTILE = -0.02, 0.05
IN_FOLDS = {"splitting": {"scheme": "k_fold", "folds": 5}}


def params(seed: int = SEED) -> dict[str, object]:
    """Give the runtime parameters of a cohort of this size."""
    people = {"participants": PEOPLE, "voxel_mm": VOXEL_MM, "seed": seed}
    return {"preset": "benchmark", "seed": seed, "synthetic_cohort": people}


def fold_params() -> dict[str, object]:
    """Give the runtime parameters of the run in folds."""
    return params() | IN_FOLDS | {"raw_folder": str(COHORT / "01_raw")}


def prepare() -> None:
    """Generate and preprocess the cohort, once; folds share its scans."""
    if not (COHORT / "synthetic_truth/truth.parquet").exists():
        kedro_run(COHORT, "synthetic_cohort", params())
    for root, chosen in ((COHORT, params()), (FOLDS, fold_params())):
        if not (root / "03_primary/quality.parquet").exists():
            if root == FOLDS:
                linked(FOLDS, COHORT, ("02_intermediate", "synthetic_truth"))
            kedro_run(root, PREPARE, chosen)


def model(name: str) -> Path:
    """Model and score one of `GOALS`, if that was not done, and give its data root."""
    root, chosen = (COHORT, params()) if name == "hold-out" else (FOLDS, fold_params())
    if not (root / "08_reporting/performance.parquet").exists():
        for pipeline in ("modelling", "reporting"):
            print(f"{name}: {pipeline} took {kedro_run(root, pipeline, chosen):.0f} s", flush=True)
    return root


def _pairs(truth: pd.DataFrame) -> pd.DataFrame:
    """Nested pairs of cells, one imaging group or block apart, with their true gain."""
    parts = {
        (c.target, c.inputs.name): frozenset([*c.inputs.groups, *c.inputs.blocks])
        for c in study_grid().cells
    }
    known = truth.set_index(["target", "inputs"])["reachable_skill"]
    rows = [
        (target, small, large, known[target, large] - known[target, small])
        for (target, large), all_parts in parts.items()
        for (other, small), some in parts.items()
        if other == target and some < all_parts and len(some) == len(all_parts) - 1
    ]
    return pd.DataFrame(rows, columns=["target", "small", "large", "gain"])


def _changes(pairs: pd.DataFrame, predictions: pd.DataFrame, families: pd.Series) -> Floats:
    """Change of skill of each pair, both cells on the people of the larger, in every draw."""
    grid = study_grid()
    cells = {
        key: rows.set_index("eid").sort_index()
        for key, rows in predictions.groupby(["target", "inputs"], observed=True)
    }
    drawn = FamilyDraws(families.unique(), DRAWS, 0)
    changes = np.full((len(pairs), DRAWS + 1), np.nan)
    for (target, large), rows in pairs.groupby(["target", "large"]):
        if (target, large) not in cells:
            continue
        kind, people = grid.targets[str(target)].kind, cells[target, large]
        weights = drawn.weights(people.index.map(families).to_numpy())
        weights = np.vstack([np.ones(len(people)), weights])
        y = people["y_true"].to_numpy(float)
        all_of_it = skill(kind, y, people["y_pred"].to_numpy(float), weights)
        for at, small in rows["small"].items():
            if (target, small) in cells:
                simpler = cells[target, small]["y_pred"].reindex(people.index).to_numpy(float)
                changes[at] = all_of_it - skill(kind, y, simpler, weights)
    return changes


def costs(root: Path, strategy: str) -> dict[str, float]:
    """Measure what an input costs that truly adds nothing.

    Mean change of skill with its interval over test people, the worst 5 %, and the mean change of
    pairs that do gain, beside their true gain.
    """
    pairs = _pairs(compared(root, strategy))
    change = _changes(pairs, *test_predictions(root, strategy))
    scored = np.isfinite(change[:, 0])
    nothing = scored & (pairs["gain"] < LEAST_GAIN).to_numpy()
    something = scored & ~nothing
    mean, interval = with_interval(np.nanmean(change[nothing], axis=0))
    return {
        "pairs": int(nothing.sum()),
        "mean": mean,
        "true mean": float(pairs.loc[nothing, "gain"].mean()),
        **interval,
        "worst": float(np.quantile(change[nothing, 0], WORST_QUANTILE)),
        "mean of pairs that gain": float(change[something, 0].mean()),
        "true mean of pairs that gain": float(pairs.loc[something, "gain"].mean()),
    }


def _figures_of(name: str) -> dict[str, dict[str, float]]:
    root = model(name)
    found: dict[str, dict[str, float]] = {}
    # The table of every strategy has a row a fold; the map alone combines them.
    for strategy in STRATEGIES if name == "hold-out" else STRATEGIES[:1]:
        both = compared(root, None if strategy == "amortised" else strategy)
        found[strategy] = {
            "rank correlation": float(both["skill"].corr(both["reachable_skill"], "spearman")),
            "mean skill": float(both["skill"].mean()),
            "mean reachable skill": float(both["reachable_skill"].mean()),
            "intervals wholly above reachable": float(
                (both["skill_low"] > both["reachable_skill"]).mean()
            ),
        }
        if name == "hold-out":
            found[strategy] |= costs(root, strategy)
    return found


def measure() -> list[Figure]:
    """Run both ways of testing: a figure for each and strategy."""
    prepare()
    figures, rows = [], []
    for name, least in GOALS.items():
        saved = WORK / f"agreement_{name.replace(' ', '_')}.json"
        for strategy, values in kept(saved, lambda name=name: _figures_of(name)).items():
            for what, value in values.items():
                goal, holds = _goal(strategy, what, values, least)
                rows.append([name, strategy, what, f"{value:.4f}", goal])
                told = f"agreement, {name}, {strategy}: {what}"
                figures.append(Figure(told, value, "", goal, holds))
    heads = ("tested", "strategy", "figure", "value", "goal")
    show(f"SYNTHETIC, {PEOPLE} people, {VOXEL_MM} mm", heads, rows)
    return figures


def _goal(
    strategy: str, what: str, values: dict[str, float], least: float
) -> tuple[str, bool | None]:
    goals = {
        "rank correlation": (f"≥ {least}", values["rank correlation"] >= least),
        "worst": (f"> {WORST}", values.get("worst", 0) > WORST),
        "mean": ("interval includes 0", values.get("low", 0) <= 0 <= values.get("high", 0)),
    }
    return goals.get(what, ("", None)) if strategy == "amortised" else ("", None)
