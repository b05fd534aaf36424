"""A small grid's worth of invented predictions, and the real grid."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ukb_brain.grid import Grid
from ukb_brain.reports.dashboard import build_dashboard
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.scores.performance import score_map

ROOT = Path(__file__).parents[1]
SEED = 20240


def study_grid() -> Grid:
    text = (ROOT / "conf/base/parameters_grid.yml").read_text(encoding="utf-8")
    return Grid(**yaml.safe_load(text)["grid"])


def small_grid(*targets: str) -> Grid:
    """The cells of some constitutional targets."""
    grid = study_grid()
    kept = {key: grid.targets[key] for key in targets}
    return Grid(**grid.model_dump(exclude={"targets"}), targets=kept)


def invented(
    grid: Grid, n: int = 40, strategies: tuple[str, ...] = ("amortised", "linear"), seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predictions, cell fits and participants; the target ``guilty`` has one class in test."""
    rng = np.random.default_rng(seed)
    eids = np.arange(9000001, 9000001 + n)
    participants = pd.DataFrame({"eid": eids, "instance": 2, "family": np.arange(n) // 2})
    predictions, fits = [], []
    for key, target in grid.targets.items():
        binary = target.kind == "binary"
        truth = rng.integers(0, 2, n).astype(float) if binary else rng.normal(50, 10, n)
        if key == "guilty":
            truth[:] = 0
        for strategy in strategies:
            for cell in (c for c in grid.cells if c.target == key):
                noise = rng.normal(size=n)
                guess = 1 / (1 + np.exp(1 - 2 * truth - noise)) if binary else truth + 8 * noise
                names = {"target": key, "inputs": cell.inputs.name, "strategy": strategy}
                names |= {"fold": 0, "seed": SEED}
                for split in ("validation", "test"):
                    shift = 0.0 if split == "test" else 1e6
                    rows = {"split": split, "y_true": truth, "y_pred": guess + shift}
                    predictions.append(pd.DataFrame({"eid": eids, "instance": 2} | names | rows))
                fits.append(
                    names
                    | {"n_train": 8 * n, "n_val": n, "n_test": n, "train_seconds": 6.0}
                    | {"status": "one class in test" if key == "guilty" else "ok"}
                    | {"decision_threshold": 0.4 if binary else np.nan}
                    | {"train_median": np.nan if binary else 50.0, "loss": 0.7, "penalty": 1.0}
                )
    return pd.concat(predictions, ignore_index=True), pd.DataFrame(fits), participants


def invented_folds(
    grid: Grid, n: int = 60, folds: int = 3, seeds: int = 2
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Everybody tested once, each seed predicting otherwise; folds differ in size and threshold."""
    alone = [invented(grid, n, ("amortised",), seed=1)[0] for _ in range(seeds)]
    rng = np.random.default_rng(2)
    for one, table in enumerate(alone):
        table["seed"] = SEED + one
        table["fold"] = np.minimum((table["eid"] - 9000001) * (folds + 1) // n, folds - 1)
        table["y_pred"] += rng.normal(0, 0.05, len(table)) * table["y_true"].std()
    _, fits, participants = invented(grid, n, ("amortised",), seed=1)
    each = [
        fits.assign(
            fold=fold,
            seed=SEED + one,
            n_train=100 + fold,
            n_test=n // (folds + 1) * (1 + (fold == folds - 1)),
            decision_threshold=fits["decision_threshold"] + fold / 10,
            train_median=fits["train_median"] + fold,
            loss=float(fold + one),
        )
        for fold in range(folds)
        for one in range(seeds)
    ]
    # Families of five straddle folds, as they may where sites are left out.
    participants["family"] = np.arange(n) * 7 % n // 5
    return pd.concat(alone, ignore_index=True), pd.concat(each, ignore_index=True), participants


def family_draws(tables: tuple[pd.DataFrame, ...], draws: int = 100) -> FamilyDraws:
    """Draws of the families of predictions, fits and participants."""
    return FamilyDraws(tables[2]["family"], draws, seed=1)


@cache
def reported() -> pd.DataFrame:
    """The map of invented predictions; to be copied before it is changed."""
    grid = study_grid()
    tables = invented(grid, strategies=("amortised",))
    return score_map(*tables, grid, "amortised", family_draws(tables))


def exclusion_flow() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": range(4),
            "reason": ["in the table", "withdrawn", "not at an imaging visit", "no usable scan"],
            "excluded": [0, 7, 120, 31],
            "remaining": [1358, 1351, 1231, 1200],
        }
    )


def scan_counts() -> pd.DataFrame:
    """People with scans, one of whom left."""
    return pd.DataFrame(
        {"modality": ["t1", "flair"], "people": [140, 139], "undated": 0, "in_cohort": [140, 138]}
    )


def quality_summary() -> pd.DataFrame:
    rows = [
        (modality, status, n)
        for modality in ("t1", "flair", "dwi", "rsfmri")
        for status, n in (("ok", 1154), ("missing", 31), ("unusable", 12), ("broken", 3))
    ]
    return pd.DataFrame(rows, columns=["modality", "status", "n"])


def target_summary(grid: Grid) -> pd.DataFrame:
    rows = [
        {"target": key, "name": target.name, "n": 1150, "missing": 50}
        | {"mean_or_prevalence": 0.3 if target.kind == "binary" else 64.2}
        | {"sd": 0.4, "median_lag_years": 2.1}
        for key, target in grid.targets.items()
    ]
    return pd.DataFrame(rows)


def described(key: str, grid: Grid) -> dict[str, object]:
    """A row of the data dictionary, as data engineering leaves it."""
    target = grid.targets.get(key)
    kind = target.kind if target else "binary"
    row: dict[str, object] = {"role": "target", "key": key, "name": target.name if target else key}
    row |= {"kind": kind, "fields": "1920", "title": "A field", "coding": "100349"}
    row |= {"derivation": "1 where any answer is 1", "unit": "", "algebra": ""}
    row |= {"n": 300, "missing": 50, "lag_median": 8.25, "lag_low": 7.0, "lag_high": 9.0}
    row |= {"from_0": 200, "from_2": 100}
    for part, size in {"train": 240, "validation": 30, "test": 30}.items():
        row |= {f"{part}_n": size, f"{part}_events": size / 2}
        row |= {f"{part}_mean": 0.5 if kind == "binary" else -61.5, f"{part}_sd": 7.123}
    return row


def parameters(**models: object) -> dict[str, object]:
    """Typed parameters, whole and by field, as Kedro hands them out."""
    return {f"params:{name}": model for name, model in models.items()} | {
        f"params:{name}.{field}": getattr(model, field)
        for name, model in models.items()
        for field in getattr(type(model), "model_fields", ())
    }


def dashboard(source: str = "synthetic") -> str:
    grid = study_grid()
    return build_dashboard(
        reported(), exclusion_flow(), target_summary(grid), quality_summary(), grid, source
    )
