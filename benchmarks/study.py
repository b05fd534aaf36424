"""The study's own network on a handful of cells, reduced to grids of about 16³ and few epochs.

At full size it needs a GPU: there the dedicated strategy of the preset study64 is the network as
published. Here it has three levels rather than five.
"""

from __future__ import annotations

import pandas as pd

from benchmarks import strategies
from benchmarks.record import WORK, Figure
from benchmarks.runs import kedro_run, linked
from benchmarks.skills import skill_draws, study_grid, test_predictions, with_interval

ROOT = WORK / "strategies_study"
CELLS, EPOCHS, POOLING = 4, 5, 3


def measure() -> list[Figure]:
    """Train the cells, and compare them with the amortised strategy on the same test people."""
    strategies.prepare()
    linked(ROOT, strategies.ROOT, strategies.SHARED)
    dedicated = {"cells": CELLS, "network": {"pooling": POOLING}, "loop": {"epochs": EPOCHS}}
    params = {
        "preset": "study64",
        "seed": strategies.SEED,
        "splitting": strategies.SPLITTING,
        "modelling": {"strategies": ["dedicated"], "dedicated": dedicated},
    }
    kedro_run(ROOT, "modelling", params)
    grid = study_grid()
    own = skill_draws(*test_predictions(ROOT, "dedicated"), grid)
    shared = skill_draws(*test_predictions(strategies.ROOT, "amortised"), grid).loc[own.index]
    for cell in own.index:
        print(f"{cell}: study {own.loc[cell, 0]:.3f}, amortised {shared.loc[cell, 0]:.3f}")
    change, interval = with_interval((shared - own).mean())
    fits = pd.read_parquet(ROOT / "07_model_output/cell_fits.parquet")
    seconds = float(fits.loc[fits["strategy"] == "dedicated", "train_seconds"].mean())
    network = f"study's network ({CELLS} cells, 16³, {EPOCHS} epochs: reduced)"
    return [
        Figure(f"{network}: amortised - it", change, more=interval),
        Figure(f"{network}: a cell", seconds, "s"),
    ]
