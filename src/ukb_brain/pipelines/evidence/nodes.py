"""Nodes of evidence: train the map's models once more, on other people or at other sizes."""

import shutil
from dataclasses import replace
from pathlib import Path

from ukb_brain.evidence.folds import Subset, take_subsets
from ukb_brain.evidence.scores import FoldModels
from ukb_brain.evidence.settings import Evidence, Retrained, of_strategies, variant_of
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.pipelines.modelling import nodes
from ukb_brain.statistics.limits.retrained import AS_IT_IS
from ukb_brain.training.items import Folds, Work
from ukb_brain.training.people import People
from ukb_brain.training.settings import Modelling

CURVES, SITES, SCALE = "learning_curves", "left_out_sites", "model_scale"


def check_map(
    work: Work,
    vectors: ModelFolder,
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
        asked: Retrained = getattr(evidence, part)
        of_strategies(work.settings, asked.strategies, f"evidence.{part}.strategies")
    for name, values in evidence.model_scale.variants.items():
        variant_of(work.settings, name, values)
    of_map = FoldModels(vectors, encoders, kernels, cells)
    of_map.check(work.people, work.settings)
    return of_map


def _train(
    work: Work, of_map: FoldModels | None = None, as_it_is: Modelling | None = None
) -> FoldModels:
    """Run the map's own work items; what a variant shares with the map is not trained again."""

    def kept(*parts: str) -> FoldModels | None:
        alike = (getattr(as_it_is, part, None) == getattr(work.settings, part) for part in parts)
        return of_map if all(alike) else None

    of = kept("connectivity", "harmonise")
    vectors = of.vectors if of else nodes.make_vectors(work, nodes.fit_steps(work))
    of = kept("connectivity", "harmonise", "encoders")
    encoders = of.encoders if of else nodes.train_encoders(work, vectors)
    of = kept("connectivity", "harmonise", "cross_fits", "kernels")
    kernels = of.kernels if of else nodes.fit_kernels(work, nodes.multiply_scans(work, vectors))
    return FoldModels(vectors, encoders, kernels, nodes.fit_cells(work, encoders, kernels))


def train_learning_curves(
    of_map: FoldModels, folder: Path, work: Work, evidence: Evidence
) -> tuple[dict[Subset, People], FoldModels]:
    """Train on nested subsets of the first fold's training people.

    The map's models are an input so that they are checked before.
    """
    asked, people = evidence.learning_curves, work.people
    subsets: dict[Subset, People] = {}
    if asked.strategies:
        first = people[min(people)]
        subsets = take_subsets(first, asked.shares, asked.repeats, work.seed, work.grid)
    folds = {some.fold: some for some in subsets.values()}
    return subsets, _train(_other(work, folder, CURVES, folds, asked))


def train_left_out_sites(
    of_map: FoldModels, folder: Path, work: Work, sites: Folds, evidence: Evidence
) -> FoldModels:
    """Train without each site in turn.

    The map's models are an input so that they are checked before.
    """
    return _train(_other(work, folder, SITES, sites, evidence.left_out_sites))


def _other(work: Work, folder: Path, part: str, people: Folds, asked: Retrained) -> Work:
    """Do the map's work with other people, in a folder of its own."""
    settings = of_strategies(work.settings, asked.strategies, f"evidence.{part}.strategies")
    return replace(work, folder=folder / part, people=people, settings=settings)


def train_model_scale(
    of_map: FoldModels, folder: Path, work: Work, evidence: Evidence
) -> dict[str, FoldModels]:
    """Train every variant of the models on the first fold.

    Returns
    -------
    dict of str to FoldModels
        By variant, the map itself first; empty where no strategy is asked for.
    """
    asked, first = evidence.model_scale, min(work.people)
    variants = asked.variants if asked.strategies else {}
    some = {first: work.people[first]}
    own = _other(work, folder, SCALE, some, asked)
    for stale in list(own.folder.iterdir()) if own.folder.is_dir() else []:
        # Models of a variant that is no longer asked for are restricted, and would only get old.
        if stale.is_dir() and stale.name not in variants:
            shutil.rmtree(stale)
    trained = {AS_IT_IS: of_map} if asked.strategies else {}
    for name, values in variants.items():
        settings = variant_of(own.settings, name, values)
        variant = replace(own, folder=own.folder / name, settings=settings)
        trained[name] = _train(variant, of_map, own.settings)
    return trained
