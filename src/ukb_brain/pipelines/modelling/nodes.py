"""Nodes of modelling: from stores, blocks and splits to a prediction for every cell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from ukb_brain.cluster import Compute
from ukb_brain.grid import Grid
from ukb_brain.ledger import WorkItem, run_ledger
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.training import accounting, items
from ukb_brain.training.dedicated import DEDICATED, train_dedicated
from ukb_brain.training.encode import train_encoders as train_encoder
from ukb_brain.training.gram import gram_of_group
from ukb_brain.training.kernels import KERNELS, LINEAR
from ukb_brain.training.kernels import fit_kernels as fit_set
from ukb_brain.training.people import People
from ukb_brain.training.results import FINAL, PREDICTED_PARTS, UNREFINED, prediction_tables
from ukb_brain.training.scans import Scans
from ukb_brain.training.settings import Modelling
from ukb_brain.training.tangents import reference_of_group, tangents_of_block
from ukb_brain.training.target import AMORTISED, fit_cells_of_target

logger = logging.getLogger(__name__)

Folds = dict[int, People]


def _run(
    function: Callable, work: Iterable[WorkItem], folder: Path, compute: Compute, label: str
) -> ModelFolder:
    """Do what is not done; say how many failed, for which their cards have the reasons."""
    cards = run_ledger(function, work, folder, compute, label)
    failed = sum(card["status"] != "ok" for card in cards)
    if failed:
        logger.warning("%s: %d of %d failed; their cards say why.", label, failed, len(cards))
    return ModelFolder(folder)


def take_tangents(
    folder: Path, people: Folds, scans: Scans, modelling: Modelling, compute: Compute
) -> ModelFolder:
    """Write connectivity as vectors of each fold's tangent space, where time series are there.

    Returns
    -------
    ModelFolder
        Some thousand people a model, for each fold; empty where nothing is read in tangent space.
    """
    read = scans.read_as(1, modelling)
    work = items.reference_items(people, read)
    references = _run(reference_of_group, work, folder / "references", compute, "References")
    blocks = items.tangent_items(people, read, references)
    return _run(tangents_of_block, blocks, folder / "tangents", compute, "Tangent vectors")


def multiply_scans(
    folder: Path,
    people: Folds,
    scans: Scans,
    tangents: ModelFolder,
    modelling: Modelling,
    compute: Compute,
) -> ModelFolder:
    """Multiply the scans of pairs of people: one model a fold and imaging group."""
    read = scans.read_as(modelling.kernels.pooling, modelling)
    of_folds = items.kept_vectors(people, read, tangents)
    work = items.gram_items(people, of_folds, modelling, compute.device)
    return _run(gram_of_group, work, folder / "grams", compute.for_training(), "Products of scans")


def fit_kernels(
    folder: Path,
    people: Folds,
    grams: ModelFolder,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
) -> ModelFolder:
    """Fit all targets from each set of imaging groups, linear and by kernels that are not.

    One model a fold and set of imaging groups.
    """
    hashes, home = items.checked(grams, people), grams.path.resolve()
    work = items.kernel_items(people, grid, modelling, home, hashes, compute.device)
    label = "Kernels, by imaging groups"
    return _run(fit_set, work, folder / "kernels", compute.for_training(), label)


def train_encoders(
    folder: Path,
    people: Folds,
    scans: Scans,
    tangents: ModelFolder,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
) -> ModelFolder:
    """Train the encoders of all imaging groups on all targets at once, by cross-fitting.

    One network a fold, member of the ensemble and part of training families left out.
    """
    read = scans.read_as(modelling.encoders.network.pooling, modelling)
    of_folds = items.kept_vectors(people, read, tangents)
    work = items.encoder_items(people, of_folds, grid, modelling, seed, compute.device)
    return _run(train_encoder, work, folder / "encoders", compute.for_training(), "Encoders")


def fit_cells(
    folder: Path,
    people: Folds,
    encoders: ModelFolder,
    kernels: ModelFolder,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
) -> ModelFolder:
    """Fit every cell on encodings and blocks, and average it with what kernels give.

    One model a fold and target, with all its cells.
    """
    hashes = items.checked(encoders, people, modelling.encoders)
    hashes |= items.checked(kernels, people, modelling.kernels)
    homes = (encoders.path.resolve(), kernels.path.resolve())
    work = items.cell_items(people, grid, modelling, *homes, hashes)
    return _run(fit_cells_of_target, work, folder / "cells", compute, "Cells, by target")


def train_dedicated_networks(
    folder: Path,
    people: Folds,
    scans: Scans,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
) -> ModelFolder:
    """Train a network for each cell, fold and member, where the dedicated strategy is asked for."""
    read = scans.read_as(modelling.dedicated.network.pooling, modelling, tangent=False)
    of_folds = dict.fromkeys(people, read)
    work = items.dedicated_items(people, of_folds, grid, modelling, seed, compute.device)
    home, label = folder / "dedicated", "Dedicated networks"
    return _run(train_dedicated, work, home, compute.for_training(), label)


def collect(
    people: Folds,
    encoders: ModelFolder,
    grams: ModelFolder,
    cells: ModelFolder,
    dedicated: ModelFolder,
    grid: Grid,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gather every strategy's predictions, and what each cell cost.

    Returns
    -------
    predictions : pandas.DataFrame
        Of validation and test people, and of repeat visits of the latter.
    unrefined : pandas.DataFrame
        The same of the cells on which gains are judged, before the ladder; without rows for a
        strategy that has none.
    cell_fits : pandas.DataFrame
        One row a cell, strategy, fold and seed.
    """
    names = {
        "target": grid.targets,
        "inputs": {cell.inputs.name for cell in grid.cells},
        "strategy": (LINEAR, KERNELS, AMORTISED, DEDICATED),
        "split": PREDICTED_PARTS,
    }
    # Before all tables are joined, which text would fill memory with.
    dtypes = {name: pd.CategoricalDtype(sorted(known)) for name, known in names.items()}
    tables: dict[str, list[pd.DataFrame]] = {FINAL: [], UNREFINED: []}
    cards = []
    for models in (cells, dedicated):
        for name, card in models.cards().items():
            cards.append(card)
            if card["status"] == "ok":
                model, mine = models.read(name), people[card["fold"]]
                for kept, found in tables.items():
                    predicted = prediction_tables(model, mine, seed, kept)
                    found += (table.astype(dtypes) for table in predicted)
    fits = accounting.cell_fits(cards, {"encoders": encoders, "grams": grams}, grid, seed)
    first = next(iter(people.values()))
    having = {group: int((has & first.train).sum()) for group, has in first.has.items()}
    items.check_any_fitted(fits, having)
    final = pd.concat(tables[FINAL], ignore_index=True)
    unrefined = pd.concat([final.head(0), *tables[UNREFINED]], ignore_index=True)
    for table in (final, unrefined):
        for name in dtypes:
            table[name] = table[name].cat.remove_unused_categories()
    return final, unrefined, fits
