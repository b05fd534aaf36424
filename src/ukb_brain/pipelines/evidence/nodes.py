"""Nodes of evidence: train the map's models once more, on other people or at other sizes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from ukb_brain.cluster import Compute
from ukb_brain.evidence.retrained import Trained, check_trained
from ukb_brain.evidence.settings import Evidence, of_strategies, variant_of
from ukb_brain.evidence.sites import leave_sites_out
from ukb_brain.evidence.subsamples import take_subsets
from ukb_brain.grid import Grid
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.pipelines.modelling.nodes import (
    fit_cells,
    fit_kernels,
    multiply_scans,
    take_tangents,
    train_encoders,
)
from ukb_brain.statistics.limits.model_scale import AS_IT_IS
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.people import People
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
) -> Trained:
    """Check everything that evidence rests on before anything is trained.

    Parameters
    ----------
    people : dict of int to People
        By fold.
    tangents, encoders, kernels, cells : ModelFolder
        Of the map.
    modelling : Modelling
        Settings of this run.
    evidence : Evidence
        What is asked for.

    Returns
    -------
    Trained
        The map's models of the first fold.

    Raises
    ------
    InputError
        If models are of other people or settings, or what is asked for does not fit them.
    """
    for part in (CURVES, SITES, SCALE):
        of_strategies(modelling, getattr(evidence, part).strategies, f"evidence.{part}.strategies")
    for name, values in evidence.model_scale.variants.items():
        variant_of(modelling, name, values)
    trained = Trained(tangents, encoders, kernels, cells)
    check_trained(trained, people, modelling)
    return trained.of_fold(min(people))


def _train(
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: Folds,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
    of_map: Trained | None = None,
    as_it_is: Modelling | None = None,
) -> Trained:
    """Run the map's own work items; what a variant shares with the map is not trained again."""
    stores = (folder, volumes, connectivity, people, quality, grid, modelling, compute)
    same = {
        part
        for part in ("connectivity", "cross_fits", "encoders", "kernels")
        if of_map and getattr(as_it_is, part, None) == getattr(modelling, part)
    }
    tangents = of_map.tangents if of_map and "connectivity" in same else take_tangents(*stores)
    if of_map and {"connectivity", "encoders"} <= same:
        encoders = of_map.encoders
    else:
        encoders = train_encoders(*stores, tangents, seed)
    if of_map and {"connectivity", "cross_fits", "kernels"} <= same:
        kernels = of_map.kernels
    else:
        grams = multiply_scans(*stores, tangents)
        kernels = fit_kernels(folder, people, grams, grid, modelling, compute)
    cells = fit_cells(folder, people, encoders, kernels, grid, modelling, compute)
    return Trained(tangents, encoders, kernels, cells)


def train_learning_curves(
    of_map: Trained,
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: Folds,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    evidence: Evidence,
    compute: Compute,
    seed: int,
) -> tuple[Folds, Trained]:
    """Train on nested subsets of the first fold's training people.

    Parameters
    ----------
    of_map : Trained
        From `check_map`, which comes first.
    folder : Path
        Of evidence.
    volumes, connectivity : RecordStore
        Scans.
    people : dict of int to People
        By fold.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Imaging groups, targets, cells.
    modelling : Modelling
        Settings as they are.
    evidence : Evidence
        Shares, repeats, strategies.
    compute : Compute
        Workers and device.
    seed : int
        Of the run.

    Returns
    -------
    subsets : dict of int to People
        By number of the subset.
    Trained
        Their models.
    """
    asked = evidence.learning_curves
    subsets: Folds = {}
    if asked.strategies:
        subsets = take_subsets(people[min(people)], asked.shares, asked.repeats, seed, grid)
    settings = of_strategies(modelling, asked.strategies, "evidence.learning_curves.strategies")
    home = folder / CURVES
    trained = _train(home, volumes, connectivity, subsets, quality, grid, settings, compute, seed)
    return subsets, trained


def train_left_out_sites(
    of_map: Trained,
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    targets: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    splitting: Splitting,
    evidence: Evidence,
    compute: Compute,
    seed: int,
) -> tuple[Folds, Trained]:
    """Train without each site in turn.

    Parameters
    ----------
    of_map : Trained
        From `check_map`, which comes first.
    folder : Path
        Of evidence.
    volumes, connectivity : RecordStore
        Scans.
    targets, participants, quality : pandas.DataFrame
        Of the earlier pipelines.
    grid : Grid
        Imaging groups, targets, cells.
    modelling : Modelling
        Settings as they are.
    splitting : Splitting
        Of the map.
    evidence : Evidence
        Strategies.
    compute : Compute
        Workers and device.
    seed : int
        Of the run.

    Returns
    -------
    sites : dict of int to People
        By fold, each of which leaves a site out.
    Trained
        Their models.
    """
    strategies = evidence.left_out_sites.strategies
    sites: Folds = {}
    if strategies:
        sites = leave_sites_out(targets, participants, quality, grid, splitting, seed)
    settings = of_strategies(modelling, strategies, "evidence.left_out_sites.strategies")
    home = folder / SITES
    return sites, _train(home, volumes, connectivity, sites, quality, grid, settings, compute, seed)


def train_model_scale(
    of_map: Trained,
    folder: Path,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: Folds,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    evidence: Evidence,
    compute: Compute,
    seed: int,
) -> dict[str, Trained]:
    """Train every variant of the models on the first fold.

    Parameters
    ----------
    of_map : Trained
        From `check_map`.
    folder : Path
        Of evidence.
    volumes, connectivity : RecordStore
        Scans.
    people : dict of int to People
        By fold.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Imaging groups, targets, cells.
    modelling : Modelling
        Settings as they are.
    evidence : Evidence
        Variants and strategies.
    compute : Compute
        Workers and device.
    seed : int
        Of the run.

    Returns
    -------
    dict of str to Trained
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
        scans = (home / name, volumes, connectivity, some, quality, grid, settings)
        trained[name] = _train(*scans, compute, seed, of_map, as_it_is)
    return trained
