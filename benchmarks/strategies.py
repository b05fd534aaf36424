"""The strategies side by side: accuracy and cost of amortised, linear and dedicated training.

The same people, light encoder, epochs and inputs; 24 cells drawn by the engine's fixed rule get a
network of their own. The demo's number of training people, and 1,000 test people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.record import WORK, Figure, markdown, show, write_section
from benchmarks.runs import kedro_run, linked
from benchmarks.skills import (
    parameters,
    skill_draws,
    study_grid,
    test_predictions,
    with_interval,
)

ROOT = WORK / "strategies"
# The same encoders, of which heads are neither averaged with the linear strategy nor refined.
HEADS = WORK / "strategies_heads"
SEED, CELLS = 7, 24
# Of 2,850 people some lack an imaging visit: about 1,600 train, 200 validate and 1,000 test.
COHORT = {"participants": 2850, "seed": SEED}
SPLITTING = {"train": 0.562, "validation": 0.07, "test": 0.368}
LEAST, CHEAPER = -0.03, 100
# The same network and training for both strategies, so that nothing else differs.
NETWORK = {"dropout": 0.3, "options": {"volume": {"stem": 2, "width": 32}}}
LOOP = {"epochs": 10, "learning_rate": 0.001, "weight_decay": 0.05, "ema": 0.0}
ENCODERS: dict[str, Any] = {"network": NETWORK, "loop": LOOP}
PAGE = Path(__file__).parents[1] / "docs" / "strategies.md"
INTRODUCTION = f"""## The demo

SYNTHETIC. Skill (R², or 2·AUC − 1) of {CELLS} cells, drawn by a fixed rule, on the same 1,000 test
people, of whom nothing was learned; differences with 95 % intervals over these people, families
whole. `dedicated` trains a network for each cell, `linear` has none, `amortised` (the map) averages
heads on shared encoders with linear cells, and refines them; `heads alone` are neither averaged nor
refined. One cohort, split and seed: intervals hold the luck of test people only. Written by
`make bench ONLY=strategies`.
"""
SHARED = ("02_intermediate", "03_primary", "04_feature", "08_reporting")


def params(**modelling: object) -> dict[str, object]:
    """Give the runtime parameters of every run on this cohort, with further ones of modelling."""
    chosen: dict[str, Any] = {"strategies": ["linear", "kernels", "amortised", "dedicated"]}
    chosen |= {"encoders": ENCODERS, "dedicated": ENCODERS | {"cells": CELLS}}
    return {"seed": SEED, "splitting": SPLITTING, "modelling": chosen | modelling}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay changes over nested settings."""
    inner = {
        name: merged(base[name], value)
        for name, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(name), dict)
    }
    return base | changes | inner


def regressions() -> dict[str, Any]:
    """Read those parameters of modelling that do not come with the preset."""
    modelling = parameters("modelling")["modelling"]
    return {name: modelling[name] for name in ("cross_fits", "connectivity", "heads", "ladder")}


def prepare() -> None:
    """Run everything; what is done already is not done again."""
    if not (ROOT / "synthetic_truth/truth.parquet").exists():
        kedro_run(ROOT, "synthetic_cohort", params() | {"synthetic_cohort": COHORT})
    if not (ROOT / "03_primary/quality.parquet").exists():
        kedro_run(ROOT, "data_engineering,feature_tabular,imaging_preprocess", params())
    kedro_run(ROOT, "modelling", params())
    linked(HEADS, ROOT, (*SHARED, "06_models/encoders"))
    alone = {"strategies": ["linear", "amortised"], "average": ["head"], "ladder": False}
    kedro_run(HEADS, "modelling", params(**alone))


def _cost(fits: pd.DataFrame) -> dict[str, float]:
    """Worker-seconds of the whole grid; the dedicated total is extrapolated from measured cells."""
    grid = study_grid()
    groups = {(c.target, c.inputs.name): len(c.inputs.groups) for c in grid.cells}
    total = fits.groupby("strategy")["train_seconds"].sum()
    mine = fits[(fits["strategy"] == "dedicated") & (fits["status"] == "ok")]
    used = [groups[key] for key in zip(mine["target"], mine["inputs"], strict=True)]
    mean = mine["train_seconds"].groupby(np.array(used)).mean()
    return {
        "dedicated": float(sum(mean.loc[n] for n in groups.values())),
        # The average with linear cells costs those too.
        "amortised": float(total["amortised"]),
        "linear": float(total["linear"]),
    }


def _told(value: float, interval: dict[str, float]) -> str:
    return f"{value:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"


def measure() -> list[Figure]:
    """Compare the strategies cell by cell on the same test people, and write the page of cells."""
    prepare()
    grid = study_grid()
    runs = {name: (ROOT, name) for name in ("dedicated", "linear", "amortised")}
    runs["heads alone"] = (HEADS, "amortised")
    found = {name: skill_draws(*test_predictions(*of), grid) for name, of in runs.items()}
    cells, rows = found["dedicated"].index, []
    counts = {"dedicated": [0, 0, 0], "linear": [0, 0, 0]}
    for cell in cells:
        row = [*cell, *(f"{one.loc[cell, 0]:.3f}" for one in found.values())]
        for other, count in counts.items():
            change = with_interval(found["amortised"].loc[cell] - found[other].loc[cell])
            row.append(_told(*change))
            count[0 if change[1]["low"] > 0 else 2 if change[1]["high"] < 0 else 1] += 1
        rows.append(row)
    heads = ["target", "inputs", *found, "amortised - dedicated", "amortised - linear"]
    show(f"SYNTHETIC: skill of {len(cells)} cells on the same test people", heads, rows, 200)
    write_section(PAGE, "strategies", f"{INTRODUCTION}\n{markdown(heads, rows)}")
    figures = []
    for name in ("heads alone", "amortised", "linear"):
        change, interval = with_interval((found[name].loc[cells] - found["dedicated"]).mean())
        what = f"strategies: {name} - dedicated, mean skill of {len(cells)} cells"
        goal = "" if name == "linear" else f"lower bound > {LEAST}"
        holds = interval["low"] > LEAST if goal else None
        figures.append(Figure(what, change, "", goal, holds, interval))
    for other, (wins, ties, losses) in counts.items():
        more = {"wins": wins, "ties": ties, "losses": losses}
        what = f"strategies: amortised against {other}, wins"
        figures.append(Figure(what, float(wins), "cells", more=more))
    cost = _cost(pd.read_parquet(ROOT / "07_model_output/cell_fits.parquet"))
    figures += [
        Figure(f"strategies: {name}, whole grid", seconds, "worker s")
        for name, seconds in cost.items()
    ]
    ratio = cost["dedicated"] / cost["amortised"]
    figures.append(Figure.at_least("strategies: dedicated / amortised, cost", ratio, CHEAPER))
    for figure in figures:
        print(f"{figure.name}: {figure.value:.4f} {figure.unit} {figure.more} ({figure.goal})")
    return figures
