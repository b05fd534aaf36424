"""Nodes of modelling: from stores, blocks and splits to a prediction for every cell."""

import logging
from collections.abc import Callable, Iterable

import pandas as pd

from ukb_brain.ledger import WorkItem, run_ledger
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.training import accounting, items
from ukb_brain.training.dedicated import train_dedicated
from ukb_brain.training.encode import train_encoders as train_encoder
from ukb_brain.training.gram import gram_of_group
from ukb_brain.training.items import ON_DEVICE, Work
from ukb_brain.training.kernels import fit_kernels as fit_set
from ukb_brain.training.results import FINAL, PREDICTED_PARTS, UNREFINED, prediction_tables
from ukb_brain.training.settings import STRATEGIES
from ukb_brain.training.target import fit_cells_of_target
from ukb_brain.training.vectors import steps_of_group, vectors_of_block

logger = logging.getLogger(__name__)


def _run(
    function: Callable, todo: Iterable[WorkItem], work: Work, kind: str, label: str
) -> ModelFolder:
    """Do what is not done; say how many failed, for which their cards have the reasons."""
    compute = work.compute.for_training() if kind in ON_DEVICE else work.compute
    cards = run_ledger(function, todo, work.folder / kind, compute, label)
    failed = sum(card["status"] != "ok" for card in cards)
    if failed:
        logger.warning("%s: %d of %d failed; their cards say why.", label, failed, len(cards))
    return ModelFolder(work.folder / kind)


def fit_steps(work: Work) -> ModelFolder:
    """Fit what is done to vectors, on training people: one model a fold and imaging group."""
    return _run(steps_of_group, items.step_items(work), work, "steps", "Steps of vectors")


def make_vectors(work: Work, steps: ModelFolder) -> ModelFolder:
    """Write vectors as each fold's models read them, such as connectivity in tangent space.

    Returns
    -------
    ModelFolder
        Some thousand people a model, for each fold and imaging group; empty where nothing is done
        to vectors that is worth a place on disk.
    """
    blocks = items.vector_items(work, steps)
    return _run(vectors_of_block, blocks, work, "vectors", "Vectors")


def multiply_scans(work: Work, vectors: ModelFolder) -> ModelFolder:
    """Multiply the scans of pairs of people: one model a fold and imaging group."""
    todo = items.gram_items(work, vectors)
    return _run(gram_of_group, todo, work, "grams", "Products of scans")


def fit_kernels(work: Work, grams: ModelFolder) -> ModelFolder:
    """Fit all targets from each set of imaging groups, linear and by kernels that are not.

    One model a fold and set of imaging groups.
    """
    todo = items.kernel_items(work, grams)
    return _run(fit_set, todo, work, "kernels", "Kernels, by imaging groups")


def train_encoders(work: Work, vectors: ModelFolder) -> ModelFolder:
    """Train the encoders of all imaging groups on all targets at once, by cross-fitting.

    One network a fold, member of the ensemble and part of training families left out.
    """
    return _run(train_encoder, items.encoder_items(work, vectors), work, "encoders", "Encoders")


def fit_cells(work: Work, encoders: ModelFolder, kernels: ModelFolder) -> ModelFolder:
    """Fit every cell on encodings and blocks, and average it with what kernels give.

    One model a fold and target, with all its cells.
    """
    todo = items.cell_items(work, encoders, kernels)
    return _run(fit_cells_of_target, todo, work, "cells", "Cells, by target")


def train_dedicated_networks(work: Work) -> ModelFolder:
    """Train a network for each cell, fold and member, where the dedicated strategy is asked for."""
    todo = items.dedicated_items(work)
    return _run(train_dedicated, todo, work, "dedicated", "Dedicated networks")


def collect(
    work: Work,
    encoders: ModelFolder,
    grams: ModelFolder,
    cells: ModelFolder,
    dedicated: ModelFolder,
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
    people, grid, seed = work.people, work.grid, work.seed
    names = {
        "target": grid.targets,
        "inputs": {cell.inputs.name for cell in grid.cells},
        "strategy": STRATEGIES,
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
