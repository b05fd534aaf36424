"""Nodes of evidence: train the map's models once more, on other people or at other sizes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ukb_brain.evidence.retrained import FoldModels, check_models
from ukb_brain.evidence.settings import Evidence, of_strategies, variant_of
from ukb_brain.evidence.sites import leave_sites_out
from ukb_brain.evidence.subsamples import Subset, take_subsets
from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.pipelines.modelling import nodes
from ukb_brain.statistics.limits.model_scale import AS_IT_IS
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.items import Work
from ukb_brain.training.people import People
from ukb_brain.training.settings import Modelling

CURVES, SITES, SCALE = "learning_curves", "left_out_sites", "model_scale"


def check_map(
    work: Work,
    tangents: ModelFolder,
    encoders: ModelFolder,
    kernels: ModelFolder,
    cells: ModelFolder,
    evidence: Evidence,
) -> FoldModels:
    """Check everything that evidence rests on before anything is trained; give the map's models.

    Raises
    ------
    InputError
        If models are of other people or settings, or what is asked for does not fit them.
    """
    for part in (CURVES, SITES, SCALE):
        _of_strategies(work, evidence, part)
    for name, values in evidence.model_scale.variants.items():
        variant_of(work.settings, name, values)
    of_map = FoldModels(tangents, encoders, kernels, cells)
    check_models(of_map, work.people, work.settings)
    return of_map


def _of_strategies(work: Work, evidence: Evidence, part: str) -> Modelling:
    asked = getattr(evidence, part).strategies
    return of_strategies(work.settings, asked, f"evidence.{part}.strategies")


def _train(
    work: Work, of_map: FoldModels | None = None, as_it_is: Modelling | None = None
) -> FoldModels:
    """Run the map's own work items; what a variant shares with the map is not trained again."""
    shared = {
        part
        for part in ("connectivity", "cross_fits", "encoders", "kernels")
        if getattr(as_it_is, part, None) == getattr(work.settings, part)
    }

    def of_both(*parts: str) -> FoldModels | None:
        return of_map if shared.issuperset(parts) else None

    same = of_both("connectivity")
    tangents = same.tangents if same else nodes.take_tangents(work)
    same = of_both("connectivity", "encoders")
    encoders = same.encoders if same else nodes.train_encoders(work, tangents)
    same = of_both("connectivity", "cross_fits", "kernels")
    kernels = (
        same.kernels if same else nodes.fit_kernels(work, nodes.multiply_scans(work, tangents))
    )
    return FoldModels(tangents, encoders, kernels, nodes.fit_cells(work, encoders, kernels))


def train_learning_curves(
    of_map: FoldModels, work: Work, folder: Path, evidence: Evidence
) -> tuple[dict[Subset, People], FoldModels]:
    """Train on nested subsets of the first fold's training people.

    The map's models are an input so that they are checked before.
    """
    asked, first = evidence.learning_curves, work.people[min(work.people)]
    subsets: dict[Subset, People] = {}
    if asked.strategies:
        subsets = take_subsets(first, asked.shares, asked.repeats, work.seed, work.grid)
    settings = _of_strategies(work, evidence, CURVES)
    folds = {some.fold: some for some in subsets.values()}
    own = replace(work, folder=folder / CURVES, people=folds, settings=settings)
    return subsets, _train(own)


def gather_sites(
    targets: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    splitting: Splitting,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> dict[int, People]:
    """Line up people by fold, each of which leaves a site out; nobody where none is asked for."""
    if not evidence.left_out_sites.strategies:
        return {}
    return leave_sites_out(targets, participants, quality, grid, splitting, seed)


def train_left_out_sites(
    of_map: FoldModels, work: Work, folder: Path, sites: dict[int, People], evidence: Evidence
) -> FoldModels:
    """Train without each site in turn.

    The map's models are an input so that they are checked before.
    """
    settings = _of_strategies(work, evidence, SITES)
    return _train(replace(work, folder=folder / SITES, people=sites, settings=settings))


def train_model_scale(
    of_map: FoldModels, work: Work, folder: Path, evidence: Evidence
) -> dict[str, FoldModels]:
    """Train every variant of the models on the first fold.

    Returns
    -------
    dict of str to FoldModels
        By variant, the map itself first; empty where no strategy is asked for.
    """
    asked, first = evidence.model_scale, min(work.people)
    variants = asked.variants if asked.strategies else {}
    home = folder / SCALE
    for stale in list(home.iterdir()) if home.is_dir() else []:
        # Models of a variant that is no longer asked for are restricted, and would only get old.
        if stale.is_dir() and stale.name not in variants:
            shutil.rmtree(stale)
    as_it_is = _of_strategies(work, evidence, SCALE)
    trained = {AS_IT_IS: of_map} if asked.strategies else {}
    for name, values in variants.items():
        own = replace(
            work,
            folder=home / name,
            people={first: work.people[first]},
            settings=variant_of(as_it_is, name, values),
        )
        trained[name] = _train(own, of_map, as_it_is)
    return trained
