"""Runs of the benchmark of depth: what each is given, where it is, and which come first.

Cohorts of 5,000 people at 6 mm, of which a fifth is tested. All runs of a cohort read the same
scans, people and split; those that change less than a training share its models.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import record
from benchmarks.null import people_of
from benchmarks.runs import kedro_run, linked
from benchmarks.skills import parameters, study_grid
from benchmarks.strategies import SHARED, merged, regressions
from ukb_brain.cluster import Compute
from ukb_brain.grid import Cell, Grid
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger import run_ledger
from ukb_brain.ledger.artifact import Card, ModelFolder
from ukb_brain.training.dedicated import drawn_cells, train_dedicated
from ukb_brain.training.items import Work, dedicated_items
from ukb_brain.training.people import People
from ukb_brain.training.results import prediction_tables
from ukb_brain.training.scans import gather_scans
from ukb_brain.training.settings import DEDICATED, Modelling

SEEDS = (1, 2)
PRESET = "benchmark"
COHORT = {"participants": 5000, "voxel_mm": 6, "depth": True, "reference_people": 50_000}
# A tenth, as is usual, would leave shares of a margin that are known to a third of it only.
SPLITTING = {"train": 0.72, "validation": 0.08, "test": 0.2}
# Averages of two voxels, as the preset has them, leave nothing of the texture.
ENCODERS: dict[str, Any] = {"network": {"pooling": 1}}
ADAPTED = ENCODERS | {"refine": {"rank": 4, "epochs": 10, "patience": 3}}
# Heads neither averaged with what has no network, nor refined by the ladder.
ALONE = {"average": ["head"], "ladder": False}
CELLS = 24
# Each cell's network is trained for each of these, and the one that validation people prefer is it.
LENGTHS, PATIENCE = (10, 30), 8
# What is planted deep at 6 mm, and a control that is not: targets, and what each reads of images.
TRUTHS = {
    "age": "texture of the rim",
    "weight": "sign by sex",
    "hypertension": "sign by sex",
    "sensitivity": "sign by sex",
    "body_fat": "linear control",
}
CONTROL = "body_fat"
PREDICTED = "07_model_output/predictions.parquet"
# By how much a split by whole families may miss its fractions.
NEAR = 0.03
FIRST_MODELS = ("steps", "vectors", "grams", "kernels")


@dataclass(frozen=True)
class Run:
    """A run of modelling: what it changes, and whose models it shares."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    shares: tuple[str, ...] = ()


# In the order in which they are made.
RUNS = {
    "map": Run(),
    "heads": Run(ALONE, "map", (*FIRST_MODELS, "encoders")),
    "adapted": Run({"encoders": ADAPTED}, "map", FIRST_MODELS),
    "adapted heads": Run(ALONE | {"encoders": ADAPTED}, "adapted", (*FIRST_MODELS, "encoders")),
}


def root_of(seed: int, run: str = "map") -> Path:
    """Name the data root of a cohort, or that of a run which shares its scans."""
    tail = "" if run == "map" else f"_{run.replace(' ', '_')}"
    return record.WORK / f"depth_{seed}{tail}"


def params(seed: int, run: str = "map") -> dict[str, Any]:
    """Give the runtime parameters of a run."""
    chosen = {"strategies": ["linear", "kernels", "amortised"], "encoders": ENCODERS}
    modelling = chosen | dict(RUNS[run].changes)
    return {"preset": PRESET, "seed": seed, "splitting": SPLITTING, "modelling": modelling}


def deep_cells(grid: Grid) -> dict[str, Cell]:
    """Find the cell of each truth: structural images, and as little else as there is."""
    return {
        target: min(
            (c for c in grid.cells if c.target == target and "structural" in c.inputs.groups),
            key=lambda c: len(c.inputs.groups) + len(c.inputs.blocks),
        )
        for target in TRUTHS
    }


def prepare_cohort(seed: int) -> Path:
    """Generate a cohort and preprocess it, unless that is done; give its data root."""
    root, quality = root_of(seed), "03_primary/quality.parquet"
    splits = root / "03_primary/splits.parquet"
    if not (root / quality).exists() and not (root / "synthetic_truth/truth.parquet").exists():
        cohort = {"synthetic_cohort": COHORT | {"seed": seed}}
        for other in SEEDS:
            # What it takes half an hour to measure is the same for all cohorts.
            truth = root_of(other) / "synthetic_truth"
            readers = [path.name for path in truth.glob("linear_reader_*.npy")]
            linked(root / "synthetic_truth", truth, readers)
        kedro_run(root, "synthetic_cohort", params(seed) | cohort)
    if not (root / quality).exists() or not splits.exists():
        kedro_run(root, "data_engineering,feature_tabular,imaging_preprocess", params(seed))
    tested = float((pd.read_parquet(splits)["part"] == "test").mean())
    if abs(tested - SPLITTING["test"]) > NEAR:
        sys.exit(
            f"{splits} tests {tested:.0%} of people, where this benchmark tests "
            f"{SPLITTING['test']:.0%}: remove the file and {root / '06_models'}, and start again."
        )
    return root


def do_run(seed: int, run: str) -> Path:
    """Do a run and what it shares models of, as far as that is not done; give its data root."""
    root = root_of(seed, run)
    if (root / PREDICTED).exists():
        return root
    about = RUNS[run]
    if about.source:
        source = do_run(seed, about.source)
        linked(root, source, (*SHARED, *(f"06_models/{kind}" for kind in about.shares)))
    else:
        prepare_cohort(seed)
    kedro_run(root, "modelling", params(seed, run))
    return root


def dedicated_settings(epochs: int) -> Modelling:
    """Give the settings of cells' own networks: the preset's, but for pooling and length."""
    preset = parameters("presets")["presets"][PRESET]
    loop = {"epochs": epochs, "patience": PATIENCE}
    network = {"network": ENCODERS["network"]}
    own = merged(preset["dedicated"], network | {"loop": loop, "cells": 0})
    rest = {"kernels": preset["kernels"], "encoders": preset["encoders"]}
    return Modelling(strategies=(DEDICATED,), dedicated=own, **rest, **regressions())


def dedicated_cells(grid: Grid) -> dict[str, list[Cell]]:
    """List the cells that get networks of their own: deep ones first, then those of the rule."""
    return {"deep": [*deep_cells(grid).values()], "drawn": [*drawn_cells(grid, CELLS)]}


def dedicated_folder(seed: int, epochs: int) -> Path:
    """Name the folder of the models of one length."""
    return root_of(seed, "dedicated") / f"{epochs}_epochs"


def train_networks(
    seed: int, epochs: int, grid: Grid | None = None, compute: Compute | None = None
) -> list[Card]:
    """Train the networks of one length that are not trained yet, and give all their cards.

    A cell's network is what the dedicated strategy would make it in a run of the whole grid.
    """
    grid, compute = grid or study_grid(), compute or Compute()
    root = root_of(seed)
    stores = [RecordStore(root / f"02_intermediate/{k}.store") for k in ("volumes", "vectors")]
    scans = gather_scans(*stores, pd.read_parquet(root / "03_primary/quality.parquet"), grid)
    folder = dedicated_folder(seed, epochs)
    given = ({0: people_of(root, grid)}, scans, grid, dedicated_settings(epochs), compute, seed)
    items = {item.payload.cell: item for item in dedicated_items(Work(folder, *given))}
    wanted = dict.fromkeys(cell for some in dedicated_cells(grid).values() for cell in some)
    label = f"Dedicated networks, {epochs} epochs"
    todo = [items[cell] for cell in wanted]
    return run_ledger(train_dedicated, todo, folder / DEDICATED, compute.for_training(), label)


def families_of(seed: int) -> pd.Series:
    """Family by eid."""
    people = pd.read_parquet(root_of(seed) / "03_primary/participants.parquet")
    return people.drop_duplicates("eid").set_index("eid")["family"]


def own_networks(seed: int, grid: Grid | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read, of each cell, the length that validation people prefer, of those that are trained.

    Returns
    -------
    predictions : pandas.DataFrame
        Of test people: ``eid, target, inputs, y_true, y_pred`` and more.
    chosen : pandas.DataFrame
        By target and inputs: ``epochs`` at most, ``best_epoch``, validation ``loss``, ``seconds``,
        ``groups`` (how many imaging groups).
    """
    grid = grid or study_grid()
    found: dict[tuple[str, str], tuple[float, ModelFolder, str, Card, int]] = {}
    for epochs in LENGTHS:
        models = ModelFolder(dedicated_folder(seed, epochs) / DEDICATED)
        for name in models.names():
            card = models.card(name) or {}
            cell = card["cells"][0]
            if cell["status"] == "ok":
                loss = card["curves"]["validation"][card["best_epoch"] - 1]
                key = (cell["target"], cell["inputs"])
                found.setdefault(key, (loss, models, name, card, epochs))
                found[key] = min(found[key], (loss, models, name, card, epochs), key=lambda x: x[0])
    if not found:
        return pd.DataFrame(columns=["eid", "target", "inputs", "y_true", "y_pred"]), pd.DataFrame()
    people: People = people_of(root_of(seed), grid)
    groups = {(c.target, c.inputs.name): len(c.inputs.groups) for c in grid.cells}
    tables, rows = [], {}
    for key, (loss, models, name, card, epochs) in found.items():
        tables += prediction_tables(models.read(name), people, seed)
        about = {"epochs": epochs, "best_epoch": card["best_epoch"], "loss": loss}
        rows[key] = about | {"seconds": card["cells"][0]["seconds"], "groups": groups[key]}
    predictions = pd.concat(tables, ignore_index=True)
    chosen = pd.DataFrame.from_dict(rows, orient="index")
    return predictions[predictions["split"] == "test"], chosen
