"""Agreement with the truth on 5,000 people: a hold-out of 500, and everyone tested once in 5 folds.

Also whether an input ever costs: nested pairs of cells of which the truth says that the larger one
gains nothing. Each part is saved when it is done, so a benchmark that was stopped goes on.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.record import WORK, Figure
from benchmarks.runs import kedro_run
from benchmarks.skills import DRAWS, LEVEL, study_grid, test_predictions
from benchmarks.truth import compared
from ukb_brain.atomic import atomic_path
from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.sums import Floats

PEOPLE, VOXEL_MM, SEED = 5000, 6, 1
COHORT = WORK / "agreement"
FOLDS = WORK / "agreement_folds"
STRATEGIES = ("amortised", "linear")
PREPARE = ("data_engineering", "feature_tabular", "imaging_preprocess")
LEAST_GAIN = 0.005
# Least rank correlation with 500 test people, and with everybody tested once.
GOALS = {"hold-out": 0.85, "5 folds": 0.92}
WORST, WORST_QUANTILE = -0.02, 0.05


def _params() -> dict[str, object]:
    return {"preset": "benchmark", "seed": SEED}


def prepare() -> None:
    """Generate and preprocess the cohort, once; folds share its scans."""
    cohort = {
        "synthetic_cohort": {"participants": PEOPLE, "voxel_mm": VOXEL_MM, "seed": SEED},
    }
    if not (COHORT / "synthetic_truth/truth.parquet").exists():
        kedro_run(COHORT, "synthetic_cohort", _params() | cohort)
    if not (COHORT / "03_primary/quality.parquet").exists():
        for pipeline in PREPARE:
            kedro_run(COHORT, pipeline, _params())
    if not (FOLDS / "03_primary/quality.parquet").exists():
        FOLDS.mkdir(exist_ok=True)
        for shared in ("02_intermediate", "synthetic_truth"):
            if not (FOLDS / shared).exists():
                (FOLDS / shared).symlink_to(COHORT / shared)
        for pipeline in PREPARE:
            kedro_run(FOLDS, pipeline, fold_params())


def fold_params() -> dict[str, object]:
    """Give the runtime parameters of the run in folds.

    Returns
    -------
    dict
    """
    splitting = {"scheme": "k_fold", "folds": 5}
    more = {"raw_folder": str(COHORT / "01_raw"), "splitting": splitting}
    return _params() | more


def model(name: str) -> Path:
    """Model and score one of the two ways of testing; what is done already is not done again.

    Parameters
    ----------
    name : str
        ``hold-out`` or ``5 folds``.

    Returns
    -------
    Path
        The data root.
    """
    root, params = (COHORT, _params()) if name == "hold-out" else (FOLDS, fold_params())
    if not (root / "08_reporting/performance.parquet").exists():
        for pipeline in ("modelling", "reporting"):
            print(f"{name}: {pipeline} took {kedro_run(root, pipeline, params):.0f} s", flush=True)
    return root


def _pairs(truth: pd.DataFrame) -> pd.DataFrame:
    """Nested pairs of cells, one imaging group or block apart, with their true gain."""
    grid = study_grid()
    parts = {
        (c.target, c.inputs.name): frozenset([*c.inputs.groups, *c.inputs.blocks])
        for c in grid.cells
    }
    skill = truth.set_index(["target", "inputs"])["reachable_skill"]
    rows = [
        (target, small, large, skill[target, large] - skill[target, small])
        for (target, large), all_parts in parts.items()
        for (other, small), some in parts.items()
        if other == target and some < all_parts and len(some) == len(all_parts) - 1
    ]
    return pd.DataFrame(rows, columns=["target", "small", "large", "gain"])


def _changes(
    pairs: pd.DataFrame, predictions: pd.DataFrame, families: pd.Series
) -> NDArray[np.float64]:
    """Change of skill of each pair, both cells on the people of the larger, in every draw."""
    grid = study_grid()
    cells = {
        key: rows.set_index("eid").sort_index()
        for key, rows in predictions.groupby(["target", "inputs"], observed=True)
    }
    drawn = FamilyDraws(families.unique(), DRAWS, 0)
    changes = np.full((len(pairs), DRAWS + 1), np.nan)
    for target, mine in pairs.groupby("target"):
        kind = grid.targets[str(target)].kind
        for (_, large), rows in mine.groupby(["target", "large"]):
            if (target, large) not in cells:
                continue
            people = cells[target, large]
            weights = drawn.weights(people.index.map(families).to_numpy())
            weights = np.vstack([np.ones(len(people)), weights])
            y = people["y_true"].to_numpy(float)
            all_of_it = skill(kind, y, people["y_pred"].to_numpy(float), weights)
            for at, small in rows["small"].items():
                if (target, small) in cells:
                    simpler = cells[target, small]["y_pred"].reindex(people.index)
                    simpler = skill(kind, y, simpler.to_numpy(float), weights)
                    changes[at] = all_of_it - simpler
    return changes


def skill(kind: str, y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Skill of a cell in every draw; see `ukb_brain.statistics.scores.engine.headline`."""
    return KINDS[kind].skill(headline(kind, y_true, y_pred, weights))


def costs(root: Path, strategy: str) -> dict[str, float]:
    """Measure what an input costs that truly adds nothing.

    Parameters
    ----------
    root : Path
        Of the hold-out.
    strategy : str
        Its name.

    Returns
    -------
    dict of str to float
        Mean change of skill with its interval over test people, the worst 5 %, and the mean change
        of pairs that do gain, beside their true gain.
    """
    pairs = _pairs(compared(root, strategy))
    change = _changes(pairs, *test_predictions(root, strategy))
    scored = np.isfinite(change[:, 0])
    nothing = scored & (pairs["gain"] < LEAST_GAIN).to_numpy()
    something = scored & ~nothing
    low, high = percentile_interval(np.nanmean(change[nothing, 1:], axis=0), LEVEL)
    return {
        "pairs": int(nothing.sum()),
        "mean": float(change[nothing, 0].mean()),
        "true mean": float(pairs.loc[nothing, "gain"].mean()),
        "low": low,
        "high": high,
        "worst": float(np.quantile(change[nothing, 0], WORST_QUANTILE)),
        "mean of pairs that gain": float(change[something, 0].mean()),
        "true mean of pairs that gain": float(pairs.loc[something, "gain"].mean()),
    }


def _saved(name: str) -> dict[str, dict[str, float]]:
    path = WORK / f"agreement_{name.replace(' ', '_')}.json"
    if path.exists():
        return json.loads(path.read_text())
    root = model(name)
    found: dict[str, dict[str, float]] = {}
    for strategy in STRATEGIES:
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
        elif strategy != "amortised":
            # The table of every strategy has a row a fold; the map alone combines them.
            del found[strategy]
    with atomic_path(path) as part:
        part.write_text(json.dumps(found, indent=1))
    return found


def measure() -> list[Figure]:
    """Run both ways of testing.

    Returns
    -------
    list of Figure
        One a way of testing and figure.
    """
    prepare()
    figures, table = [], Table(title=f"SYNTHETIC, {PEOPLE} people, {VOXEL_MM} mm")
    for column in ("tested", "strategy", "figure", "value", "goal"):
        table.add_column(column)
    for name, least in GOALS.items():
        for strategy, values in _saved(name).items():
            for what, value in values.items():
                goal, holds = _goal(strategy, what, value, values, least)
                table.add_row(name, strategy, what, f"{value:.4f}", goal)
                figures.append(
                    Figure(f"agreement, {name}, {strategy}: {what}", value, "", goal, holds)
                )
    Console(width=120).print(table)
    return figures


def _goal(
    strategy: str, what: str, value: float, values: dict[str, float], least: float
) -> tuple[str, bool | None]:
    if strategy != "amortised":
        return "", None
    if what == "rank correlation":
        return f"≥ {least}", value >= least
    if what == "worst":
        return f"> {WORST}", value > WORST
    if what == "mean":
        return "interval includes 0", values["low"] <= 0 <= values["high"]
    return "", None
