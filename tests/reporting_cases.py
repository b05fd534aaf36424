"""A small grid's worth of invented predictions, and the real grid."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ukb_brain.figures import build_dashboard
from ukb_brain.grid import Grid
from ukb_brain.statistics import one_row_a_cell, score_all

ROOT = Path(__file__).parents[1]
SEED = 20240


def study_grid() -> Grid:
    text = (ROOT / "conf/base/parameters_grid.yml").read_text(encoding="utf-8")
    return Grid(**yaml.safe_load(text)["grid"])


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


@cache
def reported() -> pd.DataFrame:
    """The map of invented predictions; to be copied before it is changed."""
    grid = study_grid()
    every = score_all(*invented(grid, strategies=("amortised",)), grid, 100, 0.95, 1)
    return one_row_a_cell(every, grid, "amortised")


def exclusion_flow() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": range(4),
            "reason": ["in the table", "withdrawn", "not at an imaging visit", "no usable scan"],
            "excluded": [0, 7, 120, 31],
            "remaining": [1358, 1351, 1231, 1200],
        }
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


def dashboard(source: str = "synthetic") -> str:
    grid = study_grid()
    return build_dashboard(
        reported(), exclusion_flow(), target_summary(grid), quality_summary(), grid, source
    )
