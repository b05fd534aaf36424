"""The study's own network on a handful of cells, reduced to grids of about 16³ and few epochs.

At full size it needs a GPU: there the dedicated strategy of the preset study64 is the network as
published. Here it has three levels rather than five.
"""

from __future__ import annotations

import pandas as pd

from benchmarks import strategies
from benchmarks.record import WORK, Figure
from benchmarks.runs import kedro_run
from benchmarks.skills import LEVEL, skill_draws, study_grid, test_predictions
from ukb_brain.statistics.draws import percentile_interval

ROOT = WORK / "strategies_study"
CELLS, EPOCHS, POOLING = 4, 5, 3


def measure() -> list[Figure]:
    """Train the cells, and compare them with the amortised strategy on the same test people.

    Returns
    -------
    list of Figure
        The mean difference in skill, and the seconds of a cell.
    """
    strategies.prepare()
    ROOT.mkdir(exist_ok=True)
    for name in strategies.SHARED:
        if not (ROOT / name).exists():
            (ROOT / name).symlink_to(strategies.ROOT / name)
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
    change = (shared - own).mean().to_numpy()
    low, high = percentile_interval(change[1:], LEVEL)
    fits = pd.read_parquet(ROOT / "07_model_output/cell_fits.parquet")
    seconds = float(fits.loc[fits["strategy"] == "dedicated", "train_seconds"].mean())
    reduced = f"{CELLS} cells, 16³, {EPOCHS} epochs: reduced"
    more = {"low": low, "high": high}
    return [
        Figure(
            f"study's network ({reduced}): amortised - it", float(change[0]), "", "", None, more
        ),
        Figure(f"study's network ({reduced}): a cell", seconds, "s", "", None),
    ]
