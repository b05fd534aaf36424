"""Nodes of evidence: train the map's models once more, on other people or at other sizes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from ukb_brain.cluster import Compute
from ukb_brain.evidence.retrained import FoldModels, check_models
from ukb_brain.evidence.settings import Evidence, of_strategies, variant_of
from ukb_brain.evidence.sites import leave_sites_out
from ukb_brain.evidence.subsamples import Subset, take_subsets
from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.pipelines.modelling.nodes import (
    fit_cells,
    fit_kernels,
    multiply_scans,
    take_tangents,
    train_encoders,
)
from ukb_brain.statistics.limits.retrained import AS_IT_IS
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.people import People
from ukb_brain.training.scans import Scans
from ukb_brain.training.settings import Modelling

Folds = dict[int, People]
CURVES, SITES, SCALE = "learning_curves", "left_out_sites", "model_scale"


def check_map(
    people: Folds,
    tangents: ModelFolder,
    encoders: ModelFolder,
    kernels: ModelFolder,
    cells: ModelFolder,
    modelling: Modelling,
    evidence: Evidence,
) -> FoldModels:
    """Check everything that evidence rests on before anything is trained; give the map's models.

    Raises
    ------
    InputError
        If models are of other people or settings, or what is asked for does not fit them.
    """
    for part in (CURVES, SITES, SCALE):
        of_strategies(modelling, getattr(evidence, part).strategies, f"evidence.{part}.strategies")
    for name, values in evidence.model_scale.variants.items():
        variant_of(modelling, name, values)
    of_map = FoldModels(tangents, encoders, kernels, cells)
    check_models(of_map, people, modelling)
    return of_map


def _train(
    folder: Path,
    people: Folds,
    scans: Scans,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
    of_map: FoldModels | None = None,
    as_it_is: Modelling | None = None,
) -> FoldModels:
    """Run the map's own work items; what a variant shares with the map is not trained again."""
    same = {
        part
        for part in ("connectivity", "cross_fits", "encoders", "kernels")
        if of_map and getattr(as_it_is, part, None) == getattr(modelling, part)
    }
    if of_map and "connectivity" in same:
        tangents = of_map.tangents
    else:
        tangents = take_tangents(folder, people, scans, modelling, compute)
    read = (folder, people, scans, tangents)
    if of_map and {"connectivity", "encoders"} <= same:
        encoders = of_map.encoders
    else:
        encoders = train_encoders(*read, grid, modelling, compute, seed)
    if of_map and {"connectivity", "cross_fits", "kernels"} <= same:
        kernels = of_map.kernels
    else:
        grams = multiply_scans(*read, modelling, compute)
        kernels = fit_kernels(folder, people, grams, grid, modelling, compute)
    cells = fit_cells(folder, people, encoders, kernels, grid, modelling, compute)
    return FoldModels(tangents, encoders, kernels, cells)


def train_learning_curves(
    of_map: FoldModels,
    folder: Path,
    people: Folds,
    scans: Scans,
    grid: Grid,
    modelling: Modelling,
    evidence: Evidence,
    compute: Compute,
    seed: int,
) -> tuple[dict[Subset, People], FoldModels]:
    """Train on nested subsets of the first fold's training people.

    The map's models are an input so that they are checked before.
    """
    asked = evidence.learning_curves
    subsets: dict[Subset, People] = {}
    if asked.strategies:
        subsets = take_subsets(people[min(people)], asked.shares, asked.repeats, seed, grid)
    settings = of_strategies(modelling, asked.strategies, "evidence.learning_curves.strategies")
    folds = {some.fold: some for some in subsets.values()}
    return subsets, _train(folder / CURVES, folds, scans, grid, settings, compute, seed)


def gather_sites(
    targets: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    splitting: Splitting,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> Folds:
    """Line up people by fold, each of which leaves a site out; nobody where none is asked for."""
    if not evidence.left_out_sites.strategies:
        return {}
    return leave_sites_out(targets, participants, quality, grid, splitting, seed)


def train_left_out_sites(
    of_map: FoldModels,
    folder: Path,
    sites: Folds,
    scans: Scans,
    grid: Grid,
    modelling: Modelling,
    evidence: Evidence,
    compute: Compute,
    seed: int,
) -> FoldModels:
    """Train without each site in turn.

    The map's models are an input so that they are checked before.
    """
    asked = evidence.left_out_sites.strategies
    settings = of_strategies(modelling, asked, "evidence.left_out_sites.strategies")
    return _train(folder / SITES, sites, scans, grid, settings, compute, seed)


def train_model_scale(
    of_map: FoldModels,
    folder: Path,
    people: Folds,
    scans: Scans,
    grid: Grid,
    modelling: Modelling,
    evidence: Evidence,
    compute: Compute,
    seed: int,
) -> dict[str, FoldModels]:
    """Train every variant of the models on the first fold.

    Returns
    -------
    dict of str to FoldModels
        By variant, the map itself first; empty where no strategy is asked for.
    """
    asked, first = evidence.model_scale, min(people)
    variants = asked.variants if asked.strategies else {}
    home = folder / SCALE
    for stale in list(home.iterdir()) if home.is_dir() else []:
        # Models of a variant that is no longer asked for are restricted, and would only get old.
        if stale.is_dir() and stale.name not in variants:
            shutil.rmtree(stale)
    some = {first: people[first]}
    as_it_is = of_strategies(modelling, asked.strategies, "evidence.model_scale.strategies")
    trained = {AS_IT_IS: of_map} if asked.strategies else {}
    for name, values in variants.items():
        settings = variant_of(as_it_is, name, values)
        given = (home / name, some, scans, grid, settings, compute, seed)
        trained[name] = _train(*given, of_map, as_it_is)
    return trained
