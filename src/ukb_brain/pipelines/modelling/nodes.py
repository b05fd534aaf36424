"""Nodes of modelling: from stores, blocks and splits to a prediction for every cell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ukb_brain.cluster import Compute
from ukb_brain.grid import Grid
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger import WorkItem, run_ledger
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.tables.splits import check_fitted_on
from ukb_brain.training import accounting, items
from ukb_brain.training.dedicated import DEDICATED, train_dedicated
from ukb_brain.training.encode import train_encoders as train_encoder
from ukb_brain.training.gram import gram_of_group
from ukb_brain.training.kernels import KERNELS, LINEAR
from ukb_brain.training.kernels import fit_kernels as fit_set
from ukb_brain.training.people import People, gather
from ukb_brain.training.results import FINAL, PREDICTED_PARTS, UNREFINED, predictions_of
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Modelling
from ukb_brain.training.tangents import reference_of_group, tangents_of_block
from ukb_brain.training.target import AMORTISED, fit_cells_of_target

logger = logging.getLogger(__name__)

Folds = dict[int, People]


def gather_people(
    targets: pd.DataFrame,
    blocks: pd.DataFrame,
    block_scaling: pd.DataFrame,
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    grid: Grid,
) -> Folds:
    """Line up everything that is known of each fold's people.

    Parameters
    ----------
    targets, blocks, block_scaling, splits, participants, quality : pandas.DataFrame
        Of the earlier pipelines.
    grid : Grid
        Domains and imaging groups.

    Returns
    -------
    dict of int to People
        By fold of the splits.
    """
    tables = (targets, blocks, block_scaling, splits, participants, quality)
    return {int(fold): gather(*tables, grid, int(fold)) for fold in sorted(splits["fold"].unique())}


def _scans(
    volumes: RecordStore,
    connectivity: RecordStore,
    grid: Grid,
    pooling: int,
    tangent: bool = False,
) -> dict[str, GroupScans]:
    # Whole paths: a job of a batch system may start in another folder.
    stores = (volumes.path.resolve(), connectivity.path.resolve())
    return {
        group: GroupScans(tuple(modalities), *stores, pooling, tangent)
        for group, modalities in grid.imaging.items()
    }


def _run(
    function: Callable, work: Sequence[WorkItem], folder: Path, compute: Compute, label: str
) -> ModelFolder:
    """Do what is not done; say how many failed, for which their cards have the reasons."""
    cards = run_ledger(function, work, folder, compute, label)
    failed = sum(card["status"] != "ok" for card in cards)
    if failed:
        logger.warning("%s: %d of %d failed; their cards say why.", label, failed, len(cards))
    return ModelFolder(folder)


def take_tangents(
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: Folds,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
) -> ModelFolder:
    """Write connectivity as vectors of each fold's tangent space, where time series are there.

    Parameters
    ----------
    folder : Path
        Of all models.
    volumes, connectivity : RecordStore
        Scans.
    people : dict of int to People
        By fold.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Imaging groups.
    modelling : Modelling
        What connectivity is read as.
    compute : Compute
        Workers.

    Returns
    -------
    ModelFolder
        Some thousand people a model, for each fold; empty where nothing is read in tangent space.
    """
    scans = _scans(volumes, connectivity, grid, 1, modelling.tangent)
    scanned = items.quality_fingerprint(quality)
    work = list(items.reference_items(people, scans, scanned))
    references = _run(reference_of_group, work, folder / "references", compute, "References")
    blocks = list(items.tangent_items(people, scans, references))
    return _run(tangents_of_block, blocks, folder / "tangents", compute, "Tangent vectors")


def multiply_scans(
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: Folds,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    tangents: ModelFolder,
) -> ModelFolder:
    """Multiply the scans of pairs of people.

    Parameters
    ----------
    folder : Path
        Of all models.
    volumes, connectivity : RecordStore
        Scans.
    people : dict of int to People
        By fold.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Imaging groups.
    modelling : Modelling
        How scans are pooled.
    compute : Compute
        Workers and device.
    tangents : ModelFolder
        From `take_tangents`.

    Returns
    -------
    ModelFolder
        One model a fold and imaging group.
    """
    scans = _scans(volumes, connectivity, grid, modelling.kernels.pooling, modelling.tangent)
    scanned = items.quality_fingerprint(quality)
    of_folds = items.kept_vectors(people, scans, tangents, scanned)
    work = list(items.gram_items(people, of_folds, modelling, scanned, compute.device))
    return _run(gram_of_group, work, folder / "grams", compute.for_training(), "Products of scans")


def fit_kernels(
    folder: Path,
    people: Folds,
    grams: ModelFolder,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
) -> ModelFolder:
    """Fit all targets from each set of imaging groups: linear, and by kernels that are not.

    Parameters
    ----------
    folder : Path
        Of all models.
    people : dict of int to People
        By fold.
    grams : ModelFolder
        From `multiply_scans`.
    grid : Grid
        Its cells.
    modelling : Modelling
        Penalties, kernels.
    compute : Compute
        Workers.

    Returns
    -------
    ModelFolder
        One model a fold and set of imaging groups.
    """
    hashes = {}
    for name, card in grams.cards().items():
        check_fitted_on(card["training_people"], people[card["fold"]].fingerprint, name)
        if card["status"] == "ok":
            hashes[name] = card["hash"]
    home = grams.path.resolve()
    work = list(items.kernel_items(people, grid, modelling, home, hashes, compute.device))
    return _run(
        fit_set, work, folder / "kernels", compute.for_training(), "Kernels, by imaging groups"
    )


def train_encoders(
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: Folds,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    tangents: ModelFolder,
    seed: int,
) -> ModelFolder:
    """Train the encoders of all imaging groups on all targets at once, by cross-fitting.

    Parameters
    ----------
    folder : Path
        Of all models.
    volumes, connectivity : RecordStore
        Scans.
    people : dict of int to People
        By fold.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Imaging groups and targets.
    modelling : Modelling
        Network and training.
    compute : Compute
        Workers and device.
    tangents : ModelFolder
        From `take_tangents`.
    seed : int
        Of the run.

    Returns
    -------
    ModelFolder
        One network a fold, member of the ensemble and part of training families left out.
    """
    pooling = modelling.encoders.network.pooling
    scans = _scans(volumes, connectivity, grid, pooling, modelling.tangent)
    scanned = items.quality_fingerprint(quality)
    of_folds = items.kept_vectors(people, scans, tangents, scanned)
    work = items.encoder_items(people, of_folds, grid, modelling, scanned, seed, compute.device)
    return _run(train_encoder, list(work), folder / "encoders", compute.for_training(), "Encoders")


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

    Parameters
    ----------
    folder : Path
        Of all models.
    people : dict of int to People
        By fold.
    encoders, kernels : ModelFolder
        What cells rest on.
    grid : Grid
        Its cells.
    modelling : Modelling
        Penalties, the ladder.
    compute : Compute
        Workers.

    Returns
    -------
    ModelFolder
        One model a fold and target, with all its cells.
    """
    hashes = {}
    for models, asked in (
        (encoders, modelling.encoders),
        (kernels, modelling.kernels),
    ):
        for name, card in models.cards().items():
            check_fitted_on(card["training_people"], people[card["fold"]].fingerprint, name)
            items.check_settings(card, asked, f"model {name}")
            if card["status"] == "ok":
                hashes[name] = card["hash"]
    homes = (encoders.path.resolve(), kernels.path.resolve())
    work = items.cell_items(people, grid, modelling, *homes, hashes)
    return _run(fit_cells_of_target, list(work), folder / "cells", compute, "Cells, by target")


def train_dedicated_networks(
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: Folds,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
) -> ModelFolder:
    """Train a network for each cell, where the dedicated strategy is asked for.

    Parameters
    ----------
    folder : Path
        Of all models.
    volumes, connectivity : RecordStore
        Scans.
    people : dict of int to People
        By fold.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Its cells.
    modelling : Modelling
        Network, training, number of cells.
    compute : Compute
        Workers and device.
    seed : int
        Of the run.

    Returns
    -------
    ModelFolder
        One network a fold, cell and member of the ensemble; empty where none is asked for.
    """
    scans = _scans(volumes, connectivity, grid, modelling.dedicated.network.pooling)
    scanned = items.quality_fingerprint(quality)
    of_folds = dict.fromkeys(people, scans)
    work = items.dedicated_items(people, of_folds, grid, modelling, scanned, seed, compute.device)
    return _run(
        train_dedicated,
        list(work),
        folder / "dedicated",
        compute.for_training(),
        "Dedicated networks",
    )


def collect(
    people: Folds,
    encoders: ModelFolder,
    grams: ModelFolder,
    kernels: ModelFolder,
    cells: ModelFolder,
    dedicated: ModelFolder,
    grid: Grid,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gather every strategy's predictions, and what each cell cost.

    Parameters
    ----------
    people : dict of int to People
        By fold.
    encoders, grams, kernels : ModelFolder
        Whose cost the cells share.
    cells, dedicated : ModelFolder
        With predictions.
    grid : Grid
        Its cells.
    seed : int
        Of the run.

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
                    predicted = predictions_of(model, mine, seed, kept)
                    found += (table.astype(dtypes) for table in predicted)
    shared = {"encoders": encoders, "grams": grams}
    fits = accounting.cell_fits(cards, shared, grid, seed)
    first = next(iter(people.values()))
    having = {group: int((has & first.train).sum()) for group, has in first.has.items()}
    items.check_any_fitted(fits, having)
    final = pd.concat(tables[FINAL], ignore_index=True)
    unrefined = pd.concat([final.head(0), *tables[UNREFINED]], ignore_index=True)
    for table in (final, unrefined):
        for name in dtypes:
            table[name] = table[name].cat.remove_unused_categories()
    return final, unrefined, fits
